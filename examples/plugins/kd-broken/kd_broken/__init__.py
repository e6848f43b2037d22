"""Plugins that are broken, a module for each way. For the tests of kdcore's isolation."""

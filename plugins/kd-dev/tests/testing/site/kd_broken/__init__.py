"""A plugin that keeps every rule in its things called `good`, and breaks exactly one in each of the others."""

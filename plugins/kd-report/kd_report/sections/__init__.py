"""The sections of a report: each is a function of an opened run, found as those of other plugins are."""

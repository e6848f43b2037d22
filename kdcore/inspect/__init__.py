"""A finished run opened again: its models, data, predictions, measures."""

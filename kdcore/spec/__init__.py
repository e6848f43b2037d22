"""The run spec: its models, loading and checking it, and its JSON Schema. Imports no torch."""

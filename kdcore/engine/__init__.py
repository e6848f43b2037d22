"""The engine: from a spec to a trained student."""

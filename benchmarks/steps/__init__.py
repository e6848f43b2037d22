"""A training step of each contender."""

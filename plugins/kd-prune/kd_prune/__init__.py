"""Structured pruning for kd: a share of a trained student's channels is removed before it is distilled."""

"""A first spec for a pair of models: what suits them, and how it is written. Needs no torch."""

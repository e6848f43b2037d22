"""What a name means: `kd show` and `kdcore.show`. Needs no torch."""

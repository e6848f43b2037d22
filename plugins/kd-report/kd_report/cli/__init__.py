"""`kd report` and `kd eval`: flags in, text out."""

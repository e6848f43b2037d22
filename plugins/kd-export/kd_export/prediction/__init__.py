"""`kd predict`: the classes of new images, by a run's student or by an export of it, as a table."""

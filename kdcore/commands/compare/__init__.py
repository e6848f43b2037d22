"""`kd compare`: several methods over several seeds, from the specs to the table."""

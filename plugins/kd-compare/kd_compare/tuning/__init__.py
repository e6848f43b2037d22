"""`kd tune`: find settings of a spec with which its student is better."""

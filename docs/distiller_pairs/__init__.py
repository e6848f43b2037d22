"""Which distillers accept which pair of teacher and student, found by training each of them for two epochs."""

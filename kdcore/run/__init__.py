"""One run: settle with the run directory, prepare, train, evaluate, end."""

"""A command whose module imports numpy."""

import numpy


def heavy() -> None:
    """Print a version."""
    print(numpy.__version__)

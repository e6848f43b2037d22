"""Trains every distiller on five pairs of models, writes docs/pairs.json and docs/pairs.md: `--help` says how."""

from __future__ import annotations

import sys

from distiller_pairs.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

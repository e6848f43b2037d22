"""Records finished runs in docs/results/papers.json, and writes docs/results/papers.md: `--help` says how."""

from __future__ import annotations

import sys

from paper_tables.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

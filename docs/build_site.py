"""Builds the site from docs/ and checks its links: `--help` says how."""

from __future__ import annotations

import sys

from website.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Tries every model of timm as student, writes docs/coverage.json and docs/coverage.md: `--help` says how."""

from __future__ import annotations

import sys

from timm_coverage.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

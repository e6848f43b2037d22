"""Tests run many small trainings: a report at the end of each would cost more than they do."""

from __future__ import annotations

import os

os.environ.setdefault("KD_NO_REPORT", "1")

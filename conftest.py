"""What all tests share: no reports, and one thread where several processes share the cores."""

from __future__ import annotations

import os

# many small trainings: a report at the end of each would cost more than they do
os.environ.setdefault("KD_NO_REPORT", "1")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

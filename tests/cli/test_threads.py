"""The end of a process with threads that nobody ended."""

from __future__ import annotations

import subprocess
import sys

import pytest

END = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
from kdcore.cli import threads

threads._SECONDS = {seconds}
pool = ThreadPoolExecutor(2)
{work}
threads.leave_threads(3)
print("returned")
"""


def ended(work: str, seconds: float) -> subprocess.CompletedProcess[str]:
    code = END.format(work=work, seconds=seconds)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=False
    )


def test_the_idle_threads_of_a_pool_end_at_once():
    done = ended("pool.submit(int).result()", seconds=1e9)
    assert (done.returncode, done.stdout, done.stderr) == (0, "returned\n", "")


@pytest.mark.parametrize(
    "work",
    ["pool.submit(threading.Event().wait)", "threading.Thread(target=threading.Event().wait).start()"],
    ids=["of a pool", "alone"],
)
def test_a_thread_that_does_not_end_is_named(work):
    done = ended(work, seconds=0.2)
    assert (done.returncode, done.stdout) == (3, "")
    assert "kd ends, though these threads still run: 'Thread" in done.stderr

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from kdcore.run.signals import stop_requests


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_is_a_request_and_the_old_handlers_come_back(number: signal.Signals, code: int):
    def own(number: int, frame: object) -> None: ...

    before = signal.signal(number, own)  # nohup may have started the tests
    try:
        with stop_requests() as stop:
            assert stop.signal is None
            os.kill(os.getpid(), number)
            assert stop.signal == number
            assert stop.exit_code == code
        assert signal.getsignal(number) is own
    finally:
        signal.signal(number, before)


def test_a_second_ctrl_c_ends_the_process_at_once():
    code = (
        "import os, signal\n"
        "from kdcore.run.signals import stop_requests\n"
        "with stop_requests():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('first', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('second', flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "first\n", "")


def test_outside_the_main_thread_nothing_is_caught():
    seen = []

    def work() -> None:
        with stop_requests() as stop:
            seen.append(stop.signal)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [None]


def test_a_hangup_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with stop_requests() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.signal is None
    finally:
        signal.signal(signal.SIGHUP, before)

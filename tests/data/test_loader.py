from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest
from torch.utils.data import Dataset

from kdcore.data import loader as loader_module
from kdcore.data.loader import MOST_WORKERS, make_loader, passed, worker_count
from kdcore.data.samples import SampleFailure
from kdcore.data.source import Source
from kdcore.errors import RunFailed


class Items(Dataset):
    """Gives its keys back; 13 kills the process, 14 fails, 15 has a bug of its own."""

    def __getitems__(self, keys):
        if 13 in keys:
            os.kill(os.getpid(), signal.SIGKILL)
        if 14 in keys:
            return SampleFailure("image 14 cannot be read")
        if 15 in keys:
            raise RuntimeError("something else")
        return keys


def loader(keys, workers):
    return make_loader(
        Items(), workers=workers, device_type="cpu", batch_sampler=keys, persistent_workers=True
    )


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_passes(workers):
    built = loader([[1, 2], [3]], workers)
    assert list(passed(built)) == [[1, 2], [3]]
    assert list(passed(built)) == [[1, 2], [3]]
    assert built.num_workers == workers
    assert built.multiprocessing_context is None


def test_pinned_memory_on_cuda_only():
    assert make_loader(Items(), workers=0, device_type="cuda", batch_sampler=[]).pin_memory
    assert not make_loader(Items(), workers=0, device_type="mps", batch_sampler=[]).pin_memory


@pytest.mark.parametrize("workers", [0, 1])
def test_failures_are_raised_here(workers):
    iterator = passed(loader([[1], [14], [2]], workers))
    assert next(iterator) == [1]
    with pytest.raises(RunFailed, match=r"^image 14 cannot be read$"):
        next(iterator)


def test_a_killed_process():
    with pytest.raises(
        RunFailed, match=r"(?s)^a loader process died: .*--set data\.workers=1, or 0"
    ) as caught:
        list(passed(loader([[13]], 1)))
    assert "Traceback" not in str(caught.value)


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="something else"):
        list(passed(loader([[15]], 0)))


def test_worker_count(monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)

    def count(workers, world, device="cpu", memory=None, in_memory=False):
        source = Source()
        source.in_memory = in_memory
        return worker_count(workers, SimpleNamespace(source=source, memory=memory), world, device)

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    assert count(None, 1) == 6
    assert count(None, 4) == 1
    assert count(None, 8) == 0
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # four machines
    assert count(None, 8) == 3
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    assert count(None, 1, in_memory=True) == 0
    assert count(3, 8, in_memory=True) == 3
    kept = object()
    assert count(None, 1, memory=kept) == 0
    assert count(2, 1, memory=kept) == 2
    assert count(None, 1, "cuda", memory=kept) == 6
    monkeypatch.setattr(loader_module, "shared_with_loaders", lambda: False)
    assert count(None, 1, "cuda", memory=kept) == 0
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert count(None, 1) == MOST_WORKERS
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert count(None, 1) == 4


@pytest.mark.parametrize(
    ("name", "handled", "code", "printed"),
    [
        ("SIGINT", False, 130, "interrupted\n"),
        ("SIGTERM", True, 0, "noted\n[19]\n"),
    ],
)
def test_a_signal_to_the_process_group_is_for_the_run_not_for_its_loaders(name, handled, code, printed):
    script = textwrap.dedent("""
        import os, signal, sys, time
        from torch.utils.data import Dataset
        from kdcore.data.loader import make_loader, passed

        class Slow(Dataset):
            def __getitems__(self, keys):
                time.sleep(0.05)
                return keys

        number = getattr(signal, sys.argv[1])
        if number == signal.SIGINT:
            signal.signal(number, signal.default_int_handler)  # what a shell runs in the background ignores it
        if sys.argv[2] == "True":
            signal.signal(number, lambda *_: print("noted"))
        keys = [[number] for number in range(20)]
        try:
            for batch in passed(make_loader(Slow(), workers=2, device_type="cpu", batch_sampler=keys)):
                if batch == [1]:
                    os.killpg(os.getpgrp(), number)  # what Ctrl-C and schedulers do
        except KeyboardInterrupt:
            print("interrupted")
            sys.exit(130)
        print(batch)
    """)
    command = [sys.executable, "-c", script, name, str(handled)]
    done = subprocess.run(command, capture_output=True, text=True, start_new_session=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (code, printed, "")


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_process_that_the_caller_starts_afterwards_gets_its_signals(tmp_path: Path, method: str):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(f"""
            import multiprocessing, signal, torch
            from multiprocessing import resource_tracker
            from kdcore.data.loader import make_loader, passed

            def blocked():
                print(signal.pthread_sigmask(signal.SIG_BLOCK, []))

            if __name__ == "__main__":
                multiprocessing.set_start_method("{method}")
                resource_tracker.ensure_running()  # it lets signals through when it starts
                list(passed(make_loader(torch.zeros(4, 1), workers=1, device_type="cpu", batch_size=2)))
                process = multiprocessing.Process(target=blocked)
                process.start()
                process.join()
        """)
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "set()\n", "")


def test_an_error_does_not_wait_for_the_loaders():
    script = textwrap.dedent("""
        from torch.utils.data import Dataset
        from kdcore.data import loader

        class Numbers(Dataset):
            def __getitems__(self, keys):
                return keys

        loader._LINGER = 600
        keys = [[number] for number in range(20)]
        options = {"workers": 2, "device_type": "cpu", "batch_sampler": keys, "persistent_workers": True}
        batches = loader.passed(loader.make_loader(Numbers(), **options))
        next(batches)
        raise SystemExit(f"failed beside {len(loader._running)} loader")
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "failed beside 1 loader\n")


@pytest.mark.parametrize(
    ("ends", "code", "printed"),
    [("False", 0, "noted\n[19]\n"), ("True", -signal.SIGKILL, "noted\n")],
)
def test_after_a_signal_the_loaders_work_as_long_as_the_run_and_no_longer(ends, code, printed):
    script = textwrap.dedent("""
        import os, signal, sys, time
        from torch.utils.data import Dataset
        from kdcore.data import loader

        class Slow(Dataset):
            def __getitems__(self, keys):
                if sys.argv[1] == "True" and keys != [0]:
                    time.sleep(600)
                return keys

        loader._LINGER = 1
        signal.signal(signal.SIGTERM, lambda *_: print("noted", flush=True))
        keys = [[number] for number in range(20)]
        for batch in loader.passed(loader.make_loader(Slow(), workers=1, device_type="cpu", batch_sampler=keys)):
            if batch == [0]:
                os.killpg(os.getpgrp(), signal.SIGTERM)
                if sys.argv[1] == "True":
                    os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(2.5)  # a long evaluation
        print(batch)
    """)
    # its output ends when the last process that has it ends
    command = [sys.executable, "-c", script, ends]
    done = subprocess.run(command, capture_output=True, text=True, start_new_session=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (code, printed, "")


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_closed_terminal_does_not_end_loaders_that_are_not_forked(tmp_path: Path, method: str):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(f"""
            import multiprocessing, os, signal, torch
            from kdcore.data.loader import make_loader, passed

            if __name__ == "__main__":
                multiprocessing.set_start_method("{method}")
                signal.signal(signal.SIGHUP, lambda *_: print("noted"))
                data = torch.arange(20).view(20, 1)
                for batch in passed(make_loader(data, workers=1, device_type="cpu", batch_size=1)):
                    if batch[0] == 1:
                        os.killpg(os.getpgrp(), signal.SIGHUP)
                print(batch)
        """)
    )
    command = [sys.executable, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, start_new_session=True, timeout=120)
    # Python's resource tracker ends with such a signal, and its successor says so
    assert (done.returncode, done.stdout) == (0, "noted\n[tensor([19])]\n"), done.stderr


def test_a_loader_in_an_image_that_never_ends_does_not_keep_python():
    script = textwrap.dedent("""
        import time
        from torch.utils.data import Dataset
        from kdcore.data import loader

        class Stuck(Dataset):
            def __getitems__(self, keys):
                if keys == [1]:
                    time.sleep(600)
                return keys

        loader._LINGER = 600
        batches = loader.passed(
            loader.make_loader(Stuck(), workers=1, device_type="cpu", batch_sampler=[[0], [1], [2]])
        )
        print(next(batches))
        del batches
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[0]\n", "")

"""The checks of launchers: they start kd as a process, and wait for its end."""

from __future__ import annotations

import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kd_dev.testing.check import Violation, rule, skip
from kd_dev.testing.declared import signature_faults
from kd_dev.testing.declared_subject import DeclaredSubject
from kd_dev.testing.tiny_run import pictures, spec
from kdcore import JobEnd, LauncherEntry, LaunchJob, LaunchSetup, UserError
from kdcore.plugin import get_plugins, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kd_dev.testing.check import Rule

SECONDS: Final = 120.0
_BETWEEN: Final = 0.05
_METHODS: Final = {"start": ("job",), "attach": ("job", "handle"), "ended": (), "stop": ("names",)}


class LauncherSubject(DeclaredSubject[LauncherEntry]):
    """A launcher with the defaults of its options."""

    def made(self, folder: Path, jobs: int | None = None) -> Any:
        """A new instance."""
        model = get_plugins().load_options(self.provided, self.name)
        options = None if model is None else model()
        return self.target(options, LaunchSetup(folder=folder, jobs=jobs))

    @contextmanager
    def launcher(self, jobs: int | None = None) -> Iterator[tuple[Any, Path]]:
        """An instance, and a folder for its jobs.

        Raises:
            unittest.SkipTest: the check `declaration` or `protocol` fails.
        """
        _ = self.target
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            (place / "launcher").mkdir()
            try:
                launcher = self.made(place / "launcher", jobs)
            except Exception:
                skip("it cannot be built: see the check 'protocol'")
            if list(method_faults(launcher, self.entry.target)):
                skip("it is not a launcher: see the check 'protocol'")
            yield launcher, place


def method_faults(launcher: Any, named: str) -> Iterator[str]:
    """Methods of the protocol that it does not have, or that cannot be called as kd calls them."""
    for name, arguments in _METHODS.items():
        method = getattr(launcher, name, None)
        if not callable(method):
            yield f"{named} has no method {name!r}"
        else:
            yield from signature_faults(method, arguments, f"{named}.{name}")


def job(place: Path, name: str, *arguments: str) -> LaunchJob:
    """A job that runs kd with these arguments, without a GPU."""
    return LaunchJob(
        name=name,
        arguments=arguments,
        folder=place,
        directory=place / "runs" / name,
        log=place / "logs" / f"{name}.log",
        gpus=0,
    )


def started(launcher: Any, one: LaunchJob) -> None:
    """Start a job as soon as there is room."""
    _until(lambda: launcher.start(one) is not None, f"start({one.name!r}) returned None")


def wait(launcher: Any, *names: str) -> dict[str, JobEnd]:
    """The ends of these jobs."""
    ends: dict[str, JobEnd] = {}

    def all_ended() -> bool:
        for end in launcher.ended():
            if not isinstance(end, JobEnd):
                raise Violation(f"ended() returned {type(end).__name__}, not kdcore.JobEnd")
            if end.name in ends or end.name not in names:
                raise Violation(f"ended() reports {end.name!r} twice, or it was not started")
            ends[end.name] = end
        return ends.keys() >= set(names)

    _until(all_ended, f"ended() did not report {', '.join(names)}")
    return ends


def _until(done: Any, otherwise: str) -> None:
    limit = time.monotonic() + SECONDS
    while not done():
        if time.monotonic() > limit:
            raise Violation(f"{otherwise} within {SECONDS:.0f} s")
        time.sleep(_BETWEEN)


@rule(
    "launcher",
    summary="The declared target can be loaded, and called with `(options, setup)`.",
    why="Until runs are started, kd knows only the declaration.",
    fix="Correct `target` in the `LauncherEntry`, or the signature of the class.",
)
def declaration(subject: LauncherSubject) -> None:
    if subject.faults:
        raise Violation("; ".join(subject.faults))


@rule(
    "launcher",
    summary="With the defaults of its options it can be built, and it has the methods of `kdcore.Launcher`.",
    why="`kd compare SPEC --launcher NAME` is enough to use it.",
    fix="Give every option a default, and write `start(self, job)`, `attach(self, job, handle)`, `ended(self)` and "
    "`stop(self, names)`.",
)
def protocol(subject: LauncherSubject) -> None:
    _ = subject.target
    with tempfile.TemporaryDirectory() as folder:
        try:
            launcher = subject.made(Path(folder))
        except UserError as error:
            raise Violation(str(error)) from error
        faults = list(method_faults(launcher, subject.entry.target))
    if faults:
        raise Violation("; ".join(faults))


@rule(
    "launcher",
    summary="A job runs, its output is in its log, and `ended` reports it once.",
    why="kd reads the log for the reason of a failure, and starts the next job when one has ended.",
    fix="Run `job.command`, or kd with `job.arguments`, in `job.folder`; add standard output and standard error to "
    "`job.log`, whose folder you make.",
)
def runs_a_job(subject: LauncherSubject) -> None:
    with subject.launcher() as (launcher, place):
        one = job(place, "version", "--version")
        started(launcher, one)
        end = wait(launcher, one.name)[one.name]
        said = one.log.read_text() if one.log.is_file() else ""
        if end.code != 0:
            raise Violation(f"'kd --version' ended with code {end.code}; its log: {said[-200:]!r}")
        if "kd " not in said:
            raise Violation(f"the log of 'kd --version' is {said[:80]!r}")
        if list(launcher.ended()):
            raise Violation("ended() reports the job again")


@rule(
    "launcher",
    summary="A job that fails is reported like one that succeeds, and its message is in the log.",
    why="Otherwise kd waits for it for ever.",
    fix="Report every end. If the exit code is not known, it is 0: kd looks into the run directory.",
)
def reports_a_failure(subject: LauncherSubject) -> None:
    with subject.launcher() as (launcher, place):
        one = job(place, "fails", "validate", "no-such-spec.json")
        started(launcher, one)
        wait(launcher, one.name)
        if not one.log.is_file() or "no-such-spec.json" not in one.log.read_text():
            raise Violation("the log of a failed job does not have its message")


@rule(
    "launcher",
    summary="With room for one job, a second one starts when the first has ended; `start` does not wait.",
    why="kd calls it several times a second, and shows the progress of all jobs meanwhile.",
    fix="If there is no room, return None from `start`, or put the job into a queue of your own.",
)
def one_after_the_other(subject: LauncherSubject) -> None:
    with subject.launcher(jobs=1) as (launcher, place):
        jobs = [job(place, name, "--version") for name in ("first", "second")]
        ends: dict[str, JobEnd] = {}
        waiting = list(jobs)

        def step() -> bool:
            if waiting and launcher.start(waiting[0]) is not None:
                waiting.pop(0)
            ends.update({end.name: end for end in launcher.ended()})
            return not waiting and ends.keys() == {one.name for one in jobs}

        _until(step, "two jobs did not end")


@rule(
    "launcher",
    summary="A new instance finds a job again by what `start` returned, or says that it does not.",
    why="If the process that started jobs ends, the next call of the same command asks for each of them.",
    fix="`attach(job, handle)` returns True if `ended` of this instance will report the job, also if it has ended "
    "already; otherwise False.",
)
def finds_a_job_again(subject: LauncherSubject) -> None:
    with subject.launcher() as (launcher, place):
        one = job(place, "version", "--version")
        handles: list[str] = []

        def begun() -> bool:
            handle = launcher.start(one)
            if handle is not None and not isinstance(handle, str):
                raise Violation(f"start() returned {type(handle).__name__}, not text or None")
            handles.extend(filter(None, [handle]))
            return handle is not None

        _until(begun, "start() returned None")
        other = subject.made(place / "launcher")
        found = other.attach(one, handles[-1] if handles else "")
        if not isinstance(found, bool):
            raise Violation(f"attach() returned {type(found).__name__}, not True or False")
        ends: list[Any] = []

        def ended() -> bool:
            first = list(launcher.ended())  # a process that nobody waits for does not end
            ends.extend(other.ended() if found else first)
            return bool(ends)

        _until(ended, "attach() returned True, but ended() did not report the job" if found else "no end")


@rule(
    "launcher",
    summary="`stop` ends a run, and `ended` reports it.",
    why="Ctrl-C has to stop runs, which write a checkpoint then and can be continued.",
    fix="Send SIGTERM to the process, or do what has the same effect.",
)
def stops_a_run(subject: LauncherSubject) -> None:
    with subject.launcher() as (launcher, place):
        long = spec(pictures(place / "pictures"), place / "runs")
        long["train"] = {"epochs": 100_000, "batch_size": 8}
        write_json(place / "long.json", long)
        one = job(place, "tiny", "run", str(place / "long.json"))
        started(launcher, one)
        _until(
            lambda: (one.directory / "metrics.jsonl").is_file() or _gone(launcher), "the run did not begin"
        )
        launcher.stop([one.name])
        wait(launcher, one.name)


def _gone(launcher: Any) -> bool:
    ends = list(launcher.ended())
    if ends:
        raise Violation(f"the run ended with code {ends[0].code} before it was stopped")
    return False


RULES: Final[tuple[Rule[LauncherSubject], ...]] = (
    declaration,
    protocol,
    runs_a_job,
    reports_a_failure,
    one_after_the_other,
    finds_a_job_again,
    stops_a_run,
)

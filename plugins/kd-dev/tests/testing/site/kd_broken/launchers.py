"""Launchers that break one rule each; all but `Real` only look as if they started something."""

from __future__ import annotations

import os
import subprocess

from kdcore import JobEnd


class Good:
    def __init__(self, options, setup):
        self.ends, self.running = [], []

    def start(self, job):
        self.write(job.log, "kd 1.0" if "--version" in job.arguments else " ".join(job.arguments))
        if "run" in job.arguments:
            self.write(job.directory / "metrics.jsonl", "")
            self.running.append(job.name)
        else:
            self.ends.append(JobEnd(job.name, 2 if "validate" in job.arguments else 0))
        return job.name

    def attach(self, job, handle):
        return False

    def ended(self):
        ends, self.ends = self.ends, []
        return ends

    def stop(self, names):
        self.ends += [JobEnd(name, 143) for name in names if name in self.running]

    def write(self, path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


class NoSetup(Good):
    def __init__(self, options):
        super().__init__(options, None)


class NoAttach(Good):
    attach = None


class NoLog(Good):
    def write(self, path, text):
        if path.suffix != ".log" or "version" not in path.name:
            super().write(path, text)


class Repeats(Good):
    def ended(self):
        return list(self.ends)


class OnlySuccess(Good):
    def ended(self):
        return [end for end in super().ended() if end.code != 2]


class OneJob(Good):
    def start(self, job):
        if self.ends or getattr(self, "busy", False):
            return None
        self.busy = True
        return super().start(job)


class NeverStops(Good):
    def stop(self, names):
        pass


class Forgets(Good):
    def attach(self, job, handle):
        return True


class FindsAgain(Good):
    def attach(self, job, handle):
        self.ends.append(JobEnd(job.name, 0))
        return True


class Vague(Good):
    def attach(self, job, handle):
        return None


class EndsAtOnce(Good):
    def start(self, job):
        if "run" in job.arguments:
            self.ends.append(JobEnd(job.name, 1))
            return job.name
        return super().start(job)


class Real(Good):
    """Processes, any number at a time."""

    def start(self, job):
        job.log.parent.mkdir(parents=True, exist_ok=True)
        with job.log.open("ab") as log:
            popen = subprocess.Popen(
                job.command, stdout=log, stderr=log, cwd=job.folder, env={**os.environ, **job.environment}
            )
        self.running.append((job.name, popen))
        return str(popen.pid)

    def ended(self):
        over = [one for one in self.running if one[1].poll() is not None]
        self.running = [one for one in self.running if one not in over]
        return [JobEnd(name, popen.returncode) for name, popen in over]

    def stop(self, names):
        for name, popen in self.running:
            if name in names:
                popen.terminate()

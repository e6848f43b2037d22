"""Inputs that changed since a run's checkpoint: changes of results are errors, changes of rounding are reported."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from kdcore.errors import Problem

if TYPE_CHECKING:
    from kdcore.run.fingerprint import Fingerprint

HINT: Final = (
    "'kd run SPEC --fresh' deletes the run and starts again; "
    "'kd run SPEC --accept-changes' continues with the changed inputs and records the changes"
)
_MOST_NAMES: Final = 6
_DETAILS: Final = {
    "names": "some files have a different name or are in a different folder",
    "labels": "some have a different label",
    "sizes": "some files have a different size",
    "contents": "some files have different content",
}


@dataclass(frozen=True)
class Changes:
    """The differences between two fingerprints.

    Attributes:
        problems: one for each change that affects results.
        notes: one line for each change that affects only how numbers are rounded.
        teacher: whether the teacher or the evaluation images changed, so that the teacher has to be measured again.
    """

    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    teacher: bool = False

    def as_text(self) -> list[str]:
        """The problems as lines, to record what was accepted."""
        return [f"{problem.where}: {problem.message}" for problem in self.problems]


def compare(before: Fingerprint, now: Fingerprint) -> Changes:
    """Compare the fingerprint in a checkpoint with the one of this start."""
    changes = Changes()
    problems = changes.problems
    for name, teacher in now["teachers"].items():
        where = "teacher" if len(now["teachers"]) == 1 else f"teacher '{name}'"
        problems += _teacher(where, before["teachers"].get(name), teacher)
    problems += _images("student", before["student"], now["student"])
    for split in ("train", "eval"):
        problems += _split(split, before[split], now[split])
    problems += _plugins(before["plugins"], now["plugins"])
    problems += _device(before["machine"], now["machine"])
    notes = [*_machine(before["machine"], now["machine"])]
    if not problems:
        notes += [note for split in ("train", "eval") for note in _modified(split, before[split], now[split])]
    measured_anew = any(problem.where.startswith(("teacher", "data.eval_split")) for problem in problems)
    return Changes(problems, notes, measured_anew)


def _problem(where: str, what: str, detail: str) -> Problem:
    return Problem(where, f"{what} changed since the run's last checkpoint: {detail}", hint=HINT)


def _teacher(where: str, before: dict[str, Any] | None, now: dict[str, Any]) -> list[Problem]:
    if before is None:
        return []  # the spec says which teachers there are
    if before["model"] != now["model"]:
        return [_problem(where, "the teacher", f"{before['model']} before, {now['model']} now")]
    if before["weights"] != now["weights"]:
        digests = f"SHA-256 {_short(before['weights'])} before, {_short(now['weights'])} now"
        return [_problem(where, "the teacher's weights", digests)]
    return _images(where, before, now)


def _images(role: str, before: dict[str, Any], now: dict[str, Any]) -> list[Problem]:
    """Changes of a model's input: size, mean, standard deviation and so on."""
    return [
        _problem(
            role,
            f"the {role.partition(' ')[0]}'s {name.replace('_', ' ')}",
            f"{before.get(name)} before, {now[name]} now",
        )
        for name in now
        if before.get(name) != now[name]
    ]


def _split(split: str, before: dict[str, Any] | None, now: dict[str, Any] | None) -> list[Problem]:
    if before is None or now is None:
        return []
    where = f"data.{split}_split"
    images = "the training images" if split == "train" else "the evaluation images"
    if before["classes"] != now["classes"]:
        return [_problem(where, "the classes", _lists(before["classes"], now["classes"]))]
    if before["samples"] != now["samples"]:
        return [_problem(where, images, f"{before['samples']} before, {now['samples']} now")]
    for key, detail in _DETAILS.items():
        if before[key] != now[key]:
            return [_problem(where, images, detail)]
    return []


def _modified(split: str, before: dict[str, Any] | None, now: dict[str, Any] | None) -> list[str]:
    if before is None or now is None or None in (before["modified"], now["modified"]):
        return []
    if now["modified"] <= before["modified"]:
        return []
    when = datetime.fromtimestamp(now["modified"] / 1e9, UTC).strftime("%Y-%m-%d %H:%M UTC")
    images = "training" if split == "train" else "evaluation"
    return [
        f"data: {images} images were written at {when}, after the last checkpoint. Their number, names, labels and "
        "sizes are unchanged, and so is the content of those that are compared"
    ]


def _plugins(before: dict[str, dict[str, Any]], now: dict[str, dict[str, Any]]) -> list[Problem]:
    found = []
    for name in sorted(before.keys() | now.keys()):
        where, old, new = f"plugin {name}", before.get(name), now.get(name)
        was, is_now = _release(old), _release(new)
        if was != is_now:
            found.append(_problem(where, "the plugin", f"{was} before, {is_now} now"))
        elif old is not None and new is not None and old["code"] != new["code"]:
            found.append(
                _problem(where, "the plugin's code", f"{is_now} has different code with the same version")
            )
    return found


def _release(plugin: dict[str, Any] | None) -> str:
    return "not used" if plugin is None else f"{plugin['distribution']} {plugin['version']}"


def _device(before: dict[str, Any], now: dict[str, Any]) -> list[Problem]:
    if before["device"] == now["device"]:
        return []
    detail = f"{before['device']} before, {now['device']} now; dropout draws different random numbers on each"
    return [_problem("device", "the device", detail)]


def _machine(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    changed = [
        f"{label} {before[key]} -> {now[key]}"
        for key, label in (("name", "GPU"), ("threads", "threads"), ("processes", "processes"))
        if before[key] != now[key] and before["device"] == now["device"]
    ]
    libraries = now["libraries"]
    changed += [
        f"{name} {before['libraries'].get(name)} -> {libraries[name]}"
        for name in libraries
        if before["libraries"].get(name) != libraries[name]
    ]
    if not changed:
        return []
    return [
        f"since the last checkpoint: {', '.join(changed)}; numbers may be rounded differently from here on"
    ]


def _lists(before: list[str] | None, now: list[str] | None) -> str:
    if before is None or now is None:
        return "the class names are known either before or now, but not both times"
    gone = [name for name in before if name not in set(now)]
    new = [name for name in now if name not in set(before)]
    if not gone and not new:
        return "the same names in a different order"
    parts = [f"{label}: {_listed(names)}" for label, names in (("removed", gone), ("new", new)) if names]
    return "; ".join(parts)


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMES])
    return shown if len(names) <= _MOST_NAMES else f"{shown} and {len(names) - _MOST_NAMES} more"


def _short(digest: str | None) -> str:
    return "unknown" if digest is None else digest[:12]

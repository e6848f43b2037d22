"""Trackers of experiments, by accelerate's names; needs neither torch nor accelerate."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Final

from kdcore.errors import Problem, listed, nearest
from kdcore.plugins.pip_hint import pip_install
from kdcore.spec import installed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kdcore.spec.models import TrackerSpec

_MODULES: Final = {
    "tensorboard": ("tensorboard", "tensorboardX")
}  # any of them is enough; otherwise the module of its name
_PACKAGES: Final = {"comet_ml": "comet-ml"}  # as pip calls it


def check_trackers(trackers: Sequence[TrackerSpec]) -> Iterator[Problem]:
    """What is wrong with the names of trackers."""
    known = installed.TRACKERS
    for number, tracker in enumerate(trackers):
        where = f"trackers[{number}]"
        if tracker.name not in known:
            message = "accelerate has no tracker of this name"
            yield Problem(where, message, tracker.name, listed(known, 20), nearest(tracker.name, known))
        elif tracker.name in [other.name for other in trackers[:number]]:
            yield Problem(where, "this tracker is named twice", tracker.name)


def missing_libraries(trackers: Sequence[TrackerSpec]) -> Iterator[Problem]:
    """The libraries of trackers that are not installed, each with the command that installs it."""
    for number, tracker in enumerate(trackers):
        modules = _MODULES.get(tracker.name, (tracker.name,))
        if not any(importlib.util.find_spec(module) for module in modules):
            package = _PACKAGES.get(tracker.name, tracker.name)
            message = f"this tracker needs the package {package}, which is not installed"
            yield Problem(f"trackers[{number}]", message, tracker.name, hint=pip_install(package))

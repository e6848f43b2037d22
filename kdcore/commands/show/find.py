"""What has a name, in any role; and the message if nothing has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kdcore.entries import CommandEntry
from kdcore.errors import Problem, UserError, listed, nearest
from kdcore.plugins.records import normalised
from kdcore.plugins.roles import ROLES
from kdcore.spec import installed
from kdcore.spec.names import DOT, plain_optimizer

if TYPE_CHECKING:
    from kdcore.plugins import Plugins, Provided
    from kdcore.plugins.roles import Role

WHERE: Final = "kd show"
_PAGE: Final = "docs/methods/dot.md"  # of the only optimizer that is kd's own


def find(name: str, plugins: Plugins) -> list[tuple[Role, Provided[Any]]]:
    """All things of this name, a `name` or `plugin/name`: one for each role that has it.

    Raises:
        UserError: there is none.
    """
    found: list[tuple[Role, Provided[Any]]] = []
    failures: list[Problem] = []
    for kind, role in ROLES.items():
        try:
            found.append((role, plugins.find(kind, name, WHERE)))
        except UserError as error:
            failures += error.problems
    if found:
        return found
    raise UserError(_best(failures, name, plugins))


def names(plugins: Plugins) -> set[str]:
    """What plugins declare, without the commands, which `kd --help` lists."""
    return {item.entry.name for item in plugins.everything() if not isinstance(item.entry, CommandEntry)}


def _best(failures: list[Problem], name: str, plugins: Plugins) -> Problem:
    # a failure that knows the name (two plugins have it, or one that is missing) beats those that do not
    knowing = [problem for problem in failures if not problem.message.startswith("there is no")]
    if knowing:
        return knowing[0]
    if (optimizer := _optimizer(name)) is not None:
        return optimizer
    hints = [problem.hint for problem in failures if problem.nearest is not None and problem.hint]
    if any(normalised(name) in info.candidate.names for info in plugins.infos):
        hints = [f"it is a plugin: kd plugins {name}"]
    near = nearest(name, [problem.nearest for problem in failures if problem.nearest is not None])
    return Problem(
        WHERE,
        "nothing has this name",
        value=name,
        nearest=near,
        allowed=listed(names(plugins), most=40),
        hint=hints[0] if hints else None,
    )


def _optimizer(name: str) -> Problem | None:
    """The message for an optimizer, which no plugin declares; None if the name is not one."""
    if name.lower() == DOT:
        what = (
            "SGD with a momentum for the gradient of the task and a larger one for those of the distillers. Its option "
            f"is 'optimizer.delta'; {_PAGE} has its formula, its paper and a whole spec"
        )
    elif plain_optimizer(name) in installed.optimizers():
        what = "it is one of timm's; 'optimizer.options' has the options of its own"
    else:
        return None
    hint = f'in a spec: "optimizer": {{"name": "{name.lower()}"}}\n    {what}'
    return Problem(WHERE, "this is an optimizer, and kd show describes what plugins declare", name, hint=hint)

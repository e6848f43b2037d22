"""The number of this process among a run's processes, from the launcher's variables (torchrun, accelerate launch)."""

from __future__ import annotations

import os
import sys
from typing import Final

from kdcore.errors import Problem, UserError
from kdcore.text import printable

_ADDRESS: Final = ("MASTER_ADDR", "MASTER_PORT")
_PLACE: Final = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
_HINT: Final = (
    "start the processes with torchrun or accelerate launch, or unset these variables to use one process"
)


def rank() -> int:
    """The number of this process; 0 is the main one.

    If variables are left over from an earlier launch, without the address at which the processes meet, they are removed
    from the environment with a line on stderr: then this is a single process.

    Raises:
        UserError: the variables are incomplete or wrong.
    """
    given = {name: os.environ[name] for name in _PLACE if os.environ.get(name, "").strip()}
    if not given:
        return 0
    missing = [name for name in _ADDRESS if not os.environ.get(name, "").strip()]
    if _ADDRESS[0] in missing:
        _take_out(given)
        return 0
    numbers = {name: _number(name, value) for name, value in given.items()}
    missing += [name for name in ("RANK", "WORLD_SIZE") if name not in given]
    if missing and numbers.get("WORLD_SIZE", 2) > 1:
        message = f"not set, but {', '.join(given)} say that this is one of several processes"
        raise UserError(Problem(name, message, hint=_HINT) for name in missing)
    if "WORLD_SIZE" in numbers and numbers.get("RANK", 0) >= max(numbers["WORLD_SIZE"], 1):
        allowed = f"0 to {numbers['WORLD_SIZE'] - 1}, since WORLD_SIZE is {numbers['WORLD_SIZE']}"
        raise UserError(
            Problem("RANK", "there is no process with this number", numbers["RANK"], allowed, hint=_HINT)
        )
    return numbers.get("RANK", 0)


def processes() -> int:
    """The number of processes that share this run.

    Raises:
        UserError: the variables are incomplete or wrong.
    """
    rank()
    value = os.environ.get("WORLD_SIZE", "").strip()
    return max(1, _number("WORLD_SIZE", value)) if value else 1


def _take_out(given: dict[str, str]) -> None:
    for name in given:
        del os.environ[name]
    alone = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    if all(value.strip() == alone[name] for name, value in given.items()):  # they describe a single process
        return
    shown = ", ".join(f"{name}={printable(value)}" for name, value in given.items())
    if sys.stderr is not None:
        print(
            f"warning: {shown} is ignored because MASTER_ADDR is not set: this is a single process\n    {_HINT}",
            file=sys.stderr,
            flush=True,
        )


def _number(name: str, value: str) -> int:
    try:
        number = int(value)
    except ValueError:
        number = -1
    # launchers use -1 if there is only one process
    if number < 0 and value.strip() != "-1":
        raise UserError(Problem(name, "not a number of processes", value, "a whole number", hint=_HINT))
    return max(number, 0)

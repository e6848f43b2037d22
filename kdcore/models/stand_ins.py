"""What is next to weights in other tools' checkpoints (numbers of NumPy, paths, settings), read without running it.

torch's weights-only reader builds only tensors and plain values, and refuses a file at the first other name.
Names of the kinds below only hold values. Each is given to the reader with a stand-in that takes everything and keeps
nothing, in place of the class itself: so no code of theirs is run, and the file's weights can be read.
"""

from __future__ import annotations

import contextlib
import pickletools
from typing import TYPE_CHECKING, Any, Final

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

_NAMES: Final = (
    "argparse.Namespace",
    "types.SimpleNamespace",
    "copyreg._reconstructor",
    "collections.deque",
    "collections.ChainMap",
    *(
        f"{home}.{name}"
        for home in ("builtins", "__builtin__")
        for name in ("slice", "range", "xrange", "complex", "object", "frozenset", "list", "dict", "tuple")
    ),
    *(f"{home}.{name}" for home in ("builtins", "__builtin__") for name in ("int", "float", "str", "bool")),
    *(
        f"numpy.{core}.multiarray.{name}"
        for core in ("core", "_core")
        for name in ("scalar", "_reconstruct", "_frombuffer")
    ),
    *(f"numpy.{core}.numeric._frombuffer" for core in ("core", "_core")),
    "numpy.dtype",
    "numpy.ndarray",
    *(
        f"pathlib{home}.{kind}"
        for home in ("", "._local")
        for kind in ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
    ),
)
"""Known whatever the file's format; in zip files names of `_PACKAGES` too."""

_PACKAGES: Final = (
    "numpy.",
    "pathlib.",
    "datetime.",
    "decimal.",
    "fractions.",
    "uuid.",
    "omegaconf.",
    "yacs.config.",
    "addict.",
    "easydict.",
    "ml_collections.",
    "pytorch_lightning.",
    "lightning.",
    "lightning_fabric.",
    "lightning_utilities.",
    "mmengine.",
    "transformers.training_args.",
    "transformers.trainer_utils.",
    "typing.",
)
"""Packages whose objects in a checkpoint are settings and counters."""

_OF_TENSORS: Final = (
    "torch._utils.",
    "torch._tensor.",
    "torch.storage.",
    "torch.FloatStorage",
    "torch.DoubleStorage",
    "torch.HalfStorage",
    "torch.BFloat16Storage",
    "torch.LongStorage",
    "torch.IntStorage",
    "torch.ShortStorage",
    "torch.CharStorage",
    "torch.ByteStorage",
    "torch.BoolStorage",
    "torch.Size",
    "torch.device",
    "torch.nn.parameter.",
    "collections.OrderedDict",
    "collections.Counter",
    "_codecs.encode",
    "builtins.set",
)
"""What torch's reader builds itself, as the older format names it."""


class StandIn:
    """Takes the place of an object next to the weights; holds nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> StandIn:
        """Whatever the object would have been made of."""
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Keep none of it."""

    def __setstate__(self, state: Any) -> None:
        """Keep none of it."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Of a dict's subclass: keep none of it."""

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Of a dict's subclass: keep none of it."""

    def append(self, item: Any) -> None:
        """Of a list's subclass: keep none of it."""

    def extend(self, items: Any) -> None:
        """Of a list's subclass: keep none of it."""


def _default_dict(*_: Any) -> dict[Any, Any]:
    """A `defaultdict` as a plain one, which may hold weights."""
    return {}


def globals_for(path: Path) -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """For `torch.serialization.safe_globals`: a stand-in for each name that only holds values."""
    names = {*_NAMES, *(name for name in unsafe_names(path) if name.startswith(_PACKAGES))}
    return [
        *((dict if name.endswith(".AttributeDict") else StandIn, name) for name in sorted(names)),
        (_default_dict, "collections.defaultdict"),
    ]


def unsafe_names(path: Path) -> list[str]:
    """The functions and classes that unpickling the file would call, those of tensors left out."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # not the zip format, or damaged
        return sorted(name for name in _named_in_pickles(path) if not name.startswith(_OF_TENSORS))


def _named_in_pickles(path: Path) -> set[str]:
    """The names in a file of pickles one after another, read without building anything."""
    found: set[str] = set()
    with contextlib.suppress(Exception), path.open("rb") as file:  # it ends if no pickle follows
        while True:
            texts: list[str] = []
            memo: list[str] = []
            for operation, argument, _ in pickletools.genops(file):
                if operation.name == "GLOBAL":
                    found.add(str(argument).replace(" ", ".", 1))
                elif operation.name == "STACK_GLOBAL" and len(texts) > 1:
                    found.add(".".join(texts[-2:]))
                elif operation.name == "MEMOIZE":
                    memo.append(texts[-1] if texts else "")
                elif operation.name in ("BINGET", "LONG_BINGET") and int(argument or 0) < len(memo):
                    texts.append(memo[int(argument or 0)])
                elif isinstance(argument, str):
                    texts.append(argument)
    return found


def not_stood_in(names: Iterable[str]) -> list[str]:
    """Those of the names that have no stand-in."""
    return [
        name
        for name in names
        if name not in _NAMES and name != "collections.defaultdict" and not name.startswith(_PACKAGES)
    ]

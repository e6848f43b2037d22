"""Which names the installed timm and accelerate know, read from their source text: importing them takes seconds.

Only registered names are looked for. Where their files are not found in the form that is expected, the answer
is None: then the names are checked later, when models and optimizers are built.
"""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, AnyStr, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_REGISTERED: Final = re.compile(rb"^@register_model\s*\n(?:@.*\n)*def (\w+)", re.MULTILINE)
_DEPRECATIONS: Final = re.compile(
    rb"^register_model_deprecations\(__name__, \{(.*?)^\}\)", re.MULTILINE | re.DOTALL
)
_DEPRECATED: Final = re.compile(rb"'([\w.]+)'\s*:")
_OPTIMIZER: Final = re.compile(r"OptimInfo\(\s*(?:name=)?'(\w+)',\s*(?:opt_class=)?(?:'(\w+)\.)?")
_KRON: Final = ("kron", "kronc", "kronw")
_ALIAS: Final = re.compile(r"register_alias\('(\w+)'")
_SCHEDULER: Final = re.compile(r"\bsched (?:==|!=) '(\w+)'|\bsched in \(([^)]*)\)")
_PREFIX: Final = re.compile(r"\bprefix == '(\w+)'")
_TRACKERS: Final = re.compile(r"^LOGGER_TYPE_TO_CLASS = \{(.*?)^\}", re.MULTILINE | re.DOTALL)
_TORCH: Final = re.compile(r"\bname == '(\w+)'|^    (\w+)=\w+,$", re.MULTILINE)


def timm_folder() -> Path | None:
    """Where timm is installed; finding it does not import it."""
    return _folder("timm")


@cache
def _folder(package: str) -> Path | None:
    try:
        found = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    folders = list(found.submodule_search_locations or ()) if found is not None else []
    return Path(folders[0]) if folders else None


@cache
def models() -> frozenset[str] | None:
    """Timm's models, without the tags of their weights."""
    texts = _models_files()
    return frozenset(name.decode() for text in texts for name in _REGISTERED.findall(text)) or None


@cache
def model_files() -> dict[str, str]:
    """The file of timm that has a model, without its suffix, by the model's name."""
    folder = timm_folder()
    files = () if folder is None else sorted((folder / "models").glob("*.py"))
    return {
        name.decode(): file.stem
        for file in files
        for name in _REGISTERED.findall(_quietly(file.read_bytes, b""))
    }


@cache
def deprecated_models() -> frozenset[str]:
    """Old names that timm still takes."""
    blocks = [block for text in _models_files() for block in _DEPRECATIONS.findall(text)]
    return frozenset(name.decode() for block in blocks for name in _DEPRECATED.findall(block))


@cache
def optimizers() -> dict[str, str | None] | None:
    """Timm's optimizers, and the package beside torch that one needs."""
    text = _read("optim/_optim_factory.py")
    found = {
        name: package if package in ("apex", "bitsandbytes") else None
        for name, package in _OPTIMIZER.findall(text)
    }
    found.update(dict.fromkeys(_ALIAS.findall(text)))
    # without this package the first step of kron asks for 100 GB, where timm only warns
    found.update({name: "opt_einsum" for name in _KRON if name in found})
    return found or None


@cache
def second_order() -> frozenset[str]:
    """Timm's optimizers that need second derivatives."""
    declared = _read("optim/_optim_factory.py").split("OptimInfo(")
    found = (re.match(r"\s*(?:name=)?'(\w+)'", text) for text in declared if "second_order=True" in text)
    return frozenset(match[1] for match in found if match is not None)


@cache
def schedulers() -> frozenset[str] | None:
    """Timm's schedulers, and 'none'."""
    text = _read("scheduler/scheduler_factory.py")
    names = {single for single, _ in _SCHEDULER.findall(text) if single}
    names |= {name for _, several in _SCHEDULER.findall(text) for name in re.findall(r"'(\w+)'", several)}
    return frozenset(names) or None


@cache
def dataset_prefixes() -> frozenset[str]:
    """What stands in front of the '/' in a name of timm's dataset factory."""
    return frozenset(_PREFIX.findall(_read("data/dataset_factory.py"))) or frozenset(
        ("torch", "hfds", "hfids", "tfds", "wds")
    )


@cache
def torch_datasets() -> frozenset[str] | None:
    """What may follow `torch/`."""
    found = {single or basic for single, basic in _TORCH.findall(_read("data/dataset_factory.py"))}
    return frozenset(found) or None


@cache
def trackers() -> frozenset[str] | None:
    """Accelerate's trackers of experiments."""
    block = _TRACKERS.search(_read("tracking.py", "accelerate"))
    return frozenset(re.findall(r'"(\w+)":', block[1])) if block is not None else None


@cache
def _models_files() -> tuple[bytes, ...]:
    folder = timm_folder()
    files = () if folder is None else sorted((folder / "models").glob("*.py"))
    return tuple(_quietly(file.read_bytes, b"") for file in files)


def _read(name: str, package: str = "timm") -> str:
    folder = _folder(package)
    return "" if folder is None else _quietly(lambda: (folder / name).read_text(encoding="utf-8"), "")


def _quietly(read: Callable[[], AnyStr], otherwise: AnyStr) -> AnyStr:
    try:
        return read()
    except (OSError, ValueError):
        return otherwise

"""What may stand behind a prefix: a dataset of timm's factory, checked before timm sees it, or kd's own shards.

timm leaves the checking to others, and some of those would run what a name says: webdataset hands URLs to a
shell, tensorflow-datasets fetches community code. So names are held to a safe form here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from kdcore.errors import Problem, UserError, nearest
from kdcore.plugins.pip_hint import pip_install


@dataclass(frozen=True)
class Kind:
    """One prefix: the modules that it needs, how to install them, and whether its datasets are streams."""

    distributions: tuple[str, ...]
    pip: str
    stream: bool


KINDS: Final = {
    "torch": Kind((), "", False),
    "hfds": Kind(("datasets",), "datasets", False),
    "hfids": Kind(("datasets",), "datasets", True),
    "tfds": Kind(("tensorflow", "tensorflow-datasets"), "tensorflow tensorflow-datasets", True),
    "wds": Kind((), "", False),
    "parquet": Kind(("pyarrow",), "pyarrow", False),
    "arrow": Kind(("pyarrow",), "pyarrow", False),
}
SHARDS: Final = {"wds": "webdataset", "parquet": "set of Parquet files", "arrow": "set of Arrow files"}
"""The prefixes that kd reads itself, from a folder of shards, and what is in it."""
TORCH_FOLDERS: Final = ("folder", "image_folder")
_TRAIN_OR_TEST: Final = ("cifar10", "cifar100", "fashion_mnist", "kmnist", "mnist", "qmnist")
_TORCH: Final = (*_TRAIN_OR_TEST, *TORCH_FOLDERS, "imagenet", "inat", "inaturalist", "places365")
_TRAIN: Final = ("train", "training")
_TEST: Final = ("test", "val", "valid", "validation", "eval", "evaluation")
_TFDS_NAME: Final = re.compile(r"[A-Za-z0-9_]+(/[A-Za-z0-9_.-]+)*")


def kind_of(dataset: str) -> Kind | None:
    """The kind of a name like `torch/cifar10`, or None where the name has no prefix of timm's."""
    prefix, slash, _ = dataset.partition("/")
    return KINDS.get(prefix.lower()) if slash else None


def check_name(dataset: str, where: str) -> None:
    """Raises UserError if timm's factory has no dataset of this name, or the name has an unsafe form."""
    prefix, _, name = dataset.partition("/")
    prefix = prefix.lower()
    if not name and prefix not in SHARDS:
        raise UserError(Problem(where, f"a dataset's name is missing after '{prefix}/'", value=dataset))
    if prefix == "torch" and _torch_name(dataset) not in _TORCH:
        names = sorted(f"torch/{known}" for known in _TORCH)
        message = "timm's factory has no dataset of torchvision with this name"
        raise UserError(Problem(where, message, dataset, ", ".join(names), nearest(dataset.lower(), names)))
    if prefix == "tfds" and not _TFDS_NAME.fullmatch(name):
        allowed = "letters, digits and '_', then '/config' or '/version'"
        raise UserError(Problem(where, "this is not a name of a TensorFlow dataset", dataset, allowed))


def check_access(dataset: str, split: str, root: str | None, *, where: str, dataset_where: str) -> None:
    """Raises UserError if split, root or installed libraries do not allow to open a dataset with a correct name."""
    prefix = dataset.partition("/")[0].lower()
    _check_libraries(dataset, KINDS[prefix], dataset_where)
    if prefix == "torch":
        _check_torch_split(_torch_name(dataset), split, where)
    elif prefix in SHARDS and (root is None or not Path(root).is_dir()):
        root_where = dataset_where.rpartition(".")[0] + ".root"
        message = f"a {SHARDS[prefix]} is read from a local folder of shards; give that folder here"
        raise UserError(Problem(root_where, message, root, hint="Download remote shards first."))


def unknown_class_count(title: str, dataset_where: str) -> UserError:
    """The error for a dataset with classes that does not say how many, and of which the spec does not say it."""
    where = dataset_where.rpartition(".")[0] + ".num_classes"
    return UserError(Problem(where, f"{title} does not report its number of classes", hint=f"set {where}"))


def _torch_name(dataset: str) -> str:
    return dataset.lower().rpartition("/")[2]


def _check_torch_split(name: str, split: str, where: str) -> None:
    if name in _TRAIN_OR_TEST and split not in _TRAIN + _TEST:
        # timm would take any other word for the test split
        allowed = "train, test"
        raise UserError(
            Problem(where, f"torch/{name} has no such split", split, allowed, nearest(split, _TRAIN + _TEST))
        )


def _check_libraries(dataset: str, kind: Kind, dataset_where: str) -> None:
    for distribution in kind.distributions:
        try:
            version = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            hint = pip_install(*kind.pip.split())
            problem = Problem(
                dataset_where, f"{distribution} is missing, which this dataset needs", dataset, hint=hint
            )
            raise UserError(problem) from None
        if distribution == "datasets" and int(version.partition(".")[0]) < 4:
            # older ones run Python code that lies in a dataset's repository
            hint = pip_install("datasets>=4")
            raise UserError(Problem(dataset_where, f"datasets {version} is too old", dataset, hint=hint))

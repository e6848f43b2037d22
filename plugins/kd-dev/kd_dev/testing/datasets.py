"""The checks of datasets."""

from __future__ import annotations

import pickle
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from unittest import SkipTest

from PIL import Image

from kd_dev.testing.check import Violation, rule, skip
from kd_dev.testing.declared import call_faults, keywords_of
from kdcore import DatasetEntry, KdError, UserError
from kdcore.inspect import default_arguments
from kdcore.plugin import get_plugins, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kd_dev.testing.check import Rule
    from kdcore import Provided

_LOOKED_AT: Final = 32  # samples of a split, evenly spaced
_WRONG: Final = "no-such-split"


class DatasetSubject:
    """A dataset, its root and its splits.

    Attributes:
        name: its name in test ids.
        provided: its declaration.
        splits: the names of its splits.
    """

    def __init__(
        self, provided: Provided[DatasetEntry], root: str | None, splits: Sequence[str], name: str
    ) -> None:
        self.name = name
        self.provided = provided
        self.splits = tuple(splits)
        self._root = root

    @classmethod
    def of(cls, name: str, root: str | None, splits: Sequence[str]) -> DatasetSubject:
        """The subject; see `kd_dev.testing.dataset_checks`."""
        return cls(get_plugins().find(DatasetEntry, name, "dataset"), root, splits, name)

    @cached_property
    def faults(self) -> list[str]:
        """Faults of the declared target."""
        try:
            options = get_plugins().load_options(self.provided, self.name)
            entry = self.provided.entry
            keywords = keywords_of(entry, options)
            return list(call_faults(self._target, entry.target, ("root", "split"), keywords))
        except UserError as error:
            return [str(error)]

    @property
    def _target(self) -> Any:
        return get_plugins().load(self.provided, self.name)

    def open(self, split: str) -> Any:
        """Open a split again.

        Raises:
            unittest.SkipTest: the check `declaration` fails.
        """
        if self.faults:
            skip("it cannot be called: see the check 'declaration'")
        return self._target(self._root, split, **default_arguments(self.provided, get_plugins(), "options"))

    @cached_property
    def opened(self) -> dict[str, Any] | Exception:
        """The splits, or the exception of opening one."""
        try:
            found = {split: self.open(split) for split in self.splits}
            for dataset in found.values():
                if len(dataset) > 0:
                    _ = dataset[0]
        except SkipTest:
            raise
        except Exception as error:
            return error
        return found

    def datasets(self) -> Iterator[tuple[str, Any]]:
        """Each split and its name.

        Raises:
            unittest.SkipTest: the check `splits` fails.
        """
        if isinstance(self.opened, Exception):
            skip("it cannot be opened and read: see the check 'splits'")
        yield from self.opened.items()


def _require_same_length(dataset: Any, split: str) -> None:
    """Refuse a split that has another number of samples after one was read."""
    size = len(dataset)
    for index in _positions(dataset):
        try:
            _ = dataset[index]
        except Exception:
            if len(dataset) == size:
                raise
        if len(dataset) != size:
            raise Violation(f"{split} has {size} samples, and {len(dataset)} after sample {index} was read")


def _positions(dataset: Any) -> list[int]:
    count = len(dataset)
    return sorted({*range(0, count, max(count // _LOOKED_AT, 1)), *([count - 1] if count else [])})


def _label(value: Any) -> Any:
    return -1 if value is None else value


@rule(
    "dataset",
    summary="The declared target can be loaded, and called with `(root, split)`.",
    why="Until a run opens a dataset, kd knows only its declaration.",
    fix="Correct `target` in the `DatasetEntry`, or the signature of the target.",
)
def declaration(subject: DatasetSubject) -> None:
    if subject.faults:
        raise Violation("; ".join(subject.faults))


@rule(
    "dataset",
    summary="Each split opens, has samples that can be read, keeps its length, and differs from the others.",
    why="A split that ignores its name gives the training images for evaluation, too. The order of a run's samples "
    "depends on the length.",
    fix="Read the images of `split` below `root`, and decide in the constructor which samples there are; the message "
    "shows the error.",
)
def splits(subject: DatasetSubject) -> None:
    if isinstance(subject.opened, Exception):
        error = subject.opened
        raise Violation(f"opening and reading the splits raised {type(error).__name__}: {error}") from error
    seen: dict[Any, str] = {}
    for split, dataset in subject.opened.items():
        if len(dataset) == 0:
            raise Violation(f"split {split!r} is empty")
        _require_same_length(subject.open(split), split)
        content = (len(dataset), *(_bytes(dataset[index]) for index in _positions(dataset)))
        if content in seen:
            raise Violation(f"splits {seen[content]!r} and {split!r} are the same {len(dataset)} samples")
        seen[content] = split


@rule(
    "dataset",
    summary="Each sample is a pair of a PIL image and a label.",
    why="kd itself decodes, augments and normalises, in the same way for all datasets.",
    fix="Return `(image, label)`, the image as `PIL.Image.open` or `Image.fromarray` gives it.",
)
def images_are_pil(subject: DatasetSubject) -> None:
    for split, dataset in subject.datasets():
        for index in _positions(dataset):
            sample = dataset[index]
            if not isinstance(sample, tuple | list) or len(sample) != 2:
                raise Violation(f"{split}[{index}] is {type(sample).__name__}, not a pair")
            if not isinstance(sample[0], Image.Image):
                raise Violation(
                    f"{split}[{index}] has an image of type {type(sample[0]).__name__}, not PIL's"
                )
            if 0 in sample[0].size:
                raise Violation(
                    f"{split}[{index}] has an image of {sample[0].size[0]}x{sample[0].size[1]} pixels"
                )


@rule(
    "dataset",
    summary="Labels are integers from 0 (-1 or None: unlabelled), the same in the samples and in `targets`, if "
    "it has these; it has them if only some samples have a label.",
    why="kd reads `targets` or `labels`, one for each sample, to draw subsets, to give distillers labels, and to know "
    "which samples have none, without opening images.",
    fix="Return `int(label)`; keep `targets` in the order of the samples.",
)
def length_and_labels(subject: DatasetSubject) -> None:
    for split, dataset in subject.datasets():
        listed = getattr(dataset, "targets", getattr(dataset, "labels", None))
        if listed is not None and len(listed) != len(dataset):
            raise Violation(f"{split} has {len(dataset)} samples and {len(listed)} targets")
        found = {}
        for index in _positions(dataset):
            label = _label(dataset[index][1])
            if isinstance(label, bool) or not hasattr(label, "__index__") or label < -1:
                raise Violation(f"{split}[{index}] has the label {shown(label)}, which is not a class index")
            if listed is not None and int(_label(listed[index])) != int(label):
                raise Violation(
                    f"{split}[{index}] has the label {int(label)}, but its targets say {listed[index]}"
                )
            found[int(label) >= 0] = index
        if listed is None and len(found) == 2:
            raise Violation(
                f"{split}[{found[False]}] has no label, {split}[{found[True]}] has one, and there are no `targets`"
            )


@rule(
    "dataset",
    summary="The declared number of classes, `classes` and the labels agree, in every split.",
    why="The number of classes is the student's number of logits. A label beyond it ends the run with an "
    "error of indices.",
    fix="Correct `num_classes` in the `DatasetEntry`, or number the classes from 0 in one order for all "
    "splits.",
)
def classes_match_declaration(subject: DatasetSubject) -> None:
    declared = subject.provided.entry.num_classes
    first: tuple[str, list[str]] | None = None
    for split, dataset in subject.datasets():
        names = getattr(dataset, "classes", None)
        count = declared if names is None else len(names)
        if declared is not None and count != declared:
            raise Violation(f"{split} has {count} classes, but {declared} are declared")
        labels = getattr(dataset, "targets", getattr(dataset, "labels", None))
        known = labels if labels is not None else [dataset[index][1] for index in _positions(dataset)]
        largest = max((int(_label(label)) for label in known), default=-1)
        if count is not None and largest >= count:
            raise Violation(
                f"{split} has the label {largest}, but the last of {count} classes is {count - 1}"
            )
        if names is not None:
            first = first or (split, list(names))
            if list(names) != first[1]:
                raise Violation(f"the classes of {first[0]} and {split} differ, or have a different order")


@rule(
    "dataset",
    summary="If a split is opened again and read in another order, it has the same images and labels.",
    why="A sample is known by its position: to the seeded order of a run, to memories, and to a teacher's "
    "cache.",
    fix="Sort what the file system lists. Leave shuffling and augmentation to kd.",
)
def deterministic(subject: DatasetSubject) -> None:
    for split, dataset in subject.datasets():
        again = subject.open(split)
        if len(again) != len(dataset):
            raise Violation(f"{split} has {len(dataset)} samples, but {len(again)} when it is opened again")
        for index in reversed(_positions(dataset)):
            if _bytes(dataset[index]) != _bytes(again[index]):
                raise Violation(f"{split}[{index}] is a different sample when it is opened again")


@rule(
    "dataset",
    summary="A split can be pickled, and the copy gives the same samples.",
    why="Loader processes that are not forked receive the dataset by pickling.",
    fix="Hold paths rather than open files, and use no lambdas; open files when a sample is first read.",
)
def pickles(subject: DatasetSubject) -> None:
    for split, dataset in subject.datasets():
        try:
            copy = pickle.loads(pickle.dumps(dataset))  # noqa: S301  # what was dumped here
        except Exception as error:
            raise Violation(f"{split} cannot be pickled: {type(error).__name__}: {error}") from error
        for index in _positions(dataset):
            if _bytes(copy[index]) != _bytes(dataset[index]):
                raise Violation(f"{split}[{index}] is a different sample in the copy")


@rule(
    "dataset",
    summary="A split that does not exist is refused with UserError or ValueError; the message names it or "
    "the existing splits.",
    why="kd shows the message as an error of the spec, at `data.train_split`.",
    fix='Raise `ValueError(f"there is no split {split!r}; there are train, test")`.',
)
def bad_split_is_clear(subject: DatasetSubject) -> None:
    try:
        dataset = subject.open(_WRONG)
    except SkipTest:
        raise
    except (KdError, ValueError) as error:
        if not any(name in str(error) for name in (_WRONG, *subject.splits)):
            raise Violation(f"for split {_WRONG!r} the message is {str(error)!r}") from error
    except Exception as error:
        raise Violation(f"for split {_WRONG!r} it raised {type(error).__name__}: {error}") from error
    else:
        raise Violation(f"for split {_WRONG!r} it gave {type(dataset).__name__} with {len(dataset)} samples")


def _bytes(sample: Any) -> tuple[Any, ...]:
    """A sample in a form that can be compared."""
    if not isinstance(sample, tuple | list) or len(sample) != 2 or not isinstance(sample[0], Image.Image):
        return (repr(sample),)
    image, label = sample
    return image.mode, image.size, image.tobytes(), _label(label)


RULES: Final[tuple[Rule[DatasetSubject], ...]] = (
    declaration,
    splits,
    images_are_pil,
    length_and_labels,
    classes_match_declaration,
    deterministic,
    pickles,
    bad_split_is_clear,
)

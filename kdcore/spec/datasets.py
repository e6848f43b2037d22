"""From the name of a dataset to what it means: a plugin's, timm's factory's, or a folder, archive or table of images.

Checking a spec and opening its data both ask here, so that they agree.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kdcore.entries import DatasetEntry
from kdcore.errors import Problem, UserError, nearest
from kdcore.plugins import Provided
from kdcore.spec.hub_options import HubOptions, is_hub
from kdcore.spec.option_paths import located
from kdcore.spec.paths import absolute, kind_of, missing
from kdcore.spec.resolve import resolve_options, validated
from kdcore.spec.table_options import TableOptions
from kdcore.spec.timm_datasets import KINDS, check_name

if TYPE_CHECKING:
    from pydantic import BaseModel

    from kdcore.plugins import Plugins
    from kdcore.spec.models import DataSpec

WHERE: Final = "data.dataset"
TARS: Final = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".tbz")
ZIP: Final = ".zip"
ARCHIVES: Final = (*TARS, ZIP)
TABLES: Final = (".csv", ".tsv", ".jsonl", ".parquet")
_OTHER_ARCHIVES: Final = (".gz", ".xz", ".bz2", ".zst", ".7z", ".rar")


@dataclass(frozen=True)
class TimmDataset:
    """A dataset of timm's factory, or shards, by its whole name."""

    name: str


@dataclass(frozen=True)
class ImageFiles:
    """A folder, a tar or a zip of images."""

    path: Path
    is_folder: bool


@dataclass(frozen=True)
class ImageTable:
    """A table with a row for each image."""

    path: Path


def resolve_dataset(
    data: DataSpec, base: Path, plugins: Plugins, where: str = WHERE
) -> Provided[DatasetEntry] | TimmDataset | ImageFiles | ImageTable:
    """What `data.dataset` means; a relative path is looked for in `base`, then in `data.root`.

    Raises:
        UserError: there is no such dataset, folder, archive or table.
    """
    name = data.dataset
    if name in {known for item in plugins.all(DatasetEntry) for known in (item.entry.name, item.qualified)}:
        return plugins.find(DatasetEntry, name, where)
    prefix, slash, _ = name.partition("/")
    if slash and prefix.lower() in KINDS:
        check_name(name, where)
        return TimmDataset(name)
    paths = [absolute(name, base)]
    if data.root is not None:
        paths.append(absolute(name, Path(absolute(data.root, base))))
    paths = list(dict.fromkeys(paths))
    for path in paths:
        kind = kind_of(path)
        if kind == "folder" or (kind == "file" and path.lower().endswith(ARCHIVES)):
            return ImageFiles(Path(path), kind == "folder")
        if kind == "file" and path.lower().endswith(TABLES):
            return ImageTable(Path(path))
        if kind == "file":
            message = f"kd cannot read images from the file {path}"
            allowed = f"a folder, or a file that ends in {', '.join((*ARCHIVES, *TABLES))}"
            raise UserError(Problem(where, message, name, allowed))
    raise UserError(_unknown(name, paths, plugins, where))


def check_dataset(data: DataSpec, base: Path, plugins: Plugins) -> tuple[str, list[Problem]]:
    """The dataset's name, absolute if it is a path, and what is wrong with it."""
    try:
        found = resolve_dataset(data, base, plugins)
    except UserError as error:
        return data.dataset, list(error.problems)
    if isinstance(found, ImageFiles | ImageTable):
        return str(found.path), []
    if isinstance(found, Provided):
        known = found.entry.num_classes
        if None not in (known, data.num_classes) and known != data.num_classes:
            message = f"{data.dataset} has {known} classes"
            return data.dataset, [Problem("data.num_classes", message, data.num_classes, hint="leave it out")]
    return data.dataset, []


def check_unlabelled(data: DataSpec, base: Path) -> tuple[str | None, list[Problem]]:
    """The absolute path of `data.unlabelled`, which is looked for like a dataset, and what is wrong with it."""
    name, where = data.unlabelled, "data.unlabelled"
    if name is None:
        return None, []
    roots = [base] if data.root is None else [base, Path(absolute(data.root, base))]
    paths = [absolute(name, root) for root in roots]
    path = next((one for one in paths if kind_of(one) is not None), paths[0])
    if kind_of(path) is None:
        return path, [missing(where, name, path, "folder, tar, zip or table")]
    if kind_of(path) == "file" and not path.lower().endswith((*ARCHIVES, *TABLES)):
        allowed = f"a folder, or a file that ends in {', '.join((*ARCHIVES, *TABLES))}"
        return path, [Problem(where, f"kd cannot read images from the file {path}", name, allowed)]
    return path, []


def dataset_options(data: DataSpec, base: Path, plugins: Plugins) -> tuple[dict[str, Any], list[Problem]]:
    """The dataset's options with the defaults of the options that are left out, and what is wrong with them."""
    try:
        provided = plugins.find(DatasetEntry, data.dataset, WHERE)
    except UserError:  # it is not a plugin's, or another check reports it
        if is_hub(data.dataset):
            return _validated(data, HubOptions, "a Hugging Face dataset")
        if data.dataset.lower().endswith(TABLES):
            return _validated(data, TableOptions, "a table of images")
        message = "only tables, datasets 'hfds/...' and datasets of plugins have options, and this is not one of them"
        return data.options, [Problem("data.options", message, data.options)] if data.options else []
    try:
        options = resolve_options(provided, data.options, plugins, "data.options")
    except UserError as error:
        return data.options, list(error.problems)
    if options is not None:
        paths, problems = located(options, base, "data.options")
        return {**options.model_dump(mode="json", by_alias=True, round_trip=True), **paths}, problems
    message = f"dataset '{provided.entry.name}' has no options"
    return data.options, [Problem(f"data.options.{key}", message, data.options[key]) for key in data.options]


def _validated(data: DataSpec, model: type[BaseModel], owner: str) -> tuple[dict[str, Any], list[Problem]]:
    try:
        options = validated(model, data.options, owner, "data.options")
    except UserError as error:
        return data.options, list(error.problems)
    return options.model_dump(mode="json"), []


def _unknown(name: str, paths: list[str], plugins: Plugins, where: str) -> Problem:
    looks_like_path = (
        name.startswith((".", "~"))
        or os.path.isabs(name)  # noqa: PTH117  # pathlib and the rest of this package read it alike
        or name.lower().endswith((*ARCHIVES, *TABLES, *_OTHER_ARCHIVES))
    )
    prefix = name.partition("/")[0]
    plugin_names = {info.name for info in plugins.infos} | {info.distribution for info in plugins.infos}
    if "\\" in name or ("/" in name and prefix not in plugin_names):
        looks_like_path = True
    looked = " or ".join(paths)
    if not looks_like_path:
        try:
            plugins.find(DatasetEntry, name, where)
        except UserError as error:
            problem = error.problems[0]
            near = problem.nearest or missing(where, name, paths[0], "").nearest
            allowed = problem.allowed
            if allowed is not None:
                allowed = f"{allowed}; a folder, archive or table of images; {_prefixes()}"
            hints = [
                hint
                for hint in (problem.hint, f"there is no folder, archive or table {looked} either")
                if hint
            ]
            return dataclasses.replace(problem, nearest=near, allowed=allowed, hint="\n    ".join(hints))
    problem = missing(where, name, paths[0], "folder, archive or table")
    near_prefix = nearest(prefix, KINDS) if "/" in name else None
    near = problem.nearest or (f"{near_prefix}/{name.partition('/')[2]}" if near_prefix else None)
    message = f"there is no folder, archive or table {looked}"
    return dataclasses.replace(
        problem,
        message=message,
        nearest=near,
        allowed=f"a folder, a tar, a zip, a table, a registered name, or {_prefixes()}",
    )


def _prefixes() -> str:
    return "a dataset of timm's factory, whose name starts with " + " or ".join(
        f"{prefix}/" for prefix in sorted(KINDS)
    )

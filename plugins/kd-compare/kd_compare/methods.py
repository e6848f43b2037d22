"""Which methods a comparison has: from the request's names, variants and specs to labels and a baseline."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from kd_compare.request import ALL, Variant
from kdcore import DistillerEntry, Problem, UserError
from kdcore.inspect import read_values
from kdcore.plugin import listed, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from kd_compare.request import Request
    from kdcore.inspect import LoadedSpec
    from kdcore.plugin import Plugins

_BASELINE: Final = "baseline"  # the kind of distillers that train without a teacher
_RUN_NAME: Final = 128
_LONGEST_END: Final = len(f"-seed{2**63}")


def chosen_methods(request: Request, plugins: Plugins, *, alone: bool = True) -> list[Variant]:
    """The methods of a request, with a baseline if the request names distillers or variants.

    `alone`: whether a student without a teacher can be trained; without labels or a classifier it has no loss.

    Raises:
        UserError: a distiller is not known.
    """
    base = request.specs[0]
    if len(request.specs) > 1:
        if request.distillers is not None:
            message = "cannot be used with several specs: each spec has its own distiller"
            raise UserError(Problem("--distillers", message, ",".join(request.distillers)))
        return [Variant(None, path) for path in request.specs]
    own = _own_distiller(base, request.overrides)
    baselines = _baselines(plugins)
    found = list(request.variants)
    if request.distillers is not None:
        names = [name for name in request.distillers if name]
        found += [_named(name, base, own) for name in _by_name(names, plugins)]
    elif not request.variants:
        found.append(Variant(None, base))
        if _name(own) in baselines:
            return found
    labels = {variant.label or variant.distiller for variant in found}
    if alone and request.baseline is None and baselines and not labels & set(baselines):
        found.insert(0, _named(baselines[0], base, own))
    return found


def _baselines(plugins: Plugins) -> list[str]:
    """The names of the distillers that train without a teacher, the core's first."""
    items = [item for item in plugins.all(DistillerEntry) if item.entry.kind == _BASELINE]
    items.sort(key=lambda item: item.plugin.distribution != "kdcore")
    names = [item.entry.name for item in items] + [item.qualified for item in items]
    return list(dict.fromkeys(names))


def is_baseline(loaded: LoadedSpec) -> bool:
    """Whether no distiller of a method reads the teacher."""
    return all(item.provided.entry.kind == _BASELINE for item in loaded.distillers)


def _by_name(names: Sequence[str], plugins: Plugins) -> list[str]:
    if list(names) == [ALL]:
        items = plugins.all(DistillerEntry)
        several = [item.entry.name for item in items]
        return [
            item.entry.name if several.count(item.entry.name) == 1 else item.qualified
            for item in sorted(items, key=lambda item: item.entry.kind != _BASELINE)
        ]
    problems: list[Problem] = []
    for name in names:
        try:
            plugins.find(DistillerEntry, name, "--distillers")
        except UserError as error:
            problems += error.problems
    if not names:
        problems.append(Problem("--distillers", "there is no name of a distiller", allowed="names, or all"))
    if problems:
        raise UserError(problems)
    return list(dict.fromkeys(names))


def _named(name: str, spec: Path, own: Any) -> Variant:
    """A distiller by its name; the spec's own distiller keeps its options."""
    chosen = own if _name(own) == name else name
    return Variant(None, spec, (f"distiller={json.dumps(chosen)}",), name)


def _own_distiller(path: Path, overrides: Sequence[str]) -> Any:
    values, _ = read_values(path, overrides)
    return values.get("distiller")


def _name(distiller: Any) -> str | None:
    name = distiller.get("name") if isinstance(distiller, dict) else distiller
    return name if isinstance(name, str) else None


def labelled_methods(request: Request, bases: dict[Path, LoadedSpec], plugins: Plugins) -> dict[str, Variant]:
    """The methods of a request by their labels, in the order of the table.

    Raises:
        UserError: a distiller is not known, two methods get the same label, or `only` has a label that no method has.
    """
    base = bases[request.specs[0]].spec
    alone = base.task.kind != "none" and base.student.classifier
    variants = chosen_methods(request, plugins, alone=alone)
    methods = dict(zip(unique_labels(variants, bases), variants, strict=True))
    if request.only is None:
        return methods
    asked = {"--only": list(request.only) or [""], "--baseline": [request.baseline or next(iter(methods))]}
    if unknown := [
        _no_method(flag, label, methods)
        for flag, labels in asked.items()
        for label in labels
        if label not in methods
    ]:
        raise UserError(unknown)
    return {label: variant for label, variant in methods.items() if label in request.only}


def unique_labels(variants: Sequence[Variant], bases: dict[Path, LoadedSpec]) -> list[str]:
    """A label for each method.

    Raises:
        UserError: two methods get the same label.
    """
    several = len({variant.spec for variant in variants}) > 1
    labels: list[str] = []
    for variant in variants:
        base = bases[variant.spec]
        own = "+".join(item.name for item in base.spec.distiller)
        labels.append(variant.label or variant.distiller or (base.spec.name if several else own))
    names = [file_name(label) for label in labels]
    twice = sorted({label for label in labels if names.count(file_name(label)) > 1})
    if twice:
        hint = "give the specs another 'name', or the variants another 'label'"
        message = "two methods of the comparison have this name"
        raise UserError(Problem("name", message, label, hint=hint) for label in twice)
    return labels


def chosen_baseline(request: Request, loaded: dict[str, LoadedSpec], plugins: Plugins) -> str | None:
    """The label of the baseline; None: there is no baseline.

    Raises:
        UserError: no method has the label that the request names.
    """
    if request.baseline in loaded:
        return request.baseline
    if request.baseline is not None and request.only is None:
        raise UserError(_no_method("--baseline", request.baseline, loaded))
    alone = [label for label, one in loaded.items() if is_baseline(one)]
    named = [name for name in _baselines(plugins) if name in alone]
    return named[0] if named else alone[0] if len(alone) == 1 else None


def _no_method(flag: str, label: str, methods: Iterable[str]) -> Problem:
    labels = list(methods)
    message = "no method of the comparison has this name"
    return Problem(flag, message, label, listed(labels), nearest(label, labels))


def file_name(label: str) -> str:
    """A label as the start of a file's name."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", label).lstrip("_.-")[: _RUN_NAME - _LONGEST_END] or "method"

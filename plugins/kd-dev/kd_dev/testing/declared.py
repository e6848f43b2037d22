"""Faults of declarations, shared by the checks of things and of plugins."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

from kd_dev.testing.options import annotated_options
from kdcore import DatasetEntry, ExporterEntry, ModelEntry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

CALLED_WITH: Final[dict[str, tuple[str, ...]]] = {
    "dataset": ("root", "split"),
    "model": ("num_classes", "in_chans"),
    "transform": ("options",),
    "exporter": ("student", "folder", "about"),
    "metric": ("probabilities", "targets"),
    "report section": ("run",),
    "launcher": ("options", "setup"),
}
"""By role: how kd calls a target, by position. Distillers, adapters and commands have checks of their own."""
FORMS: Final = ("int8", "fp16")
"""What an exporter may offer; each is also the keyword of its target."""


def distiller_faults(target: Any, named: str, model: type[BaseModel]) -> Iterator[str]:
    """Differences between a distiller's class and its declaration."""
    from torch import nn

    if not isinstance(target, type) or not issubclass(target, nn.Module):
        yield f"{named} is {described(target)}, not a subclass of nn.Module"
        return
    yield from signature_faults(target, ("options", "setup"), f"{named}(options, setup)")
    yield from signature_faults(
        target.forward, ("self", "student", "teacher", "batch", "progress"), f"{named}.forward"
    )
    annotation = annotated_options(target)
    if isinstance(annotation, str):  # imported for typing only: only its name is known
        fits = annotation.rpartition(".")[2] in {base.__name__ for base in model.__mro__}
    else:
        fits = not isinstance(annotation, type) or issubclass(model, annotation)
    if not fits:
        shown = annotation if isinstance(annotation, str) else annotation.__name__
        yield f"{named} takes options of {shown}, but the declaration names {model.__module__}:{model.__name__}"


def adapter_faults(target: Any, named: str) -> Iterator[str]:
    """Differences between a feature adapter's class and its declaration."""
    if not callable(target):
        yield f"{named} is {described(target)}, not a class"
        return
    yield from signature_faults(target, (), f"{named}()")
    for method, arguments in (
        ("stages", ("model", "image_size")),
        ("forward", ("model", "images", "stages", "embedding")),
    ):
        found = getattr(target, method, None)
        if not callable(found):
            yield f"{named} has no method {method!r}"
        else:
            own = ("self", *arguments) if isinstance(target, type) else arguments
            yield from signature_faults(found, own, f"{named}.{method}")


def call_faults(
    target: Any, named: str, arguments: tuple[str, ...], keywords: tuple[str, ...] = ()
) -> Iterator[str]:
    """Reasons why a target cannot be called with these arguments by position, and these keywords."""
    if not callable(target):
        yield f"{named} is {described(target)}, which cannot be called"
        return
    yield from signature_faults(target, arguments, f"{named}({', '.join(arguments)})", keywords)


def keywords_of(entry: Any, options: type[BaseModel] | None) -> tuple[str, ...]:
    """What kd passes by name: the options of a dataset or model, and what an exporter declares that it offers."""
    if isinstance(entry, ModelEntry | DatasetEntry):
        return () if options is None else tuple(options.model_fields)
    if isinstance(entry, ExporterEntry):
        return tuple(name for name in (*FORMS, "options") if getattr(entry, name))
    return ()


def model_faults(named: str) -> Iterator[str]:
    """Faults of the dotted name of a model class in an adapter's declaration."""
    from torch import nn

    from kdcore.plugin import PluginError, import_named

    try:
        _, found = import_named(named)
    except PluginError as broken:
        yield f"the model class {named} cannot be loaded: {broken.error}"
        return
    if not isinstance(found, type) or not issubclass(found, nn.Module):
        yield f"the model class {named} is {described(found)}, not a subclass of nn.Module"


def signature_faults(
    function: Any, arguments: tuple[str, ...], named: str, keywords: tuple[str, ...] = ()
) -> Iterator[str]:
    """Reasons why a function cannot be called with these positional arguments and these keywords."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # written in C: it has no signature
        return
    try:
        signature.bind(*arguments, **dict.fromkeys(keywords))
    except TypeError as error:
        wanted = ", ".join(arguments) or "nothing"
        wanted += " by position" + (f" and {', '.join(keywords)} by name" if keywords else "")
        yield f"{named} cannot be called with {wanted} ({error}); its signature is {signature}"


def described(value: Any) -> str:
    """A value and its type, for messages."""
    return f"the {type(value).__name__} {value!r}"[:80]

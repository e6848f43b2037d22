"""A declared thing under test: its record, and its target once it is loaded."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Generic, Self, TypeVar

from kd_dev.testing.check import skip
from kd_dev.testing.declared import CALLED_WITH, call_faults, keywords_of
from kdcore import (
    CommandEntry,
    ExporterEntry,
    LauncherEntry,
    MetricEntry,
    Provided,
    RecipeEntry,
    SectionEntry,
    TransformEntry,
    UserError,
)
from kdcore.plugin import get_plugins, role_of

EntryT = TypeVar(
    "EntryT",
    bound=CommandEntry
    | RecipeEntry
    | ExporterEntry
    | MetricEntry
    | SectionEntry
    | LauncherEntry
    | TransformEntry,
)


class DeclaredSubject(Generic[EntryT]):
    """One thing that a plugin declares.

    Attributes:
        name: its name in test ids.
        provided: its record, and its plugin.
    """

    def __init__(self, name: str, provided: Provided[EntryT]) -> None:
        self.name = name
        self.provided = provided

    @classmethod
    def of(cls, kind: type[EntryT], name: str) -> Self:
        """The thing of this name, or of `plugin/name`.

        Raises:
            UserError: nothing has this name, or more than one thing has it.
        """
        return cls(name, get_plugins().find(kind, name, "name"))

    @property
    def entry(self) -> EntryT:
        """Its record."""
        return self.provided.entry

    @cached_property
    def loaded(self) -> Any:
        """Its target, or the error of loading it."""
        try:
            return get_plugins().load(self.provided, self.name)
        except UserError as error:
            return error

    @cached_property
    def faults(self) -> list[str]:
        """Differences between its record and its target."""
        if isinstance(self.loaded, UserError):
            return [str(self.loaded)]
        entry: Any = self.entry
        arguments, keywords = CALLED_WITH[role_of(entry).name], keywords_of(entry, None)
        return list(call_faults(self.loaded, entry.target, arguments, keywords))

    @property
    def target(self) -> Any:
        """Its target.

        Raises:
            unittest.SkipTest: the check `declaration` fails.
        """
        if self.faults:
            skip("it cannot be called: see the check 'declaration'")
        return self.loaded

"""The values of discovery: a candidate, its status, and one thing that it provides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from kdcore.entries import AnyEntry

Status = Literal["loaded", "disabled", "broken"]
EntryT = TypeVar("EntryT", bound=AnyEntry)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An entry point of group `kdcore`, read from metadata; nothing of it is imported yet.

    Attributes:
        name: the plugin's name, which is the name of the entry point.
        value: `package.module` or `package.module:object`.
        distribution: the name of its distribution.
        version: the version of that distribution.
        location: the folder of its metadata.
    """

    name: str
    value: str
    distribution: str
    version: str
    location: str

    @property
    def label(self) -> str:
        """For messages: `kd-feature 0.1.0`, with the distribution if its name is different."""
        if normalised(self.name) == normalised(self.distribution):
            return f"{self.name} {self.version}"
        return f"{self.name} ({self.distribution} {self.version})"

    @property
    def names(self) -> frozenset[str]:
        """Its names: of the plugin and of the distribution."""
        return frozenset((normalised(self.name), normalised(self.distribution)))


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """A plugin and its status.

    Attributes:
        name: its name in specs and messages.
        distribution: the name of its distribution.
        version: the version of that distribution.
        value: the value of the entry point.
        location: the file of its entry module, or the folder of its metadata if the module was not imported.
        status: `loaded`, `disabled` or `broken`.
        error: the reason why it is broken, in one line.
        traceback: the traceback of the error, if there was an exception.
        fix: the command or step that probably fixes it.
        entries: everything that it declares; of a broken one, what it declared before the error.
        hooks: the hooks that it implements.
        heavy: packages such as torch that its entry module imported, which slows every command.
    """

    name: str
    distribution: str
    version: str
    value: str
    location: str
    status: Status
    error: str | None = None
    traceback: str | None = None
    fix: str | None = None
    entries: tuple[AnyEntry, ...] = ()
    hooks: tuple[str, ...] = ()
    heavy: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """For messages: name and version, with the distribution if its name is different."""
        return self.candidate.label

    @property
    def candidate(self) -> Candidate:
        """The entry point of the plugin."""
        return Candidate(self.name, self.value, self.distribution, self.version, self.location)

    @property
    def warning(self) -> str:
        """One line about a broken plugin."""
        return f"plugin {self.label} is broken: {self.error}"

    def declared(self, kind: type[EntryT]) -> tuple[EntryT, ...]:
        """Its entries of one type."""
        return tuple(entry for entry in self.entries if isinstance(entry, kind))


@dataclass(frozen=True, slots=True)
class Provided(Generic[EntryT]):
    """One declared thing, and the plugin that declares it."""

    entry: EntryT
    plugin: PluginInfo

    @property
    def qualified(self) -> str:
        """The name with the plugin's name, which is unique."""
        return f"{self.plugin.name}/{self.entry.name}"


def normalised(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    for separator in "_.":
        name = name.replace(separator, "-")
    while "--" in name:
        name = name.replace("--", "-")
    return name.lower()

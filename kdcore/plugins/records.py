"""What discovery works with: a candidate, what became of it, and one thing that it provides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from kdcore.entries import AdapterEntry, AnyEntry, DatasetEntry, DistillerEntry, ModelEntry

Status = Literal["loaded", "disabled", "broken"]
Role = Literal["distiller", "adapter", "dataset", "model"]
EntryT = TypeVar("EntryT", bound=AnyEntry)

ENTRY_TYPES: dict[Role, type[AnyEntry]] = {
    "distiller": DistillerEntry,
    "adapter": AdapterEntry,
    "dataset": DatasetEntry,
    "model": ModelEntry,
}
ROLES: tuple[Role, ...] = tuple(ENTRY_TYPES)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An entry point of group `kdcore`, as the metadata has it: nothing of it is imported yet.

    Attributes:
        name: the plugin's name, which is the entry point's.
        value: what it names, `package.module` or `package.module:object`.
        distribution: the distribution that it belongs to.
        version: that distribution's version.
        location: the folder that holds its metadata.
    """

    name: str
    value: str
    distribution: str
    version: str
    location: str

    @property
    def label(self) -> str:
        """For messages: `kd-feature 0.1.0`, with the distribution where it is called otherwise."""
        if normalised(self.name) == normalised(self.distribution):
            return f"{self.name} {self.version}"
        return f"{self.name} ({self.distribution} {self.version})"

    @property
    def names(self) -> frozenset[str]:
        """What it may be called: by plugin or by distribution."""
        return frozenset((normalised(self.name), normalised(self.distribution)))


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """A plugin and what became of it.

    Attributes:
        name: what specs and messages call it.
        distribution: the distribution that it belongs to.
        version: that distribution's version.
        value: what the entry point names.
        location: the file of its entry module, or where its metadata lies if that was not imported.
        status: `loaded`, `disabled` or `broken`.
        error: why it is broken, in one line.
        traceback: where that happened, if there was an exception.
        fix: the command or step that probably mends it.
        entries: what it declares; of a broken one, what it declared before it failed.
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
        """For messages: name and version, with the distribution where it is called otherwise."""
        return self.candidate.label

    @property
    def candidate(self) -> Candidate:
        """The entry point that it came from."""
        return Candidate(self.name, self.value, self.distribution, self.version, self.location)

    @property
    def warning(self) -> str:
        """One line about a broken plugin."""
        return f"plugin {self.label} is broken: {self.error}"

    def declared(self, role: Role) -> tuple[AnyEntry, ...]:
        """Its entries of one role."""
        return tuple(entry for entry in self.entries if isinstance(entry, ENTRY_TYPES[role]))


@dataclass(frozen=True, slots=True)
class Provided(Generic[EntryT]):
    """One declared thing, and the plugin that declares it."""

    entry: EntryT
    plugin: PluginInfo

    @property
    def qualified(self) -> str:
        """The name that stays unique when two plugins declare the same one."""
        return f"{self.plugin.name}/{self.entry.name}"


def normalised(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    for separator in "_.":
        name = name.replace(separator, "-")
    while "--" in name:
        name = name.replace("--", "-")
    return name.lower()

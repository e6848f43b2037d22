"""Look up a name of a spec: the one thing that it names, or an error that says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic

from kdcore.errors import Problem, UserError, listed, nearest
from kdcore.plugins.known import is_known_package, known_names
from kdcore.plugins.pip_hint import pip_install, pip_upgrade
from kdcore.plugins.records import EntryT, PluginInfo, Provided, normalised
from kdcore.plugins.switches import CORE, DISABLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kdcore.plugins.roles import Role


class Index(Generic[EntryT]):
    """All things of one role.

    Attributes:
        everything: sorted by name, then by plugin.
    """

    def __init__(self, role: Role, kind: type[EntryT], infos: Sequence[PluginInfo], disabling: str) -> None:
        self._role = role.name
        self._plural = role.plural.replace(" ", "-")
        self._kind = kind
        self._known = known_names(role)
        self._infos = infos
        self._disabling = disabling
        loaded = [info for info in infos if info.status == "loaded"]
        found = [
            Provided(entry, info) for info in loaded for entry in info.entries if isinstance(entry, kind)
        ]
        self.everything = tuple(sorted(found, key=lambda item: (item.entry.name, item.plugin.name)))

    def find(self, ref: str, where: str) -> Provided[EntryT]:
        """The thing that `ref` names: `name` or `plugin/name`.

        Raises:
            UserError: nothing has this name, or more than one thing has it.
        """
        if not isinstance(ref, str):
            raise UserError(Problem(where, f"must be the name of {article(self._role)}", value=ref))
        plugin, slash, name = ref.rpartition("/")
        if slash:
            return self._find_in(plugin, name, ref, where)
        providers = [item for item in self.everything if item.entry.name == ref]
        if len(providers) == 1:
            return providers[0]
        raise UserError(self._ambiguous(providers, where) if providers else self._unknown(ref, where))

    def _find_in(self, plugin: str, name: str, ref: str, where: str) -> Provided[EntryT]:
        named = [info for info in self._infos if normalised(plugin) in info.candidate.names]
        found = [item for item in self.everything if item.plugin in named and item.entry.name == name]
        if len(found) == 1:
            return found[0]
        if found:
            raise UserError(self._ambiguous(found, where))
        unusable = [info for info in named if info.status != "loaded"]
        if unusable:
            raise UserError(self._unusable(name, unusable[0], where, ref))
        if named:
            own = [item.entry.name for item in self.everything if item.plugin in named]
            message = f"plugin {named[0].label} has no {self._role} {name!r}"
            raise UserError(
                Problem(where, message, value=ref, nearest=nearest(name, own), allowed=listed(own))
            )
        first_party = is_known_package(plugin)
        raise UserError(
            Problem(
                where,
                f"plugin {plugin!r} is not installed",
                value=ref,
                nearest=None if first_party else nearest(plugin, (info.name for info in self._infos)),
                allowed=f"plugins: {listed(info.name for info in self._infos)}",
                hint=pip_install(normalised(plugin)) if first_party else None,
            )
        )

    def _ambiguous(self, providers: Sequence[Provided[Any]], where: str) -> Problem:
        labels = " and ".join(item.plugin.label for item in providers)
        spellings = ", ".join(item.qualified for item in providers)
        others = [item.plugin.distribution for item in providers if item.plugin.name != CORE]
        return Problem(
            where,
            f"{len(providers)} plugins have {article(self._role)} of this name: {labels}",
            value=providers[0].entry.name,
            allowed=spellings,
            hint=f"name the plugin, or disable one: {' or '.join(f'{DISABLE}={name}' for name in others)}",
        )

    def _unknown(self, ref: str, where: str) -> Problem:
        distribution = self._known.get(ref)
        if distribution is not None:
            return self._first_party(ref, distribution, where)
        for info in self._infos:
            if any(entry.name == ref for entry in info.declared(self._kind)):
                return self._unusable(ref, info, where, ref)
        names = {item.entry.name for item in self.everything}
        near = nearest(ref, names | set(self._known))
        return Problem(
            where,
            f"there is no {self._role} of this name",
            value=ref,
            nearest=near,
            allowed=listed(names),
            hint="\n    ".join(self._hints(near, names)) or None,
        )

    def _hints(self, near: str | None, names: set[str]) -> list[str]:
        hints = []
        explained = None
        if near is None and listed(names) != listed(names, len(names)):
            hints.append(f"kd list-{self._plural} lists all names")
        if near is not None and near not in names:
            explained = self._known[near]
            problem = self._first_party(near, explained, "")
            hints.append(f"{problem.message} ({problem.hint})")
        suspects = [
            info for info in self._infos if info.status == "broken" and info.distribution != explained
        ]
        if suspects:
            causes = "; ".join(f"{info.label}: {info.error}" for info in suspects)
            hints.append(f"these plugins are broken and may provide it: {causes}")
        return hints

    def _first_party(self, name: str, distribution: str, where: str) -> Problem:
        owners = [info for info in self._infos if normalised(info.distribution) == distribution]
        unusable = [info for info in owners if info.status != "loaded"]
        if unusable:
            return self._unusable(name, unusable[0], where, name)
        if owners:
            message = f"{self._role} {name!r} is part of {distribution}, but the installed {owners[0].version} lacks it"
            return Problem(where, message, value=name, hint=pip_upgrade(distribution))
        message = f"{self._role} {name!r} comes with the package {distribution}, which is not installed"
        return Problem(where, message, value=name, hint=pip_install(distribution))

    def _unusable(self, name: str, info: PluginInfo, where: str, ref: str) -> Problem:
        message = f"{self._role} {name!r} comes with plugin {info.label}, which is {info.status}"
        if info.status == "disabled":
            hint = f"remove it from the environment variable {DISABLE} (now {self._disabling})"
            return Problem(where, message, value=ref, hint=hint)
        return Problem(where, f"{message}: {info.error}", value=ref, hint=info.fix)


def article(noun: str) -> str:
    """The noun with "a" or "an"."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"

"""A TOML file in a plugin's package; every mistake in it names plugin, version, file and place."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, NoReturn

from kdcore.errors import Problem, UserError, listed, nearest
from kdcore.plugins.importing import PluginError, import_named, reinstall
from kdcore.spec.place import place

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kdcore.plugins import PluginInfo

_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class TomlFile:
    """Which file it is, and where its problems are reported.

    Attributes:
        path: `package.module:folder/file.toml`.
        owner: whose it is, as `recipe 'fast'`.
        plugin: the plugin that declares it.
        where: a place in a spec, or a flag.
    """

    path: str
    owner: str
    plugin: PluginInfo
    where: str

    def read(self) -> Table:
        """The whole file.

        Raises:
            UserError: it is missing or is not TOML, or its package cannot be imported.
        """
        package, _, name = self.path.partition(":")
        try:
            module = import_named(package)[0]
            if not hasattr(module, "__path__"):
                self.fail((), f"{package} is a module, not a package: only a package has files")
            root = resources.files(module)
            text = root.joinpath(name).read_text("utf-8")
            return Table(tomllib.loads(text), (), self)
        except PluginError as broken:
            self.fail((), f"its package cannot be imported: {broken.error}")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            self.fail((), "the package does not have this file")
        except UnicodeDecodeError as error:
            self.fail((), f"it is not UTF-8 text: {error.reason} at byte {error.start}")
        except OSError as error:
            self.fail((), f"it cannot be read: {error.strerror}")
        except tomllib.TOMLDecodeError as error:
            self.fail((), f"it is not TOML: {error}")

    def fail(self, at: Iterable[str | int], what: str, **more: Any) -> NoReturn:
        """Report what is wrong at a place of the file.

        Raises:
            UserError: always.
        """
        inner = place(at)
        file = f"{self.path}, {inner}" if inner else self.path
        hint = f"to fix the plugin: {reinstall(self.plugin.candidate)}"
        message = f"{self.owner} of plugin {self.plugin.label}: {file}: {what}"
        raise UserError(Problem(self.where, message, hint=hint, **more))


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the file: its content, where it is in the file, and the file. All methods raise `UserError`."""

    content: Mapping[str, Any]
    at: tuple[str | int, ...]
    file: TomlFile

    def allow(self, *keys: str) -> None:
        """Check that it has no other keys."""
        for key in self.content:
            if key not in keys:
                near = nearest(key, keys)
                self.file.fail((*self.at, key), "this key is not known", nearest=near, allowed=listed(keys))

    def text(self, key: str) -> str:
        """Text that is not empty."""
        value = self._get(key, "text", str)
        if not value.strip():
            self.file.fail((*self.at, key), "this must not be empty")
        return str(value)

    def optional_text(self, key: str) -> str | None:
        """Text, or None if there is none."""
        return self.text(key) if key in self.content else None

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts, at least one; one text stands for a list of it."""
        value = self.content.get(key)
        items = [value] if isinstance(value, str) else self._get(key, "a list of texts", list)
        if not items or not all(isinstance(item, str) and item.strip() for item in items):
            self.file.fail((*self.at, key), "it must be a list of texts", value=items)
        return tuple(items)

    def values(self, key: str) -> dict[str, Any]:
        """A table with any content; empty if it is missing."""
        return dict(self._get(key, "a table", dict)) if key in self.content else {}

    def table(self, key: str) -> Table:
        """The table below a key."""
        return Table(self._get(key, "a table", dict), (*self.at, key), self.file)

    def children(self, key: str) -> dict[str, Table]:
        """The tables in the table below a key, by their names; none if it is missing."""
        if key not in self.content:
            return {}
        parent = self.table(key)
        return {name: parent.table(name) for name in parent.content}

    def tables(self, key: str) -> tuple[Table, ...]:
        """The tables of an array; none if it is missing."""
        items = self._get(key, "an array of tables", list) if key in self.content else ()
        if not all(isinstance(item, dict) for item in items):
            self.file.fail((*self.at, key), "it must be an array of tables")
        return tuple(Table(item, (*self.at, key, number), self.file) for number, item in enumerate(items))

    def _get(self, key: str, wanted: str, kind: type) -> Any:
        value = self.content.get(key, _ABSENT)
        if value is _ABSENT:
            self.file.fail((*self.at, key), f"this is missing; it must be {wanted}")
        if not isinstance(value, kind):
            self.file.fail((*self.at, key), f"it must be {wanted}", value=value)
        return value

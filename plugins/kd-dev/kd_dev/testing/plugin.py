"""The checks of plugins: their declarations, and the cost of finding them."""

from __future__ import annotations

import importlib.metadata
import re
from typing import TYPE_CHECKING, Any, Final

from kd_dev.testing.check import Violation, rule, skip
from kd_dev.testing.declared import (
    CALLED_WITH,
    adapter_faults,
    call_faults,
    distiller_faults,
    keywords_of,
    model_faults,
)
from kd_dev.testing.imports import heavy_imports
from kd_dev.testing.options import field_faults
from kdcore import (
    AdapterEntry,
    CommandEntry,
    DistillerEntry,
    Problem,
    Provided,
    RecipeEntry,
    UserError,
)
from kdcore.plugin import (
    HEAVY,
    PluginError,
    get_plugins,
    import_named,
    listed,
    load_command,
    nearest,
    normalised,
    pip_editable,
    role_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kd_dev.testing.check import Rule
    from kdcore import PluginInfo

_CORE: Final = "kdcore"
_REQUIREMENT: Final = re.compile(r"[A-Za-z0-9._-]+")


class PluginSubject:
    """An installed plugin.

    Attributes:
        name: its name in test ids.
        info: the result of loading it.
    """

    def __init__(self, name: str, info: PluginInfo) -> None:
        self.name = name
        self.info = info

    @classmethod
    def of(cls, plugin_name: str) -> PluginSubject:
        """The subject; see `kd_dev.testing.plugin_checks`."""
        infos = get_plugins().infos
        found = [info for info in infos if normalised(plugin_name) in info.candidate.names]
        if not found:
            known = [info.name for info in infos]
            raise UserError(
                Problem(
                    "plugin",
                    "no plugin of this name is installed",
                    value=plugin_name,
                    nearest=nearest(plugin_name, known),
                    allowed=listed(known),
                    hint=f"install it in the environment of its tests: {pip_editable('.')}",
                )
            )
        return cls(plugin_name, found[0])

    def loaded(self) -> PluginInfo:
        """The plugin.

        Raises:
            unittest.SkipTest: the check `loads` fails.
        """
        if self.info.status != "loaded":
            skip("it is not loaded: see the check 'loads'")
        return self.info

    def things(self) -> Iterator[tuple[str, Any, Any]]:
        """The declared things that can be loaded: a label for messages, the entry, and its target."""
        plugins, info = get_plugins(), self.loaded()
        for entry in info.entries:
            if isinstance(entry, RecipeEntry):
                continue  # a file, which has checks of its own
            try:
                target = plugins.load(Provided(entry, info), self.name)
            except UserError:
                continue  # the check `targets` reports this
            yield f"{role_of(entry).name} {entry.name!r}", entry, target


@rule(
    "plugin",
    summary="It is loaded: its entry module can be imported, its hooks exist, and they return the right "
    "records.",
    why="A broken plugin causes a warning in every command of every user who has it.",
    fix="`kd plugins NAME` shows the traceback.",
)
def loads(subject: PluginSubject) -> None:
    info = subject.info
    if info.status != "loaded":
        fix = f"; {info.fix}" if info.fix else ""
        raise Violation(f"plugin {info.label} is {info.status}: {info.error or 'by KD_DISABLE_PLUGINS'}{fix}")


@rule(
    "plugin",
    summary="Neither its entry module nor its options' modules import torch, timm, torchvision, numpy or "
    "accelerate.",
    why="`kd --help`, the lists and `kd validate` import them. One plugin that imports torch there makes "
    "each of these commands take seconds.",
    fix="Put declarations and options in their own modules, import torch in the modules of the algorithms, and "
    "annotate under `if TYPE_CHECKING:`. Check the imports of your package's `__init__.py`, too.",
)
def lazy_import(subject: PluginSubject) -> None:
    for name, found in heavy_imports(subject.loaded()).items():
        if found:
            raise Violation(f"importing {name} imports {', '.join(found)} (of {', '.join(HEAVY)})")


@rule(
    "plugin",
    summary="Its entry module sets `PLUGIN_API`, the version of the plugin interface that it is made for.",
    why="A later kd, whose interface is another one, then says so with both numbers instead of failing "
    "somewhere.",
    fix="Write `PLUGIN_API = 1` into the entry module.",
)
def api_version(subject: PluginSubject) -> None:
    if subject.loaded().name == _CORE:
        skip("it is the core's own plugin")
    module, plugin = import_named(subject.info.value)
    if getattr(plugin, "PLUGIN_API", getattr(module, "PLUGIN_API", None)) is None:
        raise Violation(f"{subject.info.value} does not set PLUGIN_API")


@rule(
    "plugin",
    summary="Everything that it declares can be imported or read: targets, options, model classes, recipes.",
    why="A wrong name in a declaration is found only when a user needs the thing.",
    fix="Correct the dotted name, `package.module:attribute`, or declare the dependency that is missing.",
)
def targets(subject: PluginSubject) -> None:
    faults = []
    for entry in subject.loaded().entries:
        for named in filter(None, (getattr(entry, "target", None), getattr(entry, "options", None))):
            try:
                import_named(named)
            except PluginError as broken:
                faults.append(f"{role_of(entry).name} {entry.name!r}: {named}: {broken.error}")
        if isinstance(entry, RecipeEntry):
            faults += _recipe_faults(entry, subject.info)
        if isinstance(entry, AdapterEntry):
            faults += [fault for named in entry.models for fault in model_faults(named)]
    if faults:
        raise Violation("; ".join(faults))


@rule(
    "plugin",
    summary="Its declarations describe the classes and functions, and how kd calls them.",
    why="Until a run needs them, kd knows only their declarations.",
    fix="Correct the declaration, or the signature.",
)
def declarations(subject: PluginSubject) -> None:
    faults: list[str] = []
    for _, entry, target in subject.things():
        if isinstance(entry, DistillerEntry):
            try:
                model = get_plugins().load_options(Provided(entry, subject.info), subject.name)
            except UserError as error:
                if _importable(entry.options):
                    faults.append(str(error))
                continue
            faults += distiller_faults(target, entry.target, model)
        elif isinstance(entry, AdapterEntry):
            faults += adapter_faults(target, entry.target)
        elif isinstance(entry, CommandEntry):
            faults += _command_faults(entry, subject.info)
        else:
            try:
                options = get_plugins().load_options(Provided(entry, subject.info), subject.name)
            except UserError as error:
                if _importable(entry.options or ""):
                    faults.append(str(error))
                continue
            by_name = keywords_of(entry, options)
            faults += call_faults(target, entry.target, CALLED_WITH[role_of(entry).name], by_name)
    if faults:
        raise Violation("; ".join(faults))


@rule(
    "plugin",
    summary="Every option of a distiller, model, dataset, transform or launcher has a default and a description.",
    why="A spec may contain only a thing's name. Only a path (`SpecFile`, `SpecFolder`) may have no default, because "
    "each spec has its own. The descriptions are what `kd show`, the JSON Schema and error messages say.",
    fix='Write each field as `Field(default=..., description="...")`.',
)
def options_documented(subject: PluginSubject) -> None:
    faults = []
    for label, entry, _ in subject.things():
        named = getattr(entry, "options", None)
        if named is not None and _importable(named):
            model = import_named(named)[1]
            faults += (
                [f"{label}: {fault}" for fault in field_faults(model)]
                if hasattr(model, "model_fields")
                else []
            )
    if faults:
        raise Violation("; ".join(faults))


@rule(
    "plugin",
    summary="No other installed plugin declares a thing of the same kind and name.",
    why="If two things have the same name, using the name is an error, unless the user writes `plugin/name`.",
    fix="Choose another name; the name of a method with an addition, such as `kd-masked`, is usually free.",
)
def names(subject: PluginSubject) -> None:
    plugins, info = get_plugins(), subject.loaded()
    taken = [
        f"{role_of(item.entry).name} {item.entry.name!r} is also declared by {item.plugin.label}"
        for item in plugins.everything()
        # if a plugin is discovered again, it is another object
        if (item.plugin.name, item.plugin.distribution) != (info.name, info.distribution)
        and any(type(entry) is type(item.entry) and entry.name == item.entry.name for entry in info.entries)
    ]
    if taken:
        raise Violation("; ".join(taken))


@rule(
    "plugin",
    summary="Its distribution depends on kdcore, from a version and below the next major one.",
    why="Then pip installs a kdcore that fits, and does not remove one that other plugins need.",
    fix='Write `dependencies = ["kdcore>=0.1,<2", ...]` into `pyproject.toml`, and install it again.',
)
def depends_on_kdcore(subject: PluginSubject) -> None:
    info = subject.loaded()
    try:
        needed = importlib.metadata.requires(info.distribution) or []
    except importlib.metadata.PackageNotFoundError:
        needed = []
    own = [text for text in needed if _named(text) == "kdcore" and "extra ==" not in text]
    if info.name != _CORE and not own:
        raise Violation(f"{info.distribution} {info.version} requires {', '.join(needed) or 'nothing'}")
    if own and not (">" in own[0] and "<" in own[0]):
        raise Violation(
            f"{info.distribution} {info.version} requires {own[0]!r}, without a lower or an upper bound"
        )


def _recipe_faults(entry: RecipeEntry, info: PluginInfo) -> list[str]:
    from kdcore.inspect import find_recipe

    try:
        find_recipe(Provided(entry, info).qualified, "recipe", get_plugins())
    except UserError as error:
        return [str(error)]
    return []


def _command_faults(entry: CommandEntry, info: PluginInfo) -> list[str]:
    try:
        load_command(Provided(entry, info).qualified, get_plugins())
    except UserError as error:
        return [str(error)]
    return []


def _importable(named: str) -> bool:
    try:
        import_named(named)
    except PluginError:
        return False
    return True


def _named(requirement: str) -> str:
    found = _REQUIREMENT.match(requirement)
    return normalised(found[0]) if found else ""


RULES: Final[tuple[Rule[PluginSubject], ...]] = (
    loads,
    lazy_import,
    api_version,
    targets,
    declarations,
    options_documented,
    names,
    depends_on_kdcore,
)

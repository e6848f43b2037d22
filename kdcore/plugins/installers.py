"""The command that installs into the environment that kd lives in: of pip, uv, pipx, or uv's tools."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import sys
import sysconfig
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import parse_qs, urlsplit

from packaging.requirements import InvalidRequirement, Requirement

from kdcore.plugins.records import normalised
from kdcore.plugins.sources import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Installer = Literal["pip", "uv", "pipx", "uv tool", "none"]

_PIPX_FILE: Final = "pipx_metadata.json"
_RECEIPT: Final = "uv-receipt.toml"
# what needs no quotes between double quotes, in any shell
_SPECIAL: Final = frozenset('"$`\\!%')


def installer() -> Installer:
    """What manages the environment of this Python."""
    prefix = Path(sys.prefix)
    if (prefix / _PIPX_FILE).is_file():
        return "pipx"
    if (prefix / _RECEIPT).is_file():
        return "uv tool"
    if _has_pip():
        return "pip"
    return "uv" if _uv() is not None else "none"


def install(wanted: Wanted, *flags: str, full: bool = False) -> list[str]:
    """The words of the command that installs something.

    Args:
        wanted: what, see `located`.
        flags: pip's, all of which uv has too.
        full: whether to name programs by their whole paths, although shorter ones do.
    """
    manager = installer()
    links = [word for folder in wanted.find_links for word in ("--find-links", folder)]
    if manager == "uv tool":
        return _uv_tool(wanted, ())
    if manager == "pipx":
        return _pipx(wanted, [*flags, *links])
    editable = [word for folder in wanted.editable for word in ("--editable" if full else "-e", folder)]
    program, end = _program(manager, full)
    return [*program, "install", *flags, *wanted.requirements, *editable, *links, *end]


def uninstall(names: Sequence[str], *flags: str, full: bool = False) -> list[str]:
    """The words of the command that uninstalls distributions."""
    manager = installer()
    if manager == "pipx":
        return ["pipx", "uninject", Path(sys.prefix).name, *names]
    if manager == "uv tool":
        return _uv_tool(Wanted(), names)
    program, end = _program(manager, full)
    return [*program, "uninstall", *flags, *names, *end]


def in_shell(words: Sequence[str]) -> str:
    """A command as a shell reads it."""
    if os.name == "nt":
        return " ".join(word if re.fullmatch(r"[\w@+=:./\\-]+", word) else f'"{word}"' for word in words)
    return " ".join(_quoted(word) for word in words)


def _quoted(word: str) -> str:
    if shlex.quote(word) == word:
        return word
    return shlex.quote(word) if _SPECIAL & set(word) else f'"{word}"'


def _program(manager: Installer, full: bool) -> tuple[list[str], list[str]]:
    """The first and the last words of a command of pip or uv."""
    if manager == "uv":
        uv = _uv() or "uv"
        short = shutil.which("uv") is not None and not full
        found = not full and _uv_finds_this()
        return ["uv" if short else uv, "pip"], ([] if found else ["--python", sys.executable])
    if manager == "none":
        return [sys.executable, "-m", "pip"], []
    return (["pip"] if not full and _pip_is_of_this() else [sys.executable, "-m", "pip"]), []


def _uv() -> str | None:
    return shutil.which("uv") or os.environ.get("UV")  # `uv run` sets the variable


def _has_pip() -> bool:
    return importlib.util.find_spec("pip") is not None


def _activated() -> bool:
    # `uv run` activates the environment for the one command that it runs
    active = os.environ.get("VIRTUAL_ENV")
    return active is not None and _same(active, sys.prefix) and "UV_RUN_RECURSION_DEPTH" not in os.environ


def _uv_finds_this() -> bool:
    """Whether uv without `--python` takes this environment: the activated one, or `.venv` of this folder."""
    if os.environ.get("VIRTUAL_ENV") and "UV_RUN_RECURSION_DEPTH" not in os.environ:
        return _activated()
    here = Path.cwd()
    near = (folder / ".venv" for folder in (here, *here.parents))
    first = next((folder for folder in near if folder.is_dir()), None)
    return first is not None and "CONDA_PREFIX" not in os.environ and _same(first, sys.prefix)


def _same(one: str | Path, other: str | Path) -> bool:
    return Path(one).resolve() == Path(other).resolve()


def _pip_is_of_this() -> bool:
    """Whether the program `pip` of the shell is the one of this environment."""
    found = shutil.which("pip")
    temporary = "UV_RUN_RECURSION_DEPTH" in os.environ
    return found is not None and not temporary and _same(Path(found).parent, sysconfig.get_path("scripts"))


def _pipx(wanted: Wanted, arguments: Sequence[str]) -> list[str]:
    command = ["pipx", "inject", Path(sys.prefix).name, *wanted.requirements, *wanted.editable]
    if wanted.editable and not wanted.requirements:  # the option is for all
        command.append("--editable")
    if any(word in ("--upgrade", "--force-reinstall") for word in arguments):
        command.append("--force")  # otherwise pipx leaves what is there as it is
    return [*command, f"--pip-args={shlex.join(arguments)}"] if arguments else command


def _uv_tool(wanted: Wanted, without: Sequence[str]) -> list[str]:
    """The command for a tool of uv: it names everything that is to be there, the old and the new."""
    try:
        tool = tomllib.loads((Path(sys.prefix) / _RECEIPT).read_text("utf-8"))["tool"]
        old = [_receipt(item) for item in tool["requirements"]]
    except (OSError, ValueError, KeyError, TypeError):
        tool, old = {}, [("kdcore", "--with", "kdcore")]
    gone = {normalised(name) for name in without} | {name for name in map(_name, wanted.requirements) if name}
    (_, flag, first), *others = old
    command = ["uv", "tool", "install", *(["--editable"] if flag == "--with-editable" else []), first]
    for name, how, text in others:
        if name not in gone and text not in wanted.editable:
            command += [how, text]
    for text in wanted.requirements:
        command += ["--with", text]
    for text in wanted.editable:
        command += ["--with-editable", text]
    for folder in dict.fromkeys([*_links(tool), *wanted.find_links]):
        command += ["--find-links", folder]
    if isinstance(tool.get("python"), str):
        command += ["--python", tool["python"]]
    return command


def _links(tool: dict[str, Any]) -> Iterator[str]:
    for url in tool.get("options", {}).get("find-links", ()):
        yield str(url).removeprefix("file://")


def _receipt(item: dict[str, Any]) -> tuple[str, str, str]:
    """A requirement in a receipt of uv: its name, the option for it, and its text."""
    name = normalised(item["name"])
    extras = f"[{','.join(item['extras'])}]" if item.get("extras") else ""
    if "editable" in item:
        return name, "--with-editable", f"{item['editable']}{extras}"
    local = item.get("path", item.get("directory"))
    if local is not None:
        return name, "--with", f"{local}{extras}"
    if "git" in item:
        parts = urlsplit(item["git"])
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        revision = query.get("rev") or query.get("tag") or query.get("branch") or ""
        url = parts._replace(query="", fragment="").geturl()
        below = f"#subdirectory={query['subdirectory']}" if "subdirectory" in query else ""
        return name, "--with", f"{name}{extras} @ git+{url}{revision and f'@{revision}'}{below}"
    if "url" in item:
        return name, "--with", f"{name}{extras} @ {item['url']}"
    return name, "--with", f"{name}{extras}{item.get('specifier', '')}"


def _name(text: str) -> str | None:
    try:
        return normalised(Requirement(text).name)
    except InvalidRequirement:
        return None

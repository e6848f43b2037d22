"""Commands come from plugins: listed from what these declare, imported when they are called."""

from __future__ import annotations

import inspect
import sys

import pytest

from kdcore.cli.group import ALWAYS
from kdcore.entries import CommandEntry
from kdcore.plugins import get_plugins

COMMAND = """
    from kdcore import CommandEntry
    @hookimpl
    def kd_commands():
        return [CommandEntry(name="{name}", summary="Say hello.", target="{target}")]
"""


@pytest.fixture
def add_command(add_plugin, tmp_path):
    """A plugin with one command, whose code is in a module of its own."""

    def add(distribution, code="", *, name="hello", target=None):
        module = f"{distribution.replace('-', '_')}_code"
        (tmp_path / "site" / f"{module}.py").write_text(code)
        add_plugin(distribution, COMMAND.format(name=name, target=target or f"{module}:hello"))
        return module

    return add


HELLO = """
import typer
def hello(name: str, loud: bool = False):
    "Say hello to NAME."
    typer.echo(("HELLO " if loud else "hello ") + name)
"""
APP = """
import typer
hello = typer.Typer()
@hello.command()
def one(number: int): typer.echo(number)
@hello.command()
def two(): raise typer.Exit(3)
"""


def test_a_function_is_a_command_and_is_imported_when_it_is_called(kd, add_command):
    module = add_command("kd-fox", HELLO)
    assert "  hello " in kd("--help").out
    assert "Say hello." in kd("--help").out
    assert module not in sys.modules
    assert kd("hello", "you", "--loud").out == "HELLO you\n"
    assert kd("kd-fox/hello", "me").out == "hello me\n"
    assert kd("hello", "--help").out.startswith("Usage: kd hello [OPTIONS] {name}")
    wrong = kd("hello")
    assert (wrong.code, "Traceback" in wrong.err) == (2, False)


def test_a_typer_application_is_a_group_of_commands(kd, add_command):
    add_command("kd-fox", APP)
    assert kd("hello", "one", "7").out == "7\n"
    assert kd("hello", "two").code == 3
    assert kd("hello", "one", "x").code == 2
    assert "Say hello." in kd("hello", "--help").out


def test_an_application_with_one_command_is_a_group_too(kd, add_command):
    code = APP.partition("@hello.command()\ndef two")[0]
    add_command("kd-fox", code + "\n@hello.callback()\ndef around(): pass\n")
    assert kd("hello", "one", "7").out == "7\n"


def test_two_plugins_with_one_command_are_a_clash(kd, add_command, monkeypatch):
    add_command("kd-fox", HELLO)
    add_command("kd-owl", HELLO.replace("hello ", "hoot "))
    assert "(ambiguous: kd-fox and kd-owl have it)" in kd("--help").out
    done = kd("hello", "you")
    assert (done.code, done.out) == (2, "")
    assert "2 plugins have a command of this name: kd-fox 1.0 and kd-owl 1.0" in done.err
    assert "kd-fox/hello, kd-owl/hello" in done.err
    assert kd("kd-owl/hello", "you").out == "hoot you\n"
    monkeypatch.setenv("KD_DISABLE_PLUGINS", "kd-fox")
    get_plugins.cache_clear()
    assert kd("hello", "you").out == "hoot you\n"


def test_a_clash_with_a_command_of_the_core(kd, add_command):
    add_command("kd-fox", HELLO, name="schema")
    done = kd("schema")
    assert done.code == 2
    assert "kd-fox 1.0 and kdcore" in done.err
    assert kd("kdcore/schema").code == 0


@pytest.mark.parametrize("name", ALWAYS)
def test_the_commands_that_show_what_is_wrong_are_always_there(kd, add_command, name):
    add_command("kd-fox", HELLO, name=name)
    assert kd(name, "--help").out.startswith(f"Usage: kd {name} ")
    assert "ambiguous" not in kd("--help").out
    assert kd(f"kd-fox/{name}", "you").out == "hello you\n"


BROKEN = """
    from kdcore import CommandEntry
    @hookimpl
    def kd_commands():
        return [CommandEntry(name="hello", summary="Say hello.", target="kd_fox:hello")]
    @hookimpl
    def kd_models():
        raise RuntimeError("no models today")
"""


def test_the_command_of_a_broken_plugin_is_listed_as_broken_and_says_why(kd, add_plugin):
    add_plugin("kd-fox", BROKEN)
    done = kd("--help")
    assert done.code == 0
    assert "(broken: see 'kd plugins kd-fox')" in done.out
    assert "warning: plugin kd-fox 1.0 is broken" in done.err
    done = kd("hello", "you")
    assert done.code == 2
    assert "command 'hello' comes with plugin kd-fox 1.0, which is broken: kd_models() raised" in done.err
    assert "no models today" in done.err


def test_a_command_that_is_missing_names_its_package(kd, monkeypatch):
    monkeypatch.setattr("kdcore.plugins.known.index", lambda: {"command": {"hello": "kd-hello"}})
    get_plugins.cache_clear()
    done = kd("hello", "you")
    assert done.code == 2
    assert "command 'hello' comes with the package kd-hello, which is not installed" in done.err
    assert "pip install kd-hello" in done.err
    assert "did you mean 'hello'" in kd("helo").err
    assert "hello" not in kd("--help").out


def test_an_unknown_command_says_the_nearest(kd):
    done = kd("shema")
    assert (done.code, done.out) == (2, "")
    assert "there is no command of this name" in done.err
    assert "did you mean 'schema'" in done.err


TARGETS = {
    "a module that is not there": ("", "nowhere.at_all:hello", "its module 'nowhere.at_all' does not exist"),
    "an import that fails": ("1 / 0", None, "ZeroDivisionError: division by zero"),
    "an import that exits": ("raise SystemExit(0)", None, "SystemExit"),
    "a missing attribute": ("", None, "does not have 'hello'"),
    "a number": ("hello = 3", None, "cannot be a command: it is int"),
    "a class": ("class hello: pass", None, "cannot be a command: it is type"),
    "a parameter that typer refuses": (
        "def hello(x: int | str): pass",
        None,
        "cannot be a command: ",
    ),
    "an annotation that does not exist": ("def hello(x: 'Nope'): pass", None, "cannot be a command: "),
}


@pytest.mark.parametrize("case", TARGETS)
def test_a_target_that_cannot_be_a_command_names_its_plugin(kd, add_command, case):
    code, target, text = TARGETS[case]
    add_command("kd-fox", code, target=target)
    assert kd("--help").code == 0
    done = kd("hello")
    assert (done.code, done.out) == (2, "")
    assert "command 'hello' of plugin kd-fox 1.0: " in done.err
    assert text in done.err
    assert "Traceback" not in done.err
    assert kd("list-distillers").code == 0


def test_an_error_in_a_command_blames_its_plugin(kd, add_command):
    add_command("kd-fox", "def hello(): return 1 / 0")
    done = kd("hello")
    assert done.code == 1
    assert "This happened in plugin kd-fox 1.0, command 'hello': ZeroDivisionError" in done.err


def test_a_strict_environment_makes_a_broken_plugin_an_error(kd, add_plugin, monkeypatch):
    add_plugin("kd-fox", BROKEN)
    monkeypatch.setenv("KD_STRICT_PLUGINS", "1")
    assert kd("--help").code == 0
    assert kd("plugins").code == 2
    done = kd("schema")
    assert (done.code, done.out) == (2, "")
    assert "plugin kd-fox 1.0: the plugin is broken" in done.err


def test_completion_reads_declarations_only(kd, add_command, monkeypatch):
    module = add_command("kd-fox", HELLO)
    monkeypatch.setenv("_KD_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "kd he")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert kd().out.split() == ["hello"]
    assert module not in sys.modules
    monkeypatch.setenv("COMP_WORDS", "kd hello --l")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert kd().out.split() == ["--loud"]


def test_the_summaries_are_the_first_sentences_of_the_help():
    plugins = get_plugins()
    for item in plugins.all(CommandEntry):
        target = plugins.load(item, "")
        text = inspect.getdoc(target) if inspect.isfunction(target) else target.info.help
        assert item.entry.summary == " ".join((text or "").partition("\n\n")[0].split()), item.qualified

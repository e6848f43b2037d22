from __future__ import annotations

import io
import subprocess
import sys
import textwrap

import pytest
import typer

import kdcore
from kdcore.cli import app as app_module
from kdcore.cli import main
from kdcore.cli.blame import blamed
from kdcore.errors import Interrupted, Problem, RunFailed, UserError
from kdcore.plugins import Plugins, get_plugins

COMMANDS = {
    "run",
    "validate",
    "schema",
    "list-distillers",
    "list-adapters",
    "list-datasets",
    "show",
    "plugins",
    "doctor",
}


@pytest.fixture
def failing(monkeypatch, kd):
    """A run of `kd` whose only command raises."""

    def run(error):
        app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
        app.callback()(lambda: None)

        @app.command()
        def fail() -> None:
            raise error

        monkeypatch.setattr(app_module, "application", lambda **_: app)
        return kd("fail")

    return run


def test_help_lists_the_commands(kd):
    done = kd("--help")
    assert done.code == 0
    assert {line.split()[0] for line in done.out.splitlines() if line.startswith("  ")} >= COMMANDS
    assert "--install-completion" in done.out
    assert kd("-h").out == done.out


def test_no_command_is_help_too(kd):
    done = kd()
    assert done.code == 2
    assert "list-distillers" in done.out + done.err


def test_every_command_has_help(kd):
    for name in COMMANDS:
        done = kd(name, "--help")
        assert done.code == 0
        assert done.out.startswith(f"Usage: kd {name} ")


def test_version(kd):
    assert kd("--version").out == f"kd {kdcore.__version__}\n"


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["show"], ["list-distillers", "--nonsense"], ["--nonsense"]]
)
def test_wrong_usage_is_exit_code_2(kd, arguments):
    done = kd(*arguments)
    assert done.code == 2
    assert done.out == ""
    assert "error: " in done.err.lower()
    assert "Traceback" not in done.err


def test_a_mistyped_command_is_explained(kd):
    assert "list-distillers" in kd("list-distiller").err


def test_one_problem(failing):
    problem = Problem("student.model", "no such model", value="x", nearest="y", allowed="a, b", hint="h")
    done = failing(UserError(problem))
    assert (done.code, done.out, done.err) == (2, "", f"error: {problem}\n")


def test_several_problems_are_numbered(failing):
    problems = [Problem("a", "first"), Problem("b", "second", hint="do this")]
    done = failing(UserError(problems))
    assert (done.code, done.err) == (2, "error: 2 problems\n1. a: first\n2. b: second\n    do this\n")


@pytest.mark.parametrize(
    ("error", "code"),
    [(RunFailed("loss is nan"), 1), (Interrupted("stopped", 130), 130), (Interrupted("stopped", 143), 143)],
)
def test_failures_have_a_message_and_a_code(failing, error, code):
    done = failing(error)
    assert (done.code, done.out, done.err) == (code, "", f"error: {error}\n")


def test_ctrl_c_is_130(failing):
    done = failing(KeyboardInterrupt())
    assert (done.code, done.out, done.err) == (130, "", "")


def test_an_unexpected_error_keeps_its_traceback(failing):
    done = failing(ZeroDivisionError("oops"))
    assert done.code == 1
    assert done.out == ""
    assert "Traceback" in done.err
    assert done.err.endswith("ZeroDivisionError: oops\n")


FOX = "@hookimpl\ndef kd_models(): return []\ndef fail(kind=KeyError): raise kind('inside')\n"


def test_an_unexpected_error_names_the_plugin_that_it_came_from(add_plugin, failing):
    add_plugin("kd-fox", FOX, version="1.2")
    get_plugins()
    import kd_fox

    try:
        kd_fox.fail()
    except KeyError as error:
        inner = error
    assert failing(inner).err.splitlines()[-3:] == [
        "This happened in plugin kd-fox 1.2: KeyError: 'inside' (kd_fox.py, line 4)",
        "    to see where it is: kd plugins kd-fox",
        "    to go on without it: KD_DISABLE_PLUGINS=kd-fox",
    ]


def test_a_plugin_that_reports_an_error_itself_is_not_blamed(add_plugin, failing):
    code = """
        from kdcore import RunFailed

        def report():
            try:
                fail()
            except KeyError as error:
                raise RunFailed("the hub refuses") from error
        """
    add_plugin("kd-fox", FOX + textwrap.dedent(code))
    get_plugins()
    import kd_fox

    with pytest.raises(RunFailed) as caught:
        kd_fox.report()
    assert failing(caught.value).err == "error: the hub refuses\n"


@pytest.mark.parametrize("kind", [RunFailed, lambda text: UserError(Problem("", text))])
def test_a_mistake_behind_an_error_names_the_plugin_and_a_refusal_does_not(add_plugin, failing, kind):
    add_plugin("kd-fox", FOX, version="1.2")
    get_plugins()
    import kd_fox

    for inner, lines in ((KeyError, 4), (ValueError, 1)):
        error = kind("it cannot be built")
        try:
            kd_fox.fail(inner)
        except (KeyError, ValueError) as caught:
            error.__cause__ = caught
        told = failing(error).err.splitlines()
        assert told[0] == "error: it cannot be built"
        assert len(told) == lines
    assert len(failing(RunFailed("alone")).err.splitlines()) == 1


def test_the_thing_that_the_code_is_declared_for_is_named(add_plugin, failing):
    declared = """
    @hookimpl
    def kd_models():
        return [ModelEntry(name="den", summary="S.", target="kd_fox_den:make")]
    """
    folder = add_plugin("kd-fox", declared)
    (folder.parent / "kd_fox_den.py").write_text("def make(): return {}['key']\n")
    get_plugins()
    import kd_fox_den

    try:
        kd_fox_den.make()
    except KeyError as error:
        inner = error
    assert "in plugin kd-fox 1.0, model 'den': KeyError: 'key' (kd_fox_den.py, line 1)" in failing(inner).err


def test_of_two_plugins_in_one_package_the_nearer_one_is_named(add_plugin, tmp_path):
    package = tmp_path / "site" / "acme"
    for name in ("one", "two"):
        folder = add_plugin(f"kd-{name}", "")
        (package / name).mkdir(parents=True)
        (package / name / "plugin.py").write_text(
            "from kdcore import hookimpl\n@hookimpl\ndef kd_models(): return []\n"
        )
        (package / name / "code.py").write_text("def fail(): raise ValueError\n")
        (folder / "entry_points.txt").write_text(f"[kdcore]\nkd-{name} = acme.{name}.plugin\n")
    infos = Plugins.discover(strict=False).infos
    from acme.two.code import fail

    with pytest.raises(ValueError) as caught:  # noqa: PT011  # it has no message
        fail()
    found = blamed(caught.value, infos)
    assert found is not None
    assert (found[0].name, found[1]) == ("kd-two", "acme.two.code")


def test_the_plugin_is_found_in_the_cause_too(add_plugin):
    add_plugin("kd-fox", FOX)
    infos = Plugins.discover(strict=False).infos
    import kd_fox

    try:
        try:
            kd_fox.fail()
        except KeyError as error:
            raise RuntimeError("outside") from error
    except RuntimeError as error:
        found = blamed(error, infos)
    assert found is not None
    assert (found[0].name, found[1]) == ("kd-fox", "kd_fox")
    assert blamed(RuntimeError("no traceback"), infos) is None


def test_a_reader_that_goes_away_is_no_error():
    reader = subprocess.Popen(
        [sys.executable, "-m", "kdcore", "list-distillers", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"KD_DISABLE_PLUGINS": "*"},
    )
    assert reader.stdout is not None
    assert reader.stderr is not None
    reader.stdout.close()
    with reader.stderr:
        assert reader.stderr.read() == b""
    assert reader.wait(120) == 1


def test_a_broken_plugin_costs_one_warning_line(add_plugin, alone, kd_process):
    add_plugin("kd-fox", "print('loud')\nraise SystemExit(7)")
    for arguments in (["--help"], ["list-distillers"], ["list-adapters", "--json"], ["list-datasets"]):
        done = kd_process(*arguments)
        assert done.code == 0
        assert "loud" not in done.out
        warnings = [line for line in done.err.splitlines() if line != "loud"]
        assert warnings == ["warning: plugin kd-fox 1.0 is broken: SystemExit: 7 (kd_fox.py, line 3)"]


def test_a_strict_environment_makes_it_fatal_but_not_for_help(add_plugin, alone, kd, monkeypatch):
    add_plugin("kd-fox", "1 / 0")
    monkeypatch.setenv("KD_STRICT_PLUGINS", "1")
    assert kd("--help").code == 0
    done = kd("list-distillers")
    assert (done.code, done.out) == (2, "")
    assert "error: plugin kd-fox 1.0: the plugin is broken: ZeroDivisionError" in done.err


def test_completion_of_commands_and_names(monkeypatch, kd, alone):
    monkeypatch.setenv("_KD_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "kd list-d")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert kd().out.split() == ["list-distillers", "list-datasets"]
    monkeypatch.setenv("COMP_WORDS", "kd show v")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert kd().out.split() == ["vanilla"]


def test_the_result_is_flushed(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    with pytest.raises(SystemExit):
        main(["--version"])
    assert stream.getvalue() == f"kd {kdcore.__version__}\n"

"""New plugins: their files, their names, and what is refused. `.ci/run` installs, tests and runs one of each kind."""

from __future__ import annotations

import ast
import json
import tomllib
from pathlib import Path

import pytest
from kd_dev import command, new_plugin
from kd_dev import render as rendering
from kd_dev.names import KINDS, imported

import kdcore
from kdcore import UserError
from kdcore.cli.app import main
from kdcore.plugin import pip_editable

VARIANTS = [*((kind, False) for kind in KINDS), ("distiller", True)]


def kd(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


@pytest.mark.parametrize(("kind", "features"), VARIANTS)
@pytest.mark.parametrize("license", ["MIT", "Apache-2.0"])
def test_a_complete_package(tmp_path: Path, kind, features, license):
    made = new_plugin(
        "KD_my.Thing",
        kind=kind,
        features=features,
        thing="my-own",
        summary="Things.",
        license=license,
        author="Ada Lovelace",
        folder=tmp_path,
    )
    assert made.path == tmp_path / "kd-my-thing"
    files = {str(path.relative_to(made.path)) for path in made.path.rglob("*") if path.is_file()}
    assert files == {str(file) for file in made.files}
    always = "pyproject.toml README.md LICENSE .gitignore .github/workflows/test.yml spec.json kd_my_thing/plugin.py "
    always += "kd_my_thing/py.typed tests/test_conformance.py tests/test_my_own.py "
    always += "kd_my_thing/recipes/my_own.toml" if kind == "recipe" else "kd_my_thing/my_own.py"
    assert set(always.split()) <= files
    for file in files:
        text = (made.path / file).read_text()
        if not file.startswith(".github"):
            assert "{{" not in text, file
        assert "{%" not in text, file
        if file.endswith(".py"):
            ast.parse(text)
        if file.endswith(".toml"):
            tomllib.loads(text)
    project = tomllib.loads((made.path / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["kdcore"] == {"kd-my-thing": "kd_my_thing.plugin"}
    assert project["project"]["license"] == license
    licence = (made.path / "LICENSE").read_text()
    assert ("Ada Lovelace" in licence) == (license == "MIT")
    assert "my-own" in (made.path / "spec.json").read_text()
    json.loads((made.path / "spec.json").read_text())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("kd swd", "distiller"), r"NAME: this cannot be the name of a package.*letters"),
        (("json", "distiller"), r"NAME: .*'json', which Python cannot import or has itself"),
        (("2nd", "distiller"), r"NAME: .*'2nd', which Python cannot import"),
        (("torch", "distiller"), r"NAME: there is a package 'torch' already"),
        (("Kd_Dev", "dataset"), r"NAME: a plugin of this name is installed"),
        (("kd-vanilla", "distiller"), r"--thing: there is a distiller of this name: kdcore 0"),
        (("kd-x", "distiller", "CamelCase"), r"--thing: .*small letters"),
        (("kd-x", "distiller", "class"), r"--thing: its file 'class.py'"),
        (("kd-x", "model", "adapter"), r"--thing: its file 'adapter.py'"),
        (("k" * 300, "distiller"), r"NAME: this name has 300 characters .*up to 64"),
        (("kd-x", "distiller", "x" * 65), r"--thing: this name has 65 characters"),
        (("class", "distiller"), r"NAME: .*'class', which Python cannot import"),
        (("con", "distiller"), r"NAME: .*'con'"),
        (("kd-\u00fc", "distiller"), r"NAME: this cannot be the name of a package"),
        (("kd-x-", "distiller"), r"NAME: this cannot be the name of a package"),
        (("kd-x", "distiller", "x-"), r"--thing: .*a letter or digit last"),
        (("kd-x", "distiller", "none"), r"--thing: its class would be called 'None'"),
        (("kd-x", "distiller", "model-output"), r"--thing: its class would be called 'ModelOutput'"),
        (("kd-f", "distiller"), r"--thing: its class would be called 'F'"),
        (("kd-sequence", "model"), r"--thing: its class would be called 'Sequence'"),
        (("kd-image-draw", "dataset"), r"--thing: its class would be called 'ImageDraw'"),
        (("kd-timm", "adapter"), r"--thing: its class would be called 'TimmAdapter'"),
        (("kd-conformance", "distiller"), r"--thing: its file 'conformance.py'"),
        (("kd-resnet18", "model"), r"--thing: timm has a model of this name"),
        (("kd-x", "exporter", "all"), r"--thing: '--to all' means every format"),
        (("kd-x", "command", "my_own"), r"--thing: .*words with '-' between them"),
        (("kd-x", "report-section", "my_own"), r"--thing: .*words with '-' between them"),
        (("kd-run", "command"), r"--thing: there is a command of this name: kdcore 0"),
        (("kd-cifar-240", "recipe"), r"--thing: there is a recipe of this name: kdcore 0"),
        (("kd-x", "distiler"), r"(?s)--kind: .*did you mean 'distiller'"),
    ],
)
def test_names_that_cannot_be(tmp_path: Path, arguments, message):
    name, kind, thing = (*arguments, None)[:3]
    with pytest.raises(UserError, match=f"(?s){message}"):
        new_plugin(name, kind=kind, thing=thing, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "kind", "role", "plugin"),
    [("kd-swin", "model", "adapter", "kd-feature"), ("kd-onnx", "exporter", "exporter", "kd-export")],
)
def test_names_that_other_plugins_have(tmp_path: Path, name, kind, role, plugin):
    pytest.importorskip(plugin.replace("-", "_"), reason=f"needs {plugin}")
    with pytest.raises(UserError, match=f"--thing: there is an {role} of this name: {plugin}"):
        new_plugin(name, kind=kind, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "thing", "function"),
    [
        ("metric", "sum", "sum_metric"),
        ("command", "table", "table_command"),
        ("exporter", "path", "write_path"),
    ],
)
def test_names_that_the_function_itself_could_not_have(tmp_path: Path, kind: str, thing: str, function: str):
    made = new_plugin("kd-x", kind=kind, thing=thing, folder=tmp_path)
    assert f"def {function}(" in (made.path / "kd_x" / f"{thing}.py").read_text()


def test_what_is_there_stays(tmp_path: Path):
    (tmp_path / "kd-x").mkdir()
    (tmp_path / "kd-x" / "mine").write_text("")
    with pytest.raises(UserError, match="is there already; nothing was written"):
        new_plugin("kd-x", kind="model", folder=tmp_path)
    assert [path.name for path in (tmp_path / "kd-x").iterdir()] == ["mine"]


def test_other_wrong_words(tmp_path: Path):
    for wrong, message in (
        ({"license": "GPL"}, "--license: .*MIT, Apache-2.0"),
        ({"summary": 'a "quote"'}, "--summary: must be one line"),
        ({"summary": "one\rtwo"}, "--summary: must be one line"),
        ({"author": "Ada\nLovelace"}, "--author: must be one line"),
        ({"features": True}, "--features: a model has none"),
    ):
        with pytest.raises(UserError, match=f"(?s){message}"):
            new_plugin("kd-x", kind="model", folder=tmp_path, **wrong)


@pytest.mark.parametrize(
    ("error", "shown", "message"),
    [
        (OSError(28, "No space left on device"), UserError, "cannot be written: No space left"),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
    ],
)
def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error, shown, message):
    write, calls = Path.write_text, []

    def full(self: Path, text: str, **more: str) -> int:
        calls.append(self)
        if len(calls) > 3:
            raise error
        return write(self, text, **more)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(shown, match=message):
        new_plugin("kd-x", kind="model", folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_files_are_utf_8_on_every_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    read, write = Path.read_text, Path.write_text

    def read_ascii(self: Path, encoding: str = "ascii") -> str:
        return read(self, encoding=encoding)

    def write_ascii(self: Path, text: str, encoding: str = "ascii") -> int:
        return write(self, text, encoding=encoding)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", read_ascii)
        patch.setattr(Path, "write_text", write_ascii)
        made = new_plugin("kd-x", kind="metric", summary="Pr\u00e9cision.", author="\u6797", folder=tmp_path)
    project = tomllib.loads((made.path / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["description"] == "Pr\u00e9cision."
    assert "\u6797" in (made.path / "LICENSE").read_text(encoding="utf-8")


@pytest.mark.parametrize(("kind", "features"), VARIANTS)
def test_no_class_may_have_a_name_that_its_files_import(tmp_path: Path, kind, features):
    made = new_plugin("kd-x", kind=kind, features=features, folder=tmp_path)
    names = {
        alias.asname or alias.name
        for file in made.files
        if file.suffix == ".py"
        for node in ast.walk(ast.parse((made.path / file).read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        and not str(getattr(node, "module", "")).startswith("kd_x")
        for alias in node.names
    }
    assert names <= imported()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    assert kd("new-plugin", "kd-x", "--kind", "dataset", "--directory", str(tmp_path), "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["path"] == str(tmp_path / "kd-x")
    assert "kd_x/x.py" in shown["files"]
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert kd("new-plugin", "--directory", str(tmp_path)) == 2
    assert "nobody is there to be asked" in capsys.readouterr().err


def test_it_asks(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    class Terminal:
        @staticmethod
        def isatty() -> bool:
            return True

    answers = iter(["kd-y", "model"])
    monkeypatch.setattr(command.sys, "stdin", Terminal())
    monkeypatch.setattr(command.typer, "prompt", lambda question, **more: next(answers))
    assert kd("new-plugin", "--directory", str(tmp_path)) == 0
    assert (tmp_path / "kd-y" / "kd_y" / "adapter.py").is_file()
    installs = pip_editable(f"{tmp_path / 'kd-y'}[test]")
    assert f"next:\n  {installs}\n  cd {tmp_path / 'kd-y'}\n" in capsys.readouterr().out


@pytest.mark.parametrize("kind", KINDS)
def test_its_tests_and_its_spec_need_what_it_asks_for(kind: str, tmp_path: Path):
    made = new_plugin("kd-y", kind=kind, folder=tmp_path)
    extra = tomllib.loads((made.path / "pyproject.toml").read_text())["project"]["optional-dependencies"][
        "test"
    ]
    assert f"kd-dev>={'.'.join(kdcore.__version__.split('.')[:2])},<2" in extra
    reads_digits = json.loads((made.path / "spec.json").read_text())["data"]["dataset"] == "digits"
    assert ("scikit-learn>=1.6" in extra) == reads_digits


def test_the_licence_is_the_repositorys():
    template = rendering.TEMPLATES / "common" / "LICENSE.Apache-2.0.jinja"
    assert template.read_text() == (Path(__file__).parents[3] / "LICENSE").read_text()

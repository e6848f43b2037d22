"""The pages of docs/reference, and the rules in docs/conformance.md, are what the code says."""

from __future__ import annotations

import importlib.util
import json
import shutil

import pytest

from kdcore.plugins import get_plugins

KNOWN = "../kdcore/plugins/known.json"
CONDA = "../conda/recipe.yaml"
STUBS = {"../kdcore/__init__.pyi", "../kdcore/inspect/__init__.pyi", "../kdcore/plugin.pyi"}


@pytest.fixture(scope="module")
def generate(root):
    spec = importlib.util.spec_from_file_location("docs_generate", root / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(root / "docs")  # as it is when the script runs
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(generate):
    return generate.pages()


@pytest.fixture
def known(generate, pages, monkeypatch):
    """Makes the pages once for all tests of this module."""
    monkeypatch.setattr(generate, "pages", lambda: pages)
    return pages


def test_the_pages_are_up_to_date(generate, known):
    old = generate.stale()
    assert not old, f"{old} are not what the code says; run: uv run python docs/generate.py"


def test_every_page_is_generated(generate, root, known):
    there = {
        str(path.relative_to(root / "docs"))
        for folder in ("methods", "reference")
        for path in (root / "docs" / folder).iterdir()
    }
    there -= {f"methods/{name}" for name in generate.HAND_WRITTEN}
    assert there | {"conformance.md", "recipes.md", "floors.svg", KNOWN, CONDA, *STUBS} == set(known)


def test_check_names_what_is_stale(generate, known, root, tmp_path, monkeypatch, capsys):
    for folder in ("methods", "reference"):
        shutil.copytree(root / "docs" / folder, tmp_path / folder)
    monkeypatch.setattr(generate, "HERE", tmp_path)
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    (tmp_path / "reference" / "spec.md").write_text("old")
    (tmp_path / "reference" / "adapters.md").unlink()
    (tmp_path / "methods" / "kd.md").unlink()
    assert generate.main(["--check"]) == 1
    told = capsys.readouterr().err
    assert "docs/reference/spec.md is not" in told
    assert "docs/reference/adapters.md is not" in told
    assert "commands.md" not in told
    assert (tmp_path / "reference" / "spec.md").read_text() == "old"
    (tmp_path / "methods" / "gone.md").write_text("a distiller that is no longer there")
    assert generate.main([]) == 0
    assert not (tmp_path / "methods" / "gone.md").exists()


def test_a_wrong_flag_is_refused(generate, capsys):
    assert generate.main(["--chek"]) == 2
    assert "usage" in capsys.readouterr().err


def test_every_field_of_the_spec_is_there(known):
    from kdcore.spec.models import RunSpec

    def paths(model, where=""):
        for name, field in model.model_fields.items():
            yield f"{where}{name}"
            inner = next((kind for kind in _kinds(field.annotation) if hasattr(kind, "model_fields")), None)
            if inner is not None and name not in (
                "distiller",
                "recipe",
                "trackers",
                "transform",
                "views",
            ):  # values
                yield from paths(inner, f"{where}{name}.")

    page = known["reference/spec.md"]
    assert [path for path in paths(RunSpec) if f"`{path}`" not in page] == []
    assert json.dumps(RunSpec.model_fields["seed"].default) in page


def _kinds(annotation):
    return (annotation, *getattr(annotation, "__args__", ()))


def test_the_text_does_not_depend_on_the_terminal(generate, monkeypatch):
    plugins = get_plugins()
    wide = generate.commands(plugins)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    assert generate.commands(plugins) == wide
    assert max(map(len, wide.splitlines())) <= 100

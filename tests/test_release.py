"""The files of a release: one version, the conda recipe, licences, workflow, citation and container."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def release():
    spec = importlib.util.spec_from_file_location("ci_release", ROOT / ".ci" / "release.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def copy(release, tmp_path):
    """The files that have the version, and those that are read next to them, in another folder."""
    for path in [*release.places(ROOT), ROOT / "CHANGELOG.md"]:
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return tmp_path


def test_all_packages_have_one_version_and_the_recipe_is_up_to_date(release, capsys):
    assert release.main(["check"]) == 0, capsys.readouterr().err
    assert release.main(["conda", "--check"]) == 0, capsys.readouterr().err


def test_a_version_is_written_to_all_places(release, copy, capsys):
    assert release.main(["set", "1.2.0rc1"], copy) == 0
    assert set(release.versions(copy).values()) == {"1.2.0rc1"}
    assert release.main(["check", "v1.2.0rc1"], copy) == 0
    assert release.main(["conda", "--check"], copy) == 0
    assert capsys.readouterr().out.split() == ["1.2.0rc1"] * 3
    # nothing else is changed
    for path in release.places(ROOT):
        before, after = (
            folder.joinpath(path.relative_to(ROOT)).read_text("utf-8") for folder in (ROOT, copy)
        )
        lines = zip(before.splitlines(), after.splitlines(), strict=True)
        assert sum(one != other for one, other in lines) == 1, path


def test_what_does_not_agree_is_named(release, copy, capsys):
    changed = copy / "plugins" / "kd-ofa" / "pyproject.toml"
    changed.write_text(re.sub(r"^version = .*$", 'version = "9.0"', changed.read_text(), flags=re.MULTILINE))
    assert release.main(["check", "v0.0.9"], copy) == 2
    told = capsys.readouterr().err
    assert "plugins/kd-ofa/pyproject.toml: version 9.0, but pyproject.toml has" in told
    assert "the tag is v0.0.9, but the version is" in told
    assert release.main(["conda"], copy) == 0
    (copy / "pyproject.toml").write_text(
        (ROOT / "pyproject.toml").read_text().replace("psutil>=", "psutil>=9")
    )
    assert release.main(["conda", "--check"], copy) == 2
    assert "run: python .ci/release.py conda" in capsys.readouterr().err


def test_a_tag_needs_a_changelog_that_is_not_called_unreleased(release, copy, capsys):
    release.set_version(copy, "7.0")
    changelog = copy / "CHANGELOG.md"
    changelog.write_text("# Changelog\n\n## 7.0 (unreleased)\n")
    assert release.main(["check", "v7.0"], copy) == 2
    assert "CHANGELOG.md: 7.0 is still called unreleased" in capsys.readouterr().err
    changelog.write_text("# Changelog\n\n## 7.0 (2030-01-01)\n")
    assert release.main(["check", "v7.0"], copy) == 0


@pytest.mark.parametrize(
    ("version", "told"), [("one", "Invalid version: 'one'"), ("v1.0", "write v1.0 as 1.0")]
)
def test_what_is_not_a_version_changes_nothing(release, copy, capsys, version, told):
    before = release.versions(copy)
    assert release.main(["set", version], copy) == 2
    assert told in capsys.readouterr().err
    assert release.versions(copy) == before


def test_conda_gets_what_extras_need(release):
    outputs = {one["package"]["name"]: one for one in yaml.safe_load(release.recipe(ROOT))["outputs"]}
    assert set(outputs) == set(release.packages(ROOT))
    everything = {line.split()[0] for line in outputs["kd-all"]["requirements"]["run"]}
    assert {"kdcore", "kd-compare", "optuna", "submitit", "matplotlib-base", "scikit-learn"} <= everything
    assert "pytorch >=2.12" in outputs["kdcore"]["requirements"]["run"]
    assert outputs["kdcore"]["build"]["python"]["entry_points"] == ["kd = kdcore.cli:main"]


def test_every_package_has_the_licence_and_a_row_on_the_page(release):
    page = (ROOT / "docs" / "release.md").read_text("utf-8")
    licence = (ROOT / "LICENSE").read_bytes()
    for name, folder in release.packages(ROOT).items():
        assert (folder / "LICENSE").read_bytes() == licence, name
        assert f"| `{name}` |" in page


def test_the_workflow_publishes_only_what_was_tested_and_only_for_a_tag():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8"))
    jobs = workflow["jobs"]
    assert set(jobs["publish"]["needs"]) == {"build", "test"}
    assert jobs["page"]["needs"] == ["publish"]
    assert workflow["permissions"] == {}
    for name, job in jobs.items():
        assert ("id-token" in job["permissions"]) == (name == "publish")
        assert ("if" in job) == (name in ("publish", "page"))
    assert jobs["publish"]["environment"] == "pypi"


def test_templates_and_citation_are_yaml_and_name_what_they_need():
    for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text("utf-8"))
        if path.name != "config.yml":
            assert {"name", "description", "body"} <= set(form), path
            names = [item["id"] for item in form["body"] if item["type"] != "markdown"]
            assert len(names) == len(set(names)), path
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert {"cff-version", "message", "title", "authors", "version"} <= set(citation)
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    assert [one["repo"] for one in hooks["repos"]] == ["local"]


def test_the_container_gets_what_the_packages_are_built_from(release):
    ignore = (ROOT / ".dockerignore").read_text("utf-8")  # podman reads it too
    kept = [line[1:] for line in ignore.splitlines() if line.startswith("!")]
    for path in kept:
        assert (ROOT / path).exists(), path
    for name, folder in release.packages(ROOT).items():
        for file in ("pyproject.toml", "README.md", "LICENSE"):
            assert (folder / file).relative_to(ROOT).parts[0] in kept, name

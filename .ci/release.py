"""The version of all packages, and the conda recipe that follows from their pyproject.toml.

    python .ci/release.py check [TAG]     all places have one version, which is that of the tag
    python .ci/release.py set 0.2.0       writes it to all of them
    python .ci/release.py conda [--check] writes conda/recipe.yaml

The exit code is 2 if a check fails.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

ROOT: Final = Path(__file__).parents[1]
RECIPE: Final = "conda/recipe.yaml"
# distributions that conda-forge has under another name
CONDA: Final = {
    "huggingface-hub": "huggingface_hub",
    "matplotlib": "matplotlib-base",
    "torch": "pytorch",
}
_HEAD: Final = """\
# Written by `python .ci/release.py conda` from the pyproject.toml of each package. Do not edit.
# Format: the recipe format of rattler-build. A feedstock takes the sdists from PyPI as sources instead of `path`.
context:
  version: "{version}"

recipe:
  name: kd
  version: ${{{{ version }}}}

source:
  path: ..

build:
  number: 0

outputs:
"""
_OUTPUT: Final = """\
  - package:
      name: {name}
      version: ${{{{ version }}}}
    build:
      noarch: python
      script: python -m pip install {folder} --no-deps --no-build-isolation -vv
{entry_points}    requirements:
      host:
        - hatchling >=1.27
        - pip
        - python >=3.11
      run:
        - python >=3.11
{run}
    tests:
      - python:
          imports:
            - {module}
          pip_check: true
    about:
      summary: "{summary}"
      license: Apache-2.0
      license_file: LICENSE
"""


def packages(root: Path) -> dict[str, Path]:
    """The folders of all packages by their names, the core first."""
    folders = [root, *sorted(path.parent for path in root.glob("plugins/*/pyproject.toml"))]
    return {_project(folder)["name"]: folder for folder in folders}


def places(root: Path) -> dict[Path, re.Pattern[str]]:
    """The files that have the version, and the line of each; its group is the version."""
    toml = re.compile(r'^version = "([^"]+)"$', re.MULTILINE)
    found = {folder / "pyproject.toml": toml for folder in packages(root).values()}
    found[root / "kdcore" / "version.py"] = re.compile(r'^__version__: Final = "([^"]+)"$', re.MULTILINE)
    found[root / "CITATION.cff"] = re.compile(r"^version: (\S+)$", re.MULTILINE)
    found[root / RECIPE] = re.compile(r'^  version: "([^"]+)"$', re.MULTILINE)
    return found


def versions(root: Path) -> dict[str, str | None]:
    """What each place says; None: nothing."""
    found = {}
    for path, line in places(root).items():
        match = line.search(path.read_text("utf-8"))
        found[str(path.relative_to(root))] = match and match[1]
    return found


def check(root: Path, tag: str | None) -> list[str]:
    """What is wrong, a line for each problem."""
    found = versions(root)
    wanted = found["pyproject.toml"]
    wrong = [
        f"{path}: version {version}, but pyproject.toml has {wanted}"
        for path, version in found.items()
        if version != wanted
    ]
    if tag is not None and tag != f"v{wanted}":
        wrong.append(f"the tag is {tag}, but the version is {wanted}: it needs v{wanted}")
    if tag is not None and f"\n## {wanted} (unreleased)" in (root / "CHANGELOG.md").read_text("utf-8"):
        wrong.append(f"CHANGELOG.md: {wanted} is still called unreleased")
    return wrong


def set_version(root: Path, version: str) -> None:
    """Write the version to all places.

    Raises:
        InvalidVersion: it is not a version.
        ValueError: it is one, but not in the normal form, or a place has no line for it.
    """
    if str(Version(version)) != version:
        raise ValueError(f"write {version} as {Version(version)}")
    for path, line in places(root).items():
        text, number = line.subn(
            lambda match: match[0].replace(match[1], version), path.read_text("utf-8"), count=1
        )
        if number != 1:
            raise ValueError(f"{path} has no line with a version")
        path.write_text(text, encoding="utf-8")


def recipe(root: Path) -> str:
    """The conda recipe of all packages."""
    folders = packages(root)
    projects = {name: _project(folder) for name, folder in folders.items()}
    outputs = []
    for name, folder in folders.items():
        project = projects[name]
        scripts = [f"{command} = {target}" for command, target in project.get("scripts", {}).items()]
        points = "".join(f"          - {script}\n" for script in scripts)
        outputs.append(
            _OUTPUT.format(
                name=name,
                folder=f"./{folder.relative_to(root)}" if folder != root else ".",
                entry_points=f"      python:\n        entry_points:\n{points}" if points else "",
                run="\n".join(f"        - {line}" for line in _run(project, projects)),
                module="kdcore" if name == "kd-all" else name.replace("-", "_"),  # kd-all has no module
                summary=project["description"],
            )
        )
    return _HEAD.format(version=projects["kdcore"]["version"]) + "\n".join(outputs)


def _run(project: dict[str, Any], projects: dict[str, dict[str, Any]]) -> list[str]:
    """Lines of what a package needs; conda has no extras, so what an extra needs is listed."""
    lines = set()
    for text in project.get("dependencies", ()):
        one = Requirement(text)
        if one.name in projects:
            lines.add(f"{one.name} =${{{{ version }}}}")
        else:
            lines.add(_conda(one))
        extras = projects.get(one.name, {}).get("optional-dependencies", {})
        lines |= {_conda(Requirement(line)) for extra in one.extras for line in extras[extra]}
    return sorted(lines)


def _conda(requirement: Requirement) -> str:
    return f"{CONDA.get(requirement.name, requirement.name)} {requirement.specifier}".strip()


def _project(folder: Path) -> dict[str, Any]:
    content = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
    return dict(content["project"])


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Run a command; the exit code."""
    parser = argparse.ArgumentParser(prog=".ci/release.py", description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check").add_argument("tag", nargs="?")
    commands.add_parser("set").add_argument("version")
    commands.add_parser("conda").add_argument("--check", action="store_true")
    given = parser.parse_args(arguments)
    wrong: list[str] = []
    if given.command == "check":
        wrong = check(root, given.tag)
    elif given.command == "set":
        try:
            set_version(root, given.version)
        except (InvalidVersion, ValueError) as error:
            wrong = [str(error)]
    elif given.check:
        if (root / RECIPE).read_text("utf-8") != recipe(root):
            wrong = [f"{RECIPE} is not what the pyproject.toml files say; run: python .ci/release.py conda"]
    else:
        (root / RECIPE).write_text(recipe(root), encoding="utf-8")
    print("\n".join(wrong) or versions(root)["pyproject.toml"], file=sys.stderr if wrong else sys.stdout)
    return 2 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

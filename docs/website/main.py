"""The command: collects the pages, calls Zensical, renders the formulas, checks the links."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from website.check import problems
from website.collect import collect
from website.formulas import FormulaError, render_formulas
from website.navigation import NavigationError, configuration

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).parents[2]
COMMAND: Final = "uv run --isolated --only-group docs python docs/build_site.py"


def main(arguments: Sequence[str]) -> int:
    """Build and check the site; the exit code is 1 if a link is broken or a page is not in the navigation."""
    parser = argparse.ArgumentParser(
        prog="docs/build_site.py",
        description="Build the site from docs/ into OUTPUT/site, and check every link and anchor in it. "
        "Nothing is downloaded, and the site loads nothing from elsewhere: open site/index.html.",
    )
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "docs", metavar="DIR")
    given = parser.parse_args(arguments)
    try:
        site = build(given.output.resolve())
    except (NavigationError, FormulaError, BuildError) as error:
        print(error, file=sys.stderr)
        return 1
    found = problems(site)
    for line in found:
        print(line, file=sys.stderr)
    pages = sum(1 for _ in site.rglob("*.html"))
    print(f"{pages} pages in {site}: {len(found) or 'no'} problems", file=sys.stderr)
    return 1 if found else 0


class BuildError(Exception):
    """Zensical is missing or failed."""


def build(output: Path) -> Path:
    """The folder of the built site."""
    pages, site = output / "pages", output / "site"
    for old in (pages, site):
        shutil.rmtree(old, ignore_errors=True)
    collect(ROOT, pages)
    settings = tomllib.loads((ROOT / "docs" / "zensical.toml").read_text("utf-8"))
    config = output / "zensical.toml"
    config.write_text(configuration(settings, pages, address=_address()), encoding="utf-8")
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--config-file", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=output)  # noqa: S603 (its own arguments)
    if done.returncode or not (site / "index.html").is_file():
        raise BuildError(f"Zensical failed; install the group docs: {COMMAND}\n{done.stdout}{done.stderr}")
    render_formulas(site)
    return site


def _address() -> str | None:
    """The address of the repository, if pyproject.toml has one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    address: str | None = project.get("urls", {}).get("Repository")
    return address

"""Real fake distributions: a module and a dist-info folder with an entry point, on sys.path."""

from __future__ import annotations

import sys
import textwrap

import pytest

from kdcore.plugins import Plugins, find_candidates, get_plugins

HEAD = "from kdcore import AdapterEntry, DatasetEntry, DistillerEntry, ModelEntry, hookimpl\n"


class Site:
    """A folder like site-packages."""

    def __init__(self, path):
        self.path = path
        path.mkdir(exist_ok=True)

    def module(self, name, code):
        file = self.path.joinpath(*name.split(".")).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(HEAD + textwrap.dedent(code))
        return name

    def metadata(self, distribution, value, *, version="1.0", name=None, points=None, whole=True):
        folder = self.path / f"{distribution.replace('-', '_')}-{version}.dist-info"
        folder.mkdir(parents=True, exist_ok=True)
        lines = points or [f"{name or distribution} = {value}"]
        (folder / "entry_points.txt").write_text("\n".join(["[kdcore]", *lines]) + "\n")
        if whole:
            (folder / "METADATA").write_text(
                f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
            )
        return folder

    def plugin(self, distribution, code, *, module=None, **metadata):
        """A distribution with one module, and an entry point that names it."""
        module = self.module(module or distribution.replace("-", "_"), code)
        self.metadata(distribution, metadata.pop("value", module), **metadata)

    def candidates(self):
        return find_candidates([str(self.path)])

    def discover(self, **options):
        return Plugins.discover(self.candidates(), **{"disabled": (), "strict": False} | options)


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder for fake distributions; what is imported from it is forgotten afterwards."""
    site = Site(tmp_path / "site")
    monkeypatch.syspath_prepend(str(site.path))
    before = set(sys.modules)
    yield site
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if file.startswith(str(tmp_path)):
            del sys.modules[name]
    get_plugins.cache_clear()


@pytest.fixture
def declares():
    """Code of a module that declares distillers (or another kind of thing) of these names."""

    def code(*names, hook="kd_distillers", entry="DistillerEntry"):
        fields = "summary='A summary.', target='nowhere:Thing'"
        if entry == "DistillerEntry":
            fields += ", kind='logit', options='nowhere:Options'"
        entries = ", ".join(f"{entry}(name={name!r}, {fields})" for name in names)
        return f"@hookimpl\ndef {hook}():\n    return [{entries}]\n"

    return code

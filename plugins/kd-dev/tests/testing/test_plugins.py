"""Each check of a plugin fails for the one that breaks its rule, and all others pass; good ones pass all."""

from __future__ import annotations

import re
import sys

import pytest
from kd_dev.testing import check_plugin, plugin_checks
from kd_dev.testing.plugin import RULES

from kdcore import UserError
from kdcore.plugins import get_plugins

HEAD = "from kdcore import AdapterEntry, DatasetEntry, DistillerEntry, ModelEntry, hookimpl\n"
API = "PLUGIN_API = 1\n"
OPTIONS = """\
from pydantic import Field
from kdcore import DistillerOptions
from kdcore import Options as Base
from pydantic import BaseModel

class Sized(Base):
    a: int = Field(default=1, description="A.")

class Lax(BaseModel):
    a: int = Field(default=1, description="A.")

class Bare(Base):
    a: int

class Options(DistillerOptions):
    a: int = Field(default=1, description="A.")

class Undescribed(DistillerOptions):
    a: int = 1
"""
THINGS = """\
from torch import nn

class Method(nn.Module):
    def __init__(self, options, setup): super().__init__()
    def forward(self, student, teacher, batch, progress): return {}

class OldMethod(nn.Module):
    def __init__(self, options, setup): super().__init__()
    def forward(self, student, teacher): return {}

def data(root, split): ...
def sized(root, split, *, a): ...
"""


def distiller(target="Method", options="Options", name="fox"):
    return (
        f"@hookimpl\ndef kd_distillers():\n    return [DistillerEntry(name={name!r}, kind='logit', summary='S.', "
        f"target='MODULE_things:{target}', options='MODULE_options:{options}')]\n"
    )


# by check: the entry module, and what the message says
BREAKS = {
    "loads": (
        "1 / 0",
        r"is broken: ZeroDivisionError: division by zero .*; .*pip install --force-reinstall --no-deps",
    ),
    "lazy_import": (API + "import numpy\n" + distiller(), "importing kd_fox_lazy_import imports numpy"),
    "api_version": (distiller(), "kd_fox_api_version does not set PLUGIN_API"),
    "targets": (
        API + distiller("Absent"),
        "distiller 'fox': kd_fox_targets_things:Absent: .* does not have 'Absent'",
    ),
    "declarations": (
        API + distiller("OldMethod"),
        r"things:OldMethod.forward cannot be called with self, student, teacher, batch, progress by position",
    ),
    "options_documented": (
        API + distiller(options="Undescribed"),
        "distiller 'fox': option 'a' has no description",
    ),
    "names": (
        API + distiller() + "@hookimpl\ndef kd_datasets():\n"
        "    return [DatasetEntry(name='digits', summary='S.', target='MODULE_things:data')]\n",
        "dataset 'digits' is also declared by kdcore",
    ),
    "depends_on_kdcore": (API + distiller(), "kd-fox-depends-on-kdcore 1.0 requires nothing"),
}


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a plugin with this entry module, beside `THINGS` and `OPTIONS`."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name, code, requires="kdcore>=0.1,<2"):
        module = name.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(HEAD + code.replace("MODULE", module))
        (tmp_path / f"{module}_things.py").write_text(THINGS)
        (tmp_path / f"{module}_options.py").write_text(OPTIONS)
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        needed = f"Requires-Dist: {requires}\n" if requires else ""
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needed}")
        (info / "entry_points.txt").write_text(f"[kdcore]\n{name} = {module}\n")
        get_plugins.cache_clear()

    before = set(sys.modules)
    yield make
    get_plugins.cache_clear()
    for name in set(sys.modules) - before:
        if name.startswith("kd_fox"):
            del sys.modules[name]


def test_every_rule_has_somebody_who_breaks_it():
    assert list(BREAKS) == [rule.id for rule in RULES]


@pytest.mark.parametrize("id", BREAKS)
def test_a_broken_rule_is_found_and_no_other(id, install, look):
    code, message = BREAKS[id]
    name = f"kd-fox-{id.replace('_', '-')}"
    install(name, code, requires=None if id == "depends_on_kdcore" else "kdcore>=0.1,<2")
    found = look(plugin_checks(name))
    assert set(found.failed) == {id}, found.failed
    assert f"{name} breaks the rule {id}: " in found.failed[id]
    assert f"docs/conformance.md#{id}-plugin" in found.failed[id]
    assert re.search(message, found.failed[id]), found.failed[id]
    assert len(found.skipped) == (7 if id == "loads" else 0)


def test_a_good_one_passes(install, look):
    install("kd-fox-good", API + distiller())
    found = look(plugin_checks("kd_fox_good"))
    assert (found.failed, found.skipped) == ({}, {})


def test_found_anew_it_is_the_same_plugin(install, look):
    install("kd-fox-anew", API + distiller())
    checks = plugin_checks("kd-fox-anew")
    get_plugins.cache_clear()  # as other tests do between collection and this one
    assert look(checks).failed == {}


@pytest.mark.parametrize(
    ("target", "options", "failed"),
    [
        ("sized", "Sized", None),
        (
            "data",
            "Sized",
            (
                "declarations",
                r"cannot be called with root, split by position and a by name \(got an unex",
            ),
        ),
        ("sized", "Lax", ("declarations", "Lax accepts unknown keys; derive it from kdcore.Options")),
        ("sized", "Absent", ("targets", "dataset 'hens': .*_options:Absent")),
        (
            "sized",
            "Bare",
            ("options_documented", "dataset 'hens': option 'a' has no default; dataset 'hens'"),
        ),
    ],
)
def test_options_of_datasets_and_models(install, look, target, options, failed):
    name = f"kd-fox-{target}-{options}".lower()
    declared = (
        f"name='hens', summary='S.', target='MODULE_things:{target}', options='MODULE_options:{options}'"
    )
    install(name, f"{API}@hookimpl\ndef kd_datasets():\n    return [DatasetEntry({declared})]\n")
    found = look(plugin_checks(name)).failed
    assert list(found) == ([] if failed is None else [failed[0]])
    if failed is not None:
        assert re.search(failed[1], found[failed[0]]), found


@pytest.mark.parametrize("name", ["kdcore", "kd-classic", "kd-feature", "kd-ofa"])
def test_the_installed_ones_pass(name):
    if name not in {info.name for info in get_plugins().infos}:
        pytest.skip(f"{name} is not installed")
    check_plugin(name)


def test_a_requirement_without_an_end_is_told(install, look):
    install("kd-fox-open", API + distiller(), requires="kdcore")
    (message,) = look(plugin_checks("kd-fox-open")).failed.values()
    assert "requires 'kdcore', without a lower or an upper bound" in message


def test_a_plugin_that_is_not_there_is_told():
    with pytest.raises(UserError, match=r"(?s)no plugin of this name.*allowed: .*kd-dev"):
        plugin_checks("kd-fuchs")

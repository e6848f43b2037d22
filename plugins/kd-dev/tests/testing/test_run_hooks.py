"""Each check of what a plugin does during runs fails for the one that breaks its rule; good ones pass all."""

from __future__ import annotations

import re
import sys

import pytest
from kd_dev.testing import check_run_hooks, run_hook_checks
from kd_dev.testing.run_hooks import RULES

from kdcore import UserError
from kdcore.plugins import get_plugins

HEAD = "from kdcore import hookimpl\nPLUGIN_API = 1\n\n@hookimpl\n"
GOOD = (
    f"{HEAD}def kd_run_failed(run, summary):\n    (run.path / 'mine.txt').write_text(summary['error'])\n\n"
    "@hookimpl\ndef kd_run_finished(run):\n    return 'look at ' + run.name\n"
    "@hookimpl\ndef kd_epoch_ended(metrics):\n    assert metrics['epoch']\n"
)
BREAKS = {
    "raises_nothing": (
        "def kd_run_failed(run, summary):\n    summary['failures']",
        r"kd_run_failed\(\) raised KeyError: 'failures'",
    ),
    "returns": ("def kd_run_started(run):\n    return run.name", r"kd_run_started\(\) returned str"),
    "run_unchanged": (
        "def kd_epoch_ended(metrics):\n    metrics['mine'] = 1",
        r"kd_epoch_ended\(\) changed its arguments",
    ),
}


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a plugin with this entry module."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name, code):
        module = name.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(code)
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[kdcore]\n{name} = {module}\n")
        get_plugins.cache_clear()

    yield make
    get_plugins.cache_clear()
    for name in [name for name in sys.modules if name.startswith("kd_hooks_")]:
        del sys.modules[name]


def test_every_rule_has_somebody_who_breaks_it():
    assert list(BREAKS) == [rule.id for rule in RULES]


@pytest.mark.parametrize("id", BREAKS)
def test_a_broken_rule_is_found_and_no_other(id, install, look):
    code, message = BREAKS[id]
    name = f"kd-hooks-{id.replace('_', '-')}"
    install(name, f"{HEAD}{code}\n")
    found = look(run_hook_checks(name))
    assert set(found.failed) == {id}, found.failed
    assert re.search(message, found.failed[id]), found.failed[id]
    assert f"docs/conformance.md#{id}-run-hook" in found.failed[id]


def test_a_file_of_kd_that_was_changed(install, look):
    install(
        "kd-hooks-file", f"{HEAD}def kd_run_finished(run):\n    (run.path / 'spec.json').write_text('')\n"
    )
    found = look(run_hook_checks("kd-hooks-file"))
    assert "kd_run_finished() changed spec.json in the run directory" in found.failed["run_unchanged"]


def test_a_good_one_passes(install):
    install("kd-hooks-good", GOOD)
    check_run_hooks("kd-hooks-good")


def test_without_hooks_there_is_nothing_to_check(look):
    found = look(run_hook_checks("kd-dev"))
    assert set(found.skipped) == {rule.id for rule in RULES}
    assert "it does nothing during runs" in found.skipped["returns"]
    with pytest.raises(UserError, match="no plugin of this name"):
        run_hook_checks("kd-absent")

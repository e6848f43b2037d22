"""`kd_run_failed` is called for a run that fails, with the summary and the reason."""

from __future__ import annotations

import json

import pytest

import kdcore
from kdcore.errors import RunFailed, UserError

WATCH = """
    import json
    from pathlib import Path
    from kdcore import hookimpl
    @hookimpl
    def kd_run_failed(run, summary):
        Path(run.path, "failed.json").write_text(json.dumps(summary))
        summary["status"] = "changed"
        {more}
"""


@pytest.fixture
def watch(install):
    """Installs a plugin that writes down what its hook is called with."""
    return lambda more="pass": install("kd-watch", WATCH.format(more=more))


def test_it_gets_the_summary_with_the_reason(spec_file, watch, tmp_path):
    watch()
    with pytest.raises(RunFailed) as caught:
        kdcore.run(spec_file(optimizer={"lr": 1e30}), quiet=True)
    folder = tmp_path / "runs" / "tiny"
    seen = json.loads((folder / "failed.json").read_text())
    assert seen == json.loads((folder / "summary.json").read_text())
    assert (seen["status"], seen["error"]) == ("failed", str(caught.value))


@pytest.mark.parametrize("statement", ["1 / 0", "raise SystemExit(0)"])
def test_one_that_raises_changes_nothing(spec_file, watch, capsys, statement):
    watch(statement)
    with pytest.raises(RunFailed, match=r"NaN|infinite|not finite"):
        kdcore.run(spec_file(optimizer={"lr": 1e30}), quiet=True)


def test_it_is_not_called_for_what_the_user_gave_or_a_run_that_ends_well(spec_file, watch, tmp_path):
    watch()
    with pytest.raises(UserError):
        kdcore.run(spec_file(student={"model": "resnet10x"}), quiet=True)
    kdcore.run(spec_file(), quiet=True)
    assert not (tmp_path / "runs" / "tiny" / "failed.json").exists()

"""docs/pairs.md: which distiller accepts which pair, and a few runs of the script."""

from __future__ import annotations

import json

import pytest

from kdcore import DistillerEntry
from kdcore.plugins import get_plugins


@pytest.fixture(scope="module")
def pairs(docs_script):
    """docs/distiller_pairs, as the script imports it."""
    return docs_script("distiller_pairs", "main", "page", "specs", "train")


@pytest.fixture(scope="module")
def data(root):
    return json.loads((root / "docs" / "pairs.json").read_text("utf-8"))


def test_the_page_is_what_the_data_says(root, pairs, data):
    assert (root / "docs" / "pairs.md").read_text("utf-8") == pairs.page.page(data)


def test_every_distiller_was_tried_on_every_pair_and_none_failed(pairs, data):
    names = {
        item.entry.name for item in get_plugins().all(DistillerEntry) if item.plugin.name.startswith("kd")
    }
    assert set(data["runs"]) == names
    titles = {pair.title for pair in pairs.specs.PAIRS}
    for name, records in data["runs"].items():
        assert set(records) == titles, name
        assert {record["status"] for record in records.values()} <= {"trained", "refused", "too large"}, name


def entry(name):
    (found,) = [item.entry for item in get_plugins().all(DistillerEntry) if item.entry.name == name]
    return found


@pytest.mark.filterwarnings("ignore")
def test_a_run_is_trained_refused_or_failed(pairs, monkeypatch):
    pair = pairs.specs.Pair("test_resnet", "test_resnet")
    trained = pairs.train.train(entry("kd"), pair)
    assert trained["status"] == "trained"
    assert len(trained["losses"]) == 2
    refused = pairs.train.train(entry("vitkd"), pair)
    assert (refused["status"], "has no module" in refused["reason"]) == ("refused", True)

    def broken(*_, **__):
        raise RuntimeError("no\nmore")

    monkeypatch.setattr(pairs.train, "run", broken)
    assert pairs.train.train(entry("kd"), pair) == {"status": "failed", "reason": "RuntimeError: no"}


def test_an_interrupted_run_goes_on_and_a_failure_is_the_exit_code(pairs, tmp_path, monkeypatch, capsys):
    tried = []

    def train(entry, pair):
        tried.append((entry.name, pair.title))
        return {
            "status": "failed" if entry.name == "kd" else "trained",
            "reason": "why",
            "losses": [1.0],
            "heads": 0,
        }

    monkeypatch.setattr(pairs.main, "train", train)
    monkeypatch.setattr(pairs.main.os, "fsync", pairs.main.os.fsync)  # put back at the end
    arguments = ["--output", str(tmp_path), "--pair", "1"]
    assert pairs.main.main([*arguments, "--methods", "dkd"]) == 0
    assert pairs.main.main(arguments) == 1
    assert len(tried) == len(set(tried))
    assert "failed: kd, resnet34 → resnet18: why" in capsys.readouterr().err
    assert "- `kd`, resnet34 → resnet18: why" in (tmp_path / "pairs.md").read_text("utf-8")

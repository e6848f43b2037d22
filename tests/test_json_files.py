from __future__ import annotations

import json
from pathlib import Path

import pytest

from kdcore.errors import UserError
from kdcore.json_files import NUMBER, DamagedJson, flat, parse_json, read_json
from kdcore.rundir.directory import ENVIRONMENT, METRICS, SPEC, SUMMARY, RunDirectory
from kdcore.teacher_cache.manifest import NAME, Manifest, NoCache

DAMAGED = {
    "deep": "[" * 60_000 + "]" * 60_000,
    "deep but read": "[" * 200 + "]" * 200,
    "cut off": '{"epochs": 1, "status',
    "a list": "[1, 2]",
    "text": '"finished"',
    "null": "null",
    "zero bytes": "\0" * 50,
    "empty": "",
    "a long number": '{"epochs": ' + "9" * 5000 + "}",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_each_kind_of_damage_is_one_error(content: str):
    with pytest.raises(DamagedJson):
        parse_json(content)


def test_what_is_not_utf_8_says_so(tmp_path: Path):
    (tmp_path / "x.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(DamagedJson, match="not UTF-8"):
        read_json(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("value", "shape", "said"),
    [
        ({"a": "1"}, {"a": int}, "'a' is text, not a whole number"),
        ({"a": True}, {"a": NUMBER}, "'a' is true or false, not a whole number or a number"),
        ({"a": {"b": [1, {}]}}, {"a": {"b": [int]}}, r"'a.b\[1\]' is an object, not a whole number"),
        ({}, {"a!": int}, "'a' is missing"),
        ({"a": None}, {"a!": int}, "'a' is missing"),
        ({"x": {}}, {"*": NUMBER}, "'x' is an object"),
        ([1], dict, "it is a list, not an object"),
    ],
)
def test_wrong_types_are_told_with_their_place(value, shape, said: str):
    with pytest.raises(DamagedJson, match=said):
        parse_json(json.dumps(value), shape)


def test_what_has_no_shape_may_be_anything():
    value = {"a": None, "b": [{"c": "d"}]}
    assert parse_json(json.dumps(value), {"a": int}) == value


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
@pytest.mark.parametrize("name", [SPEC, SUMMARY, METRICS])
def test_a_run_with_a_damaged_file_ends_in_words(tmp_path: Path, name: str, content: str):
    run = RunDirectory(tmp_path)
    (tmp_path / name).write_text(content)
    if (name, content) == (METRICS, ""):
        assert run.metrics() == []  # before the first epoch has ended
        return
    with pytest.raises(UserError, match=f"{name}: this file of the run is damaged: .*\n.*--fresh"):
        {SPEC: run.spec, SUMMARY: run.summary, METRICS: run.metrics}[name]()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (SUMMARY, {"student": []}),
        (SUMMARY, {"student": {"top1": "97"}}),
        (SUMMARY, {"wall_seconds": {}}),
        (SPEC, {"train": 3}),
        (METRICS, {"loss": 1.0}),
        (METRICS, {"epoch": 1, "eval": {"top1": []}}),
    ],
)
def test_wrong_types_in_a_runs_files_are_damage_too(tmp_path: Path, name: str, content: object):
    run = RunDirectory(tmp_path)
    (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(UserError, match="is damaged"):
        {SPEC: run.spec, SUMMARY: run.summary, METRICS: run.metrics}[name]()


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_what_nothing_depends_on_begins_anew(tmp_path: Path, content: str):
    run = RunDirectory(tmp_path)
    (tmp_path / ENVIRONMENT).write_text(content)
    (tmp_path / ".end.json").write_text(content)
    assert run.steps_done() == frozenset()
    run.begin({}, {"kdcore": "1"})
    assert json.loads((tmp_path / ENVIRONMENT).read_text())["starts"] == [{"kdcore": "1"}]


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_cache_with_a_damaged_manifest_is_no_cache(tmp_path: Path, content: str):
    (tmp_path / NAME).write_text(content)
    with pytest.raises(NoCache):
        Manifest.read(tmp_path)


def test_flat_values_have_their_places():
    value = {"a": {"b": 1, "c": {}}, "d": [{"e": 2}, {"f": (3, 4)}], "g": [5], "h": []}
    assert flat(value) == {"a.b": 1, "a.c": {}, "d[0].e": 2, "d[1].f": [3, 4], "g": [5], "h": []}
    assert flat(value, index=None)["d"] == value["d"]
    assert flat(value, joint="/", index="/{}")["d/0/e"] == 2

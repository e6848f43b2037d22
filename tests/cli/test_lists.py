from __future__ import annotations

import json

import pytest

from kdcore.cli.output import say_all, table

FOX = """
@hookimpl
def kd_distillers():
    return [DistillerEntry(name=name, kind="relation", summary="Red.", target="m:T", options="m:O")
            for name in ("red", "vanilla")]
@hookimpl
def kd_feature_adapters():
    return [AdapterEntry(name="den", summary="Dens.", target="m:T", models=["m:A", "m:B", "m:C", "m:D"])]
@hookimpl
def kd_datasets():
    return [DatasetEntry(name="forest", summary="Trees.", target="m:T", num_classes=7)]
"""


@pytest.fixture
def fox(add_plugin, alone):
    add_plugin("kd-fox", FOX, version="1.2")


def rows(done):
    assert done.code == 0
    assert done.err == ""
    return [line.split() for line in done.out.splitlines()]


def test_distillers(kd, fox):
    head, *found = rows(kd("list-distillers"))
    assert head == ["name", "kind", "year", "needs", "plugin", "summary"]
    assert found[0] == ["red", "relation", "(not", "stated)", "kd-fox", "Red."]
    # a name that two have is shown as a spec has to write it
    assert [row[0] for row in found[1:]] == ["kd-fox/vanilla", "kdcore/vanilla"]


def test_columns_are_aligned(kd, fox):
    lines = kd("list-distillers").out.splitlines()
    column = lines[0].index("summary")
    assert all(line[column - 2 : column] == "  " and line[column] != " " for line in lines)


def test_distillers_as_json(kd, fox):
    done = kd("list-distillers", "--json")
    assert done.err == ""
    red, *vanillas = json.loads(done.out)
    assert red == {
        "name": "red",
        "kind": "relation",
        "summary": "Red.",
        "target": "m:T",
        "options": "m:O",
        "paper": None,
        "task_weight": 1.0,
        "formula": None,
        "suits": [],
        "recipes": [],
        "settings": None,
        "needs": None,
        "tasks": None,
        "qualified": "kd-fox/red",
        "plugin": "kd-fox",
        "distribution": "kd-fox",
        "version": "1.2",
        "ambiguous": False,
    }
    assert [item["ambiguous"] for item in vanillas] == [True, True]


PAPERS = """
from kdcore import Paper
PAPER = Paper(title="On the Many Ways of Reddening a Small Network", year=2020, url="https://example.org/red")
@hookimpl
def kd_distillers():
    return [DistillerEntry(name="red", kind="logit", summary="Reddens.", target="m:T", options="m:O", paper=PAPER)]
"""


@pytest.mark.parametrize(
    ("width", "title"),
    [
        (None, "On the Many Ways of Reddening a Small Network"),
        (300, "On the Many Ways of Reddening a Small Network"),
        (110, "On the Many Ways ..."),  # 47 for the other columns, 40 for the summary, 2 between
        (108, None),
    ],
)
def test_the_titles_of_papers_if_there_is_room(kd, add_plugin, alone, monkeypatch, width, title):
    add_plugin("kd-red", PAPERS)
    monkeypatch.setattr("kdcore.cli.lists.terminal_width", lambda: width)
    head, red, vanilla = kd("list-distillers").out.splitlines()
    assert head.split()[4:] == (["plugin", "summary"] if title is None else ["plugin", "paper", "summary"])
    assert red.endswith("  kd-red  Reddens." if title is None else f"  kd-red  {title}  Reddens.")
    assert vanilla.index("No distillation") == head.index("summary")


NEEDY = """
@hookimpl
def kd_distillers():
    return [DistillerEntry(name=name, kind=kind, summary="S.", target="m:T", options="m:O", needs=needs)
            for name, kind, needs in [
                ("a", "logit", ["logits", "teacher"]), ("b", "logit", ("labels", "logits")),
                ("c", "feature", ("features", "teacher", "labels")), ("d", "feature", None)]]
"""


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ("", "a b c d vanilla"),
        ("--kind feature", "c d"),
        ("--needs labels", "b c vanilla"),
        ("--needs labels --needs teacher", "c"),
        ("--without labels", "a"),
        ("--without teacher --without features", "b vanilla"),
        ("--kind logit --needs logits --without teacher", "b"),
        ("--without labels --without teacher", ""),
    ],
)
def test_distillers_by_kind_and_need(kd, add_plugin, alone, flags, names):
    add_plugin("kd-needy", NEEDY)
    found = json.loads(kd("list-distillers", "--json", *flags.split()).out)
    assert " ".join(item["name"] for item in found) == names


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--kind", "logits"), ["--kind: there is no such kind", "'logit'", "heterogeneous"]),
        (("--needs", "lables"), ["--needs: there is no such need", "'labels'", "whole-batch"]),
        (("--without", "gpu"), ["--without: there is no such need", "several-teachers"]),
    ],
)
def test_an_unknown_kind_or_need_is_an_error(kd, alone, flags, words):
    done = kd("list-distillers", *flags)
    assert done.code == 2
    assert all(word in done.err for word in words)


def test_adapters(kd, fox):
    found = rows(kd("list-adapters"))
    assert found[1] == ["den", "A,", "B,", "C,", "...", "kd-fox", "Dens."]
    assert found[2][:4] == ["timm", "(any", "other)", "kdcore"]
    assert json.loads(kd("list-adapters", "--json").out)[0]["models"] == ["m:A", "m:B", "m:C", "m:D"]


def test_datasets(kd, fox):
    found = rows(kd("list-datasets"))
    assert found[1][:3] == ["digits", "10", "kdcore"]
    assert found[2] == ["forest", "7", "kd-fox", "Trees."]
    assert [item["num_classes"] for item in json.loads(kd("list-datasets", "--json").out)] == [10, 7]


def test_json_stays_alone_on_stdout_beside_a_broken_plugin(kd, add_plugin, alone):
    add_plugin("kd-fox", "print('loud'); 1 / 0")
    done = kd("list-distillers", "--json")
    assert [item["name"] for item in json.loads(done.out)] == ["vanilla"]
    assert "warning: plugin kd-fox 1.0 is broken" in done.err


def test_a_terminal_gets_a_bold_head_and_wrapped_cells(monkeypatch, capsys):
    def shown(*lines):
        capsys.readouterr()
        say_all(lines)
        return capsys.readouterr().out.splitlines()

    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    head, first, second = shown(*table(["a", "b"], [["x", "word " * 12]]))
    assert head == "\x1b[1ma  b\x1b[0m"
    assert first == "x  " + "word " * 6 + "word"
    assert second == "   " + "word " * 4 + "word"
    monkeypatch.setenv("NO_COLOR", "1")
    assert shown(*table(["a", "b"], [])) == ["a  b"]

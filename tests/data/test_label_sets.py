"""Several labels an image: tables of them, datasets of plugins, and the targets of batches."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from kdcore import UserError
from kdcore.data import open_split
from kdcore.data.chosen_samples import ChosenSource, at_most
from kdcore.data.held_out import draw_labelled, draw_labelled_groups, held_out
from kdcore.data.label_sets import LabelSets
from kdcore.data.registered import WrappedSource
from kdcore.data.special_targets import has_label, was_read
from kdcore.data.subset import choose_samples
from kdcore.plugins import get_plugins
from kdcore.spec.models import DataSpec

DELIMITED = "path,label\n0.png,cat|dog\n1.png,dog\n2.png,dog|cat\n3.png,none of them\n4.png,\n"
BY_COLUMN = """\
file,cat,dog,split
0.png,1,yes,train
1.png,0,TRUE,train
2.png,no,false,train
3.png,,,train
4.png,1,0,val
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from PIL import Image

    path = tmp_path_factory.mktemp("images")
    for number in range(6):
        Image.new("RGB", (8, 8), (40 * number, 0, 0)).save(path / f"{number}.png")
    return path


@pytest.fixture
def table(folder):
    def write(text, name="table.csv", **options):
        (folder / name).write_text(text, encoding="utf-8")
        data = DataSpec(dataset=str(folder / name), options=options)
        return open_split(
            data, "train" if "split" in text else "", plugins=get_plugins(), where="data.train_split"
        )

    return write


def targets(source):
    assert [source[index][1] for index in range(len(source))] == source.labels.tolist()
    return source.label_sets.targets(source.labels).tolist()


def problem(table, *args, **options):
    with pytest.raises(UserError) as caught:
        table(*args, **options)
    (found,) = caught.value.problems
    return found


def test_labels_in_one_cell(table):
    source = table(DELIMITED.replace("none of them", ""), label_delimiter="|", empty="none")
    assert (source.classes, source.num_classes, source.labelled) == (("cat", "dog"), 2, True)
    assert targets(source) == [[1, 1], [0, 1], [1, 1], [0, 0], [0, 0]]
    assert len(source.label_sets) == 3  # cat and dog in either order are one set
    assert source.label_sets.counts(source.labels).tolist() == [2, 3]
    unknown = table(DELIMITED.replace("none of them", ""), label_delimiter="|", empty="unlabelled")
    assert targets(unknown)[3:] == [[-1, -1], [-1, -1]]
    assert has_label(unknown.label_sets.targets(unknown.labels)).tolist() == [True] * 3 + [False] * 2


def test_an_empty_cell_has_to_be_explained(table):
    found = problem(table, DELIMITED, label_delimiter="|")
    assert found.where == "data.options.empty"
    assert "empty cells in its column 'label', which can mean two things" in found.message


def test_lists_in_json_lines(table):
    lines = [["cat", "dog"], ["dog"], [], None]
    text = "".join(json.dumps({"path": f"{n}.png", "label": line}) + "\n" for n, line in enumerate(lines))
    source = table(text, "table.jsonl", empty="unlabelled")
    assert targets(source) == [[1, 1], [0, 1], [0, 0], [-1, -1]]


@pytest.mark.parametrize("mixed", [[["cat", "dog"], None, "cat"], ["cat", ["cat", "dog"]], [[], "cat"]])
def test_lists_and_single_names_in_one_column(table, mixed):
    text = "".join(json.dumps({"path": f"{n}.png", "label": label}) + "\n" for n, label in enumerate(mixed))
    found = problem(table, text, "table.jsonl")
    assert found.where == "data.options.label"
    several = next((n, label) for n, label in enumerate(mixed) if isinstance(label, list))
    assert f"in its column 'label': {json.dumps(several[1])} for {several[0]}.png, " in found.message
    assert found.message.endswith(f"cat for {mixed.index('cat')}.png")


@pytest.mark.parametrize("lines", [[["cat", "dog"], ["dog"]], ["cat|dog", ["dog"]]])
def test_lists_have_no_delimiter(table, lines):
    text = "".join(json.dumps({"path": f"{n}.png", "label": line}) + "\n" for n, line in enumerate(lines))
    found = problem(table, text, "table.jsonl", label_delimiter="|")
    first = next((n, line) for n, line in enumerate(lines) if isinstance(line, list))
    assert (found.where, found.value) == ("data.options.label_delimiter", "|")
    assert found.message.endswith(
        f"has lists in its column 'label': {json.dumps(first[1])} for {first[0]}.png"
    )
    assert "lists need none" in found.hint


@pytest.mark.parametrize("label", [{"x": 1}, [{"x": 1}]])
def test_an_object_is_no_label(table, label):
    text = "".join(
        json.dumps({"path": f"{n}.png", "label": one}) + "\n" for n, one in enumerate(["a", label])
    )
    found = problem(table, text, "table.jsonl")
    assert (found.where, "an object in its column 'label', for 1.png" in found.message) == (
        "data.options.label",
        True,
    )


def test_lists_of_numbers_are_sorted_by_value(table):
    lines = [[10, 9], [2]]
    text = "".join(json.dumps({"path": f"{n}.png", "label": line}) + "\n" for n, line in enumerate(lines))
    assert table(text, "table.jsonl").classes == ("2", "9", "10")


def test_a_parquet_file_has_lists(table, folder):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    found = arrow.table({"path": ["0.png", "1.png"], "label": [["b", "a"], ["a"]]})
    parquet.write_table(found, folder / "table.parquet")
    data = DataSpec(dataset=str(folder / "table.parquet"))
    source = open_split(data, "", plugins=get_plugins(), where="data.train_split")
    assert targets(source) == [[1, 1], [1, 0]]


def test_a_column_for_each_label(table):
    wanted = [[1, 1], [0, 1], [0, 0], [-1, -1]]
    for given in (["cat", "dog"], "*"):
        source = table(BY_COLUMN, labels=given)
        assert (source.classes, targets(source)) == (("cat", "dog"), wanted)
    turned = table(BY_COLUMN, labels="*", classes=["dog", "cat"])
    assert (turned.classes, targets(turned)) == (("dog", "cat"), [row[::-1] for row in wanted])


@pytest.mark.parametrize(
    ("text", "options", "where", "message"),
    [
        (BY_COLUMN, {"labels": ["cat", "dgo"]}, "data.options.labels", "has no column of this name"),
        (
            "path,a,b\n0.png,1,2\n",
            {"labels": "*"},
            "data.options.labels",
            "has '2' in its column 'b', for 0.png",
        ),
        ("path,a,b\n0.png,1,\n", {"labels": "*"}, "data.options.empty", "has nothing in its column 'b'"),
        ("path,a\n0.png,1\n", {"labels": "*"}, "data.options.labels", "has no columns of labels"),
        (
            BY_COLUMN,
            {"labels": "*", "classes": ["cat", "dog", "dgo"]},
            "data.options.classes",
            "has no column of labels of this name",
        ),
        (BY_COLUMN, {"labels": ["cat"]}, "data.options", "'labels' names one column"),
        (BY_COLUMN, {"labels": "*", "label_delimiter": "|"}, "data.options", "for labels in one column"),
        (
            "path,label\n0.png,a|a\n",
            {"label_delimiter": "|"},
            "data.options.label",
            "the labels a|a, with a twice",
        ),
        (
            "path,label\n0.png,a|b\n",
            {"label_delimiter": "|", "classes": ["a", "c"]},
            "data.options.classes",
            "also has b",
        ),
        (
            "path,label\n0.png,a\n0.png,b\n",
            {"label_delimiter": "|"},
            "data.dataset",
            "twice, with different labels",
        ),
    ],
)
def test_what_a_table_cannot_have(table, text, options, where, message):
    found = problem(table, text, **options)
    assert (found.where, message in found.message) == (where, True), found


def test_one_class_a_cell_stays_one_class(table):
    source = table("path,label\n0.png,[a]\n1.png,[b\n")
    assert (source.label_sets, source.classes) == (None, ("[a]", "[b"))


def test_targets_of_negative_numbers():
    sets, numbers = LabelSets.of(
        torch.tensor([[1, 0, 1], [0, 0, 0], [1, 0, 1]]), torch.tensor([True, True, False])
    )
    assert numbers.tolist()[2] == -1
    assert numbers[0] != numbers[1]
    found = sets.targets(torch.tensor([int(numbers[0]), -1, -2]))
    assert found.dtype == torch.float32
    assert found.tolist() == [[1, 0, 1], [-1, -1, -1], [-2, -2, -2]]
    assert was_read(found).tolist() == [True, True, False]
    nothing, numbers = LabelSets.of(torch.zeros(2, 3), torch.zeros(2, dtype=torch.bool))
    assert nothing.targets(numbers).tolist() == [[-1] * 3] * 2


def test_a_dataset_of_a_plugin(folder):
    from PIL import Image

    class Several:
        classes = ("a", "b", "c")
        targets = np.array([[1, 0, 1], [0, 0, 0], [-1, -1, -1]])

        def __len__(self):
            return 3

        def __getitem__(self, index):
            return Image.new("RGB", (8, 8)), None

    source = WrappedSource(Several(), "several", None)
    assert (source.num_classes, targets(source)) == (3, [[1, 0, 1], [0, 0, 0], [-1, -1, -1]])
    Several.targets = np.array([[1, 0, 2], [0, 0, 0], [0, 0, 0]])
    with pytest.raises(ValueError, match="several labels an image, so they must be 0 or 1, or -1"):
        WrappedSource(Several(), "several", None)


def test_drawn_samples_do_not_depend_on_the_sets(table):
    source = table(BY_COLUMN, labels="*")
    assert sorted(choose_samples(ChosenSource(source, np.arange(3)), 3, 0).tolist()) == [0, 1, 2]
    assert len(at_most(source, 2)) == 2
    chosen = ChosenSource(source, np.array([2, 0]))
    assert targets(chosen) == [[0, 0], [1, 1]]


def test_each_label_is_held_out_in_proportion():
    rows = (np.random.default_rng(0).random((600, 5)) < [0.5, 0.3, 0.1, 0.05, 0.02]).astype(np.uint8)
    chosen = draw_labelled(rows, 0.2)
    assert abs(int(chosen.sum()) - 120) <= 3
    for label in range(5):  # a random draw would be off by up to 15
        assert abs(int(rows[chosen, label].sum()) - 0.2 * int(rows[:, label].sum())) <= 1.5
    groups = np.arange(600) // 6
    whole = draw_labelled_groups(rows, groups, 0.2)
    assert abs(int(whole.sum()) - 120) <= 12
    assert set(groups[whole]).isdisjoint(groups[~whole])


@pytest.mark.parametrize("fraction", [0.4, 0.5, 0.9])
def test_one_image_of_each_label_is_trained_on(fraction):
    rows = np.array(
        [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 1]], np.int8
    )
    chosen = draw_labelled(rows, fraction)
    assert chosen.any()
    assert rows[~chosen].any(axis=0).all()


def test_held_out_images_have_labels(table):
    text = "path,a,b\n" + "".join(f"{n}.png,{n % 2},{n // 3}\n" for n in range(5)) + "5.png,,\n"
    train, evaluation = held_out(table(text, labels="*"), 0.4)
    assert len(evaluation) in (1, 2, 3)
    assert bool((evaluation.labels >= 0).all())
    assert len(train) + len(evaluation) == 6


PARTLY = "path,cat,dog,fox\n0.png,1,,0\n1.png,,,\n2.png,0,1,1\n3.png,,0,1\n4.png,0,,1\n"


def test_of_an_image_some_labels_are_known(table):
    source = table(PARTLY, labels="*", empty="unlabelled")
    assert targets(source) == [[1, -1, 0], [-1, -1, -1], [0, 1, 1], [-1, 0, 1], [0, -1, 1]]
    sets, numbers = source.label_sets, source.labels
    assert has_label(sets.targets(numbers)).tolist() == [True, False, True, True, True]
    assert sets.partial
    assert sets.counts(numbers).tolist() == [1, 1, 3]
    assert sets.known(numbers).tolist() == [3, 2, 4]
    (note,) = source.notes
    assert "of 3 of 4 images only some labels are known; not known are: cat 1, dog 2" in note
    none = table(PARTLY, labels="*", empty="none")
    assert targets(none) == [[1, 0, 0], [0, 0, 0], [0, 1, 1], [0, 0, 1], [0, 0, 1]]
    assert (none.label_sets.partial, none.notes) == (False, ())


def test_a_plugins_dataset_and_a_held_out_part_with_some_known_labels(table):
    class Partly:
        targets = torch.tensor([[1, -1], [0, 1], [-1, -1]])

        def __len__(self):
            return 3

        def __getitem__(self, index):
            raise AssertionError

    source = WrappedSource(Partly(), "partly", None)
    assert source.label_sets.targets(source.labels).tolist() == [[1, -1], [0, 1], [-1, -1]]
    assert "of 1 of 2 images only some labels are known; not known are: 1 1" in source.notes[0]
    train, evaluation = held_out(table(PARTLY, labels="*", empty="unlabelled"), 0.5)
    assert len(train) + len(evaluation) == 5
    assert bool((evaluation.labels >= 0).all())

"""Tables of outputs: each kind of file and of content gives the logits that it should."""

from __future__ import annotations

import copy
import csv
import math

import numpy as np
import pytest
import torch
from kd_teachers.outputs.model import OutputsAdapter
from kd_teachers.outputs.table import LEAST

from kdcore import UserError
from kdcore.models.keep_classes import keep_classes

N, K = 4, 5
NAMES = np.array([f"train/a/{number}.png" for number in range(N)])
CLASSES = ("ant", "bee", "cow", "dog", "eel")
LOGITS = np.random.default_rng(0).normal(size=(N, K)).astype(np.float32) * 3
SHARES = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
ALL = torch.arange(N)


@pytest.fixture
def write(tmp_path):
    def call(compressed=False, **arrays):
        save = np.savez_compressed if compressed else np.savez
        save(tmp_path / "table.npz", **arrays)
        return tmp_path / "table.npz"

    return call


@pytest.fixture
def opened(make):
    def call(path, **given):
        return make("outputs", num_classes=K, path=str(path), **given)

    return call


@pytest.fixture
def wrong(problem):
    def call(path, **given):
        found = problem("outputs", num_classes=K, path=str(path), **given)
        assert found.where == "teacher.options.path"
        return found.message

    return call


def softmax(logits):
    return logits.double().softmax(1)


@pytest.mark.parametrize("compressed", [False, True])
def test_logits_come_back_as_they_are(write, opened, compressed):
    built = opened(write(compressed, names=NAMES, logits=LOGITS, classes=np.array(CLASSES)))
    model = built.model
    assert torch.equal(model.sample_logits(torch.tensor([3, 1])), torch.from_numpy(LOGITS[[3, 1]]))
    assert built.class_names == CLASSES
    assert not built.random_weights
    assert not built.description.trainable
    assert model.find_samples(["train/a/2.png", "else.png"]).tolist() == [2, -1]
    assert len(model) == N
    values = model._table.values
    assert isinstance(values, np.memmap) is not compressed


def test_each_process_maps_the_same_file(write, opened):
    table = opened(write(names=NAMES, logits=LOGITS)).model._table
    assert copy.deepcopy(opened(write(names=NAMES, logits=LOGITS)).model)._table.values.base is not None
    assert table.values.flags.writeable is False
    fortran = opened(write(names=NAMES, logits=np.asfortranarray(LOGITS))).model
    assert torch.equal(fortran.sample_logits(ALL), torch.from_numpy(LOGITS))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_probabilities_become_their_logarithms(write, opened, dtype):
    model = opened(write(probabilities=SHARES.astype(dtype))).model
    found = model.sample_logits(ALL)
    assert found.dtype == torch.float32
    torch.testing.assert_close(softmax(found), torch.from_numpy(SHARES).double(), atol=2e-3, rtol=0)
    assert model.find_samples(["a"]) is None
    sharp = opened(write(probabilities=np.eye(N, K))).model.sample_logits(ALL)
    assert sharp[0, 0] == 0
    assert float(sharp[0, 1]) == pytest.approx(math.log(LEAST))


def test_the_largest_ones_and_the_rest_have_the_right_probabilities(write, opened):
    top = np.argsort(-LOGITS, axis=1)[:, :2]
    shares, logits = (np.take_along_axis(one, top, 1) for one in (SHARES, LOGITS))
    others = np.log(np.exp(LOGITS).sum(1) - np.exp(logits).sum(1)) - logits[:, 0]
    wanted = np.repeat((1 - shares.sum(1, keepdims=True)) / (K - 2), K, 1)
    np.put_along_axis(wanted, top, shares, 1)
    for arrays in ({"top_probabilities": shares}, {"top_logits": logits, "rest": others}):
        found = opened(write(names=NAMES, top_classes=top, num_classes=K, **arrays)).model.sample_logits(ALL)
        torch.testing.assert_close(softmax(found), torch.from_numpy(wanted).double(), atol=1e-6, rtol=1e-5)
    assert torch.equal(found.gather(1, torch.from_numpy(top)), torch.from_numpy(logits))


def write_csv(path, heads, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([heads, *rows])
    return path


def test_a_csv_has_a_column_for_each_class(tmp_path, opened, wrong):
    rows = [[name, *row] for name, row in zip(NAMES, SHARES.tolist(), strict=True)]
    path = write_csv(tmp_path / "table.csv", ["file", *CLASSES], rows)
    built = opened(path, values="probabilities")
    torch.testing.assert_close(softmax(built.model.sample_logits(ALL)), torch.from_numpy(SHARES).double())
    assert built.class_names == CLASSES
    assert "set options.values" in wrong(path)
    numbered = write_csv(tmp_path / "n.csv", ["name", *map(str, range(K))], rows)
    assert opened(numbered, values="logits").class_names is None
    assert "value that is not a number" in wrong(
        write_csv(tmp_path / "x.csv", ["name", "a", "b"], [["1", "x", "2"]])
    )
    assert "line 2 has 2 values" in wrong(write_csv(tmp_path / "y.csv", ["name", "a", "b"], [["1", "2"]]))


def test_a_csv_has_a_row_for_each_image_and_class(tmp_path, opened, wrong):
    heads = ["name", "class", "probability"]
    rows = [["b.png", "bee", 0.5], ["b.png", "ant", 0.25], ["a.png", "eel", 1.0]]
    built = opened(write_csv(tmp_path / "table.csv", heads, rows), classes=CLASSES)
    found = softmax(built.model.sample_logits(torch.tensor([0, 1])))
    assert built.model.find_samples(["b.png", "a.png"]).tolist() == [1, 0]
    wanted = torch.tensor([[0, 0, 0, 0, 1], [0.25, 0.5, 0.25 / 3, 0.25 / 3, 0.25 / 3]]).double()
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-6)
    twice = write_csv(tmp_path / "twice.csv", heads, [*rows, rows[0]])
    assert "the same class twice" in wrong(twice, classes=CLASSES)
    assert "lacks the class 'eel'" in wrong(tmp_path / "table.csv", classes=CLASSES[:4])


def test_parquet_has_columns_of_classes_or_lists(tmp_path, opened, wrong):
    arrow = pytest.importorskip("pyarrow", reason="needs kd-teachers[parquet]")
    from pyarrow import parquet

    columns = {name: LOGITS[:, index] for index, name in enumerate(CLASSES)}
    parquet.write_table(arrow.table({"name": NAMES.tolist(), **columns}), tmp_path / "wide.parquet")
    parquet.write_table(
        arrow.table({"name": NAMES.tolist(), "logits": LOGITS.tolist()}), tmp_path / "lists.parquet"
    )
    for path, given in (("wide", {"values": "logits"}), ("lists", {"classes": CLASSES})):
        built = opened(tmp_path / f"{path}.parquet", **given)
        assert torch.equal(built.model.sample_logits(ALL), torch.from_numpy(LOGITS))
        assert built.class_names == CLASSES
        assert built.model.find_samples([NAMES[2]]).tolist() == [2]
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    assert "cannot be read" in wrong(tmp_path / "broken.parquet")


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"names": NAMES}, "needs one of logits"),
        ({"logits": LOGITS, "probabilities": SHARES}, "needs one of logits"),
        ({"logits": LOGITS[0]}, "must be floats [N, K]"),
        ({"logits": LOGITS.astype(int)}, "must be floats [N, K]"),
        ({"logits": np.where(LOGITS[2, 3] == LOGITS, np.inf, LOGITS)}, "not finite numbers of 32 bits in row 2"),
        ({"logits": np.where(LOGITS[2, 3] == LOGITS, 1e300, LOGITS.astype(np.float64))}, "32 bits in row 2"),
        ({"logits": LOGITS, "name": NAMES}, "unknown array 'name', did you mean 'names'?"),
        ({"probabilities": SHARES * 1.1}, "row 0 holds no probabilities: their sum is 1.1"),
        ({"probabilities": SHARES - np.eye(N, K)}, "row 0 holds no probabilities: one is -"),
        ({"logits": LOGITS, "classes": np.array(CLASSES[:3])}, "5 columns of logits, and 3 names"),
        ({"logits": LOGITS, "names": NAMES[:3]}, "3 names and 4 rows"),
        ({"logits": LOGITS, "names": np.array(["a", "b", "./b", "c"])}, "the name 'b' is there twice"),
        ({"top_logits": LOGITS[:, :2], "top_classes": np.tile([0, 1], (N, 1)), "num_classes": K}, "give 'rest'"),
        ({"top_probabilities": SHARES[:, :2], "num_classes": K}, "'top_classes' must be whole numbers"),
        ({"top_probabilities": SHARES[:, :2], "top_classes": np.tile([0, 1], (N, 1))}, "'num_classes'"),
        (
            {"top_probabilities": SHARES[:, :2], "top_classes": np.tile([0, 5], (N, 1)), "num_classes": K},
            "is not one of the 5 classes",
        ),
        (
            {"top_probabilities": SHARES[:, :2], "top_classes": np.tile([1, 1], (N, 1)), "num_classes": K},
            "is there twice",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_table_is_said(write, wrong, arrays, text):
    assert text in wrong(write(**arrays))


def test_the_option_values_may_repeat_what_a_table_says_and_nothing_else(write, opened, wrong):
    path = write(names=NAMES, probabilities=SHARES)
    assert opened(path, values="probabilities").class_names is None
    assert "holds probabilities, and options.values says 'logits'" in wrong(path, values="logits")


def test_other_files_are_refused(tmp_path, write, wrong):
    (tmp_path / "table.pkl").write_bytes(b"x")
    assert "has another ending" in wrong(tmp_path / "table.pkl")
    (tmp_path / "broken.npz").write_bytes(b"x")
    assert "cannot be read" in wrong(tmp_path / "broken.npz")
    assert "cannot be read" in wrong(write(logits=np.array([{}], dtype=object)))


def test_it_has_logits_for_the_data_only_and_nothing_else(write, opened, problem):
    path = write(names=NAMES, logits=LOGITS)
    model = opened(path).model
    with pytest.raises(UserError, match="no output for any images"):
        model(torch.zeros(1, 3, 8, 8))
    assert model(torch.zeros(2, 3, 8, 8, device="meta")).shape == (2, K)
    adapter = OutputsAdapter()
    with pytest.raises(UserError, match="has no stages"):
        adapter.forward(model, torch.zeros(1, 3, 8, 8, device="meta"), (1,), False)
    with pytest.raises(UserError, match="has no embedding"):
        adapter.forward(model, torch.zeros(1, 3, 8, 8, device="meta"), (), True)
    assert problem("outputs", num_classes=0, path=str(path)).where == "teacher.classifier"
    assert "knows 5 classes, the data has 4" in problem("outputs", num_classes=4, path=str(path)).message


def test_some_of_its_classes_can_be_chosen(write, opened):
    model = opened(write(names=NAMES, logits=LOGITS)).model
    keep_classes(model, OutputsAdapter(), (4, 0), K, (3, 8, 8), "teacher.classes")
    assert torch.equal(model.sample_logits(ALL), torch.from_numpy(LOGITS[:, [4, 0]]))
    assert model(torch.zeros(1, 3, 8, 8, device="meta")).shape == (1, 2)
    assert model.chosen.tolist() == [4, 0]


def test_empty_lines_of_a_csv_are_no_rows(tmp_path, opened):
    path = write_csv(tmp_path / "t.csv", ["name", *CLASSES], [])
    lines = [",".join(map(str, row)) for row in zip(NAMES, *LOGITS.T, strict=True)]
    path.write_text("\n\n".join([path.read_text().strip(), *lines]) + "\n\n")
    assert torch.equal(opened(path, values="logits").model.sample_logits(ALL), torch.from_numpy(LOGITS))


def test_classes_that_are_numbers_are_in_their_order(tmp_path, make):
    """If the data's classes have no names, the table's order is all that there is."""
    shares = np.arange(1, 13) / np.arange(1, 13).sum()
    rows = [("a.png", number, share) for number, share in enumerate(shares)]
    path = write_csv(tmp_path / "t.csv", ["name", "class", "probability"], rows[::-1])
    built = make("outputs", num_classes=12, path=str(path))
    assert built.class_names == tuple(str(number) for number in range(12))
    torch.testing.assert_close(
        built.model.sample_logits(torch.tensor([0]))[0].exp(), torch.tensor(shares).float()
    )


def test_lists_of_a_parquet_that_are_missing(tmp_path, wrong):
    pyarrow = pytest.importorskip("pyarrow", reason="needs kd-teachers[parquet]")
    from pyarrow import parquet

    path = tmp_path / "t.parquet"
    parquet.write_table(pyarrow.table({"name": ["a", "b"], "logits": [[0.5] * K, None]}), path)
    assert "'logits' has no list in row 1" in wrong(path)
    top = {"top_classes": [[0, 1]], "top_probabilities": [[0.5, 0.2]]}
    parquet.write_table(pyarrow.table({"name": ["a"], **top}), path)
    assert "set options.classes" in wrong(path)

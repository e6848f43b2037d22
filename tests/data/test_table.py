"""Tables of images: what is found in them, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kdcore import UserError, run, validate
from kdcore.data import open_split
from kdcore.plugins import get_plugins
from kdcore.spec.models import DataSpec


@pytest.fixture
def table(tmp_path, make_picture):
    """Writes a table beside six images: `table(text, name=..., encoding=...)`; gives its path."""
    for number in range(6):
        path = tmp_path / "bilder" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        make_picture(number).save(path)

    def write(text, name="table.csv", encoding="utf-8"):
        (tmp_path / name).write_bytes(text.encode(encoding))
        return tmp_path / name

    return write


def opened(path, split="", **data):
    spec = DataSpec(dataset=str(path), **data)
    return open_split(spec, split, plugins=get_plugins(), where="data.train_split")


def facts(source):
    names = [Path(source.name(index)).name for index in range(len(source))]
    return names, source.labels.tolist(), source.classes


def problem(path, split="", **data):
    with pytest.raises(UserError) as caught:
        opened(path, split, **data)
    (found,) = caught.value.problems
    return found


ROWS = "path,label,split\nbilder/0.png,cat,train\nbilder/1.png,dog,train\nbilder/2.png,cat,val\n"


def test_a_plain_table(table, make_picture):
    source = opened(table(ROWS), "train")
    assert facts(source) == (["0.png", "1.png"], [0, 1], ("cat", "dog"))
    assert source[1][0].tobytes() == make_picture(1).tobytes()
    assert (source.labelled, source.num_classes, source.split, source.notes) == (True, 2, "train", ())
    assert source.key(1) == "bilder/1.png"
    # of the whole table, so that both splits have the same classes; 'test' finds 'val'
    assert facts(opened(table(ROWS), "test")) == (["2.png"], [0], ("cat", "dog"))
    assert opened(table(ROWS), "test").split == "val"
    assert len(opened(table(ROWS), "")) == 3


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_and_marks_of_encodings_are_found(table, delimiter, encoding):
    text = ROWS.replace(",", delimiter).replace("dog", "Mäuse").replace("\n", "\r\n")
    assert facts(opened(table(text, encoding=encoding), "train"))[2] == ("Mäuse", "cat")


@pytest.mark.parametrize(
    "text",
    [
        '"path, relative";"class, or name"\nbilder/0.png;cat\nbilder/1.png;"dog; small"\n',
        '"path, ""relative"", or not";label\nbilder/0.png;cat\nbilder/1.png;"dog; small"\n',
        'sep=;\npath, relative;label\nbilder/0.png;cat\nbilder/1.png;"dog; small"\n',
        'SEP=;\r\npath, relative;label\r\nbilder/0.png;cat\r\nbilder/1.png;"dog; small"\r\n',
    ],
)
def test_what_is_in_quotes_is_no_delimiter_and_excels_first_line_names_it(table, text):
    first = text.splitlines()[-3]
    columns = [name.strip('"').replace('""', '"') for name in first.split(";")]
    source = opened(table(text), options={"path": columns[0], "label": columns[1]})
    assert facts(source) == (["0.png", "1.png"], [0, 1], ("cat", "dog; small"))


def test_quotes_after_a_space_are_no_part_of_a_value(table):
    text = 'path, "label", split\nbilder/0.png, "cat", train\nbilder/1.png, cat, train\nbilder/2.png,  "a, b", train\n'
    assert facts(opened(table(text), "train"))[1:] == ([1, 1, 0], ("a, b", "cat"))
    spaces = 'path label\nbilder/0.png "cat"\nbilder/1.png dog\n'
    assert facts(opened(table(spaces), options={"delimiter": " "}))[2] == ("cat", "dog")


def test_a_line_after_excels_first_one_is_counted_as_in_the_file(table):
    found = problem(table("sep=;\npath;label\nbilder/0.png;cat;x\n"))
    assert "line 3 has 3 values, and there are 2 columns" in found.message
    assert "data.options.delimiter" in found.hint


def test_another_encoding_has_to_be_named(table):
    path = table(ROWS.replace("dog", "Mäuse").replace(",", ";"), encoding="cp1252")
    found = problem(path, "train")
    assert found.where == "data.options.encoding"
    assert "is not utf-8: byte 0xe4 in line 3" in found.message
    assert "cp1252" in found.hint
    assert facts(opened(path, "train", options={"encoding": "cp1252"}))[2] == ("Mäuse", "cat")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bilder/0.png,b\nbilder/1.png,a\n", ([1, 0], ("a", "b"))),
        ("b;bilder/0.png\na;bilder/1.png\n", ([1, 0], ("a", "b"))),
        ("bilder/0.png\nbilder/1.png\n", ([-1, -1], None)),
    ],
)
def test_a_table_without_headings(table, text, expected):
    assert facts(opened(table(text)))[1:] == expected


def test_json_lines(table):
    lines = [{"image": "bilder/0.png", "class": 2}, {"image": "bilder/1.png", "class": 10, "more": None}]
    path = table("\n".join(map(json.dumps, lines)), "table.jsonl")
    assert facts(opened(path))[1:] == ([0, 1], ("2", "10"))


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (("10.0", "2.0", "0.0"), ("0.0", "2.0", "10.0")),
        (("2", "1.5", "-3"), ("-3", "1.5", "2")),
        (("1", "01", "001", "0001", "00001", "0"), ("0", "00001", "0001", "001", "01", "1")),
        (("10", "9", "nan"), ("10", "9", "nan")),
        (("1_2", "11_1", "2_1"), ("11_1", "1_2", "2_1")),
    ],
)
def test_numbers_are_sorted_by_value_and_then_as_text(table, labels, classes):
    rows = "".join(f"bilder/{number}.png,{label}\n" for number, label in enumerate(labels))
    assert facts(opened(table(f"path,label\n{rows}")))[2] == classes


def test_parquet(tmp_path, table):
    parquet = pytest.importorskip("pyarrow.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    table("")
    columns = {"file": ["bilder/0.png", "bilder/1.png"], "label": [1.0, 0.0], "split": ["train", "train"]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    assert facts(opened(tmp_path / "t.parquet", "train"))[1:] == ([1, 0], ("0", "1"))


def test_other_columns_other_root_and_an_order_of_classes(table, tmp_path):
    path = table("n,what,part\n0.png,low,A\n1.png,high,A\n")
    options = {"path": "n", "label": "what", "split": "part", "classes": ["low", "high"]}
    source = opened(path, "A", root=str(tmp_path / "bilder"), options=options)
    assert facts(source) == (["0.png", "1.png"], [0, 1], ("low", "high"))


def test_a_row_that_is_there_twice_counts_once(table):
    assert facts(opened(table("path,label\nbilder/0.png,a\nbilder/0.png,a\nbilder/1.png,b\n")))[1] == [0, 1]


@pytest.mark.parametrize(
    ("text", "data", "where", "message"),
    [
        ("a,b\nx,y\n", {}, "data.dataset", "has no column of files; its columns are a, b"),
        (ROWS, {"options": {"path": "pfad"}}, "data.options.path", "has no column of this name"),
        (ROWS, {"options": {"paht": "x"}}, "data.options.paht", "has no key 'paht'"),
        (ROWS, {"options": {"encoding": "utf-9"}}, "data.options.encoding", "Python knows no encoding"),
        (ROWS, {"options": {"classes": ["cat", "fish"]}}, "data.options.classes", "the table also has dog"),
        (ROWS + "x,y\n", {}, "data.dataset", "line 5 has 2 values, and there are 3 columns"),
        ("path,path\na,b\n", {}, "data.dataset", "columns of the same name: path"),
        ("a.png,b.png\n", {}, "data.dataset", "cannot be distinguished"),
        ('path,label\n"a.png,x\n', {}, "data.dataset", "is not CSV"),
        ("", {}, "data.dataset", "has no rows"),
        ("path,label\n\n", {}, "data.dataset", "has no rows"),
        ("path,label\nhttps://x.org/0.png,a\n", {}, "data.dataset", "1 of 1 files are not there"),
        (
            "path,label\nbilder/0.png,a\n./bilder//0.png,b\n",
            {},
            "data.dataset",
            "twice, with different labels",
        ),
        ("path,label\n,x\n", {}, "data.dataset", "rows without a file in its column 'path'"),
        ("path,label\nbilder/0.png,a\nbilder/0.png,b\n", {}, "data.dataset", "twice, with different labels"),
        ("path,label\nbilder/0.png,a\nbilder/0.png,\n", {}, "data.dataset", "twice, with different labels"),
    ],
)
def test_what_is_wrong_with_a_table(table, text, data, where, message):
    found = problem(table(text), **data)
    assert (found.where, message in found.message) == (where, True), found


@pytest.mark.parametrize(
    ("text", "message"), [("[1]\n", "line 1 is not an object"), ("{\n", "line 1 is not JSON")]
)
def test_wrong_json_lines(table, text, message):
    assert message in problem(table(text, "t.jsonl")).message


def test_a_split_that_is_not_there(table):
    found = problem(table(ROWS), "trian")
    assert (found.nearest, found.allowed) == ("train", "train, val")
    assert "has no rows with this split in its column 'split'" in found.message
    found = problem(table("path,label\nbilder/0.png,a\n"), "train")
    assert (found.where, "has no column 'split'" in found.message) == ("data.train_split", True)


@pytest.mark.parametrize("split", ["train", "TRAIN", "training"])
def test_a_split_in_two_spellings(table, split):
    rows = [("Train", 2), ("train", 3), ("val", 4)]
    text = ROWS + "".join(f"bilder/{number}.png,cat,{name}\n" for name, number in rows)
    found = problem(table(text), split)
    assert (found.where, found.value) == ("data.train_split", split)
    assert "writes this split in 2 ways in its column 'split'" in found.message
    assert "Train (1 row), train (3 rows): write it in the same way" in found.hint
    assert len(opened(table(text), "val")) == 2


def test_rows_without_a_split_are_counted(table):
    text = ROWS + "bilder/3.png,cat,\nbilder/4.png,cat, \n"
    for split, size in (("train", 2), ("val", 1)):
        source = opened(table(text), split)
        (note,) = source.notes
        assert len(source) == size
        assert "left out: 2 rows with nothing in the column 'split': they are in no split" in note
    assert (len(opened(table(text))), opened(table(text)).notes) == (5, ())


def test_a_file_has_one_name_however_it_is_written(table):
    text = "path,label\nbilder\\0.png,a\n./bilder/1.png,b\nbilder//1.png,b\nbilder/2.png,a\n"
    source = opened(table(text))
    assert [source.key(index) for index in range(3)] == ["bilder/0.png", "bilder/1.png", "bilder/2.png"]
    assert len(source) == 3


def test_the_mark_of_an_encoding_that_is_named(table):
    path = table("\ufeff" + ROWS)
    assert facts(opened(path, "train", options={"encoding": "utf-8"})) == facts(opened(path, "train"))


def test_names_of_classes_that_are_nearly_numbers_or_have_line_separators(table):
    text = "path,label\nbilder/0.png,--1\nbilder/1.png,-\n"
    assert facts(opened(table(text)))[1:] == ([1, 0], ("-", "--1"))
    lines = [{"path": "bilder/0.png", "label": "a\u2028b"}, {"path": "bilder/1.png", "label": "a"}]
    text = "\r\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    assert facts(opened(table(text, "t.jsonl")))[1:] == ([1, 0], ("a", "a\u2028b"))


@pytest.mark.parametrize("nested", [True, False])
def test_parquet_with_images_in_it(tmp_path, table, nested):
    pandas = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table(ROWS)
    content = [(tmp_path / f"bilder/{number}.png").read_bytes() for number in range(2)]
    images = [{"bytes": one, "path": "x"} for one in content] if nested else content
    columns = {"image": images, "label": [0, 1]}
    parquet.write_table(pandas.table(columns), tmp_path / "t.parquet")
    found = problem(tmp_path / "t.parquet")
    assert "the column 'image'" in found.message
    assert "has the images themselves" in found.message
    assert "PNG" not in str(found)
    # the way that the message names
    data = DataSpec.model_validate_json(
        f'{{"num_classes": 2, {found.hint.partition("}")[0].rpartition(" reads ")[0]}}}'
    )
    assert len(open_split(data, data.train_split, plugins=get_plugins(), where="data.train_split")) == 2
    # next to a column of files, they are not read
    columns["file"] = ["bilder/0.png", "bilder/1.png"]
    parquet.write_table(pandas.table(columns), tmp_path / "t.parquet")
    assert facts(opened(tmp_path / "t.parquet"))[0] == ["0.png", "1.png"]


def test_missing_files_are_counted_and_named_before_training(table):
    rows = "".join(f"bilder/{number}.png,{'ab'[number % 2]}\n" for number in range(10))
    path = table(f"path,label\n{rows}")
    found = problem(path)
    assert "4 of 10 files are not there: " in found.message
    assert found.message.count(".png") == 3
    assert "and 1 more" in found.message
    (note,) = opened(path, skip_broken=True).notes
    assert "4 of 10 files are not there" in note


def test_a_run_on_a_table_with_umlauts_and_missing_files(table, tmp_path):
    lines = ["datei;klasse;split"]
    lines += [f"bilder/{number}.png;{'Ähre' if number % 2 else 'Öl'};train" for number in range(8)]
    lines += [f"bilder/{number}.png;{'Ähre' if number % 2 else 'Öl'};val" for number in (4, 5)]
    path = table("\n".join(lines), encoding="cp1252")
    spec = {
        "name": "table",
        "output": str(tmp_path / "runs"),
        "data": {
            "dataset": path.name,
            "options": {"path": "datei", "label": "klasse", "encoding": "cp1252"},
            "image_size": 16,
            "workers": 0,
            "skip_broken": True,
        },
        "student": {"model": "test_resnet"},
        "distiller": "vanilla",
        "train": {"epochs": 1, "batch_size": 4},
    }
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    lines = "\n".join([*validate(tmp_path / "spec.json").lines(), *validate(tmp_path / "spec.json").warnings])
    assert "2 of 8 files are not there" in lines
    done = run(tmp_path / "spec.json", quiet=True)
    assert done.summary["data"]["num_classes"] == 2
    assert done.summary["data"]["eval_split"] == "val"
    assert done.summary["skipped"]["train"] == 2
    assert done.student().config.class_names == ("Ähre", "Öl")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("table.csv", "path,label\nbilder/0.png,\nbilder/1.png,cat\nbilder/2.png, \nbilder/3.png,dog\n"),
        (
            "table.jsonl",
            '{"path": "bilder/0.png", "label": null}\n{"path": "bilder/1.png", "label": "cat"}\n'
            '{"path": "bilder/2.png"}\n{"path": "bilder/3.png", "label": "dog"}\n',
        ),
    ],
)
def test_an_empty_cell_is_an_image_without_a_label(table, name, text):
    source = opened(table(text, name))
    assert facts(source)[1:] == ([-1, 0, -1, 1], ("cat", "dog"))
    assert (source.labelled, source.num_classes, source[0][1], source[1][1]) == (True, 2, -1, 0)


def test_missing_numbers_of_parquet_are_no_classes(tmp_path, table):
    pandas = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table(ROWS)
    columns = {"path": ["bilder/0.png", "bilder/1.png", "bilder/2.png"], "label": [3.0, float("nan"), 7.0]}
    parquet.write_table(pandas.table(columns), tmp_path / "t.parquet")
    assert facts(opened(tmp_path / "t.parquet"))[1:] == ([0, -1, 1], ("3", "7"))


def test_weights_are_read_where_they_are_used(table):
    path = table("path,label,weight\nbilder/0.png,a,1\nbilder/1.png,b,0.5\nbilder/1.png,b,0.5\n")
    assert opened(path).weights is None
    assert opened(path, sampling="weights").weights.tolist() == [1, 0.5]
    other = table("path,label,w\nbilder/0.png,a,2\n", "other.csv")
    assert opened(other, sampling="weights").weights is None  # and training refuses it
    assert opened(other, sampling="weights", options={"weight": "w"}).weights.tolist() == [2]


def test_weights_of_training_rows_alone_are_read(table):
    path = table("path,label,split,weight\nbilder/0.png,a,train,2\nbilder/1.png,b,val,\n")
    spec = DataSpec(dataset=str(path), sampling="weights")
    train, evaluation = (
        open_split(spec, split, plugins=get_plugins(), where=f"data.{role}_split")
        for split, role in (("train", "train"), ("val", "eval"))
    )
    assert (train.weights.tolist(), evaluation.weights) == ([2], None)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("much", "bilder/0.png has the weight 'much'"),
        ("", "bilder/0.png has no weight"),
        ("-1", "has the weight '-1'"),
        ("nan", "has the weight 'nan'"),
        ("1e999", "has the weight '1e999'"),
    ],
)
def test_wrong_weights(table, cell, message):
    found = problem(table(f"path,weight\nbilder/0.png,{cell}\n"), sampling="weights")
    assert (found.where, message in found.message) == ("data.dataset", True)
    twice = problem(table("path,weight\nbilder/0.png,1\nbilder/0.png,2\n"), sampling="weights")
    assert "twice, with different weights" in twice.message


def test_a_split_without_any_label_has_no_classes(table):
    text = "path,label,split\nbilder/0.png,cat,test\nbilder/1.png,dog,test\nbilder/2.png,,train\n"
    source = opened(table(text), "train")
    assert (source.labelled, source.classes, source.labels.tolist()) == (False, None, [-1])

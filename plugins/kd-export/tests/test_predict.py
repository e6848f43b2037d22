"""`kd predict`: tables of predictions for images of any place, by a run and by its exports."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from kd_export import export, predict
from kd_export.prediction.organize import class_folder
from kd_export.prediction.writers import flat_row
from PIL import Image

from kdcore import RunFailed, UserError, load_student
from kdcore.cli import main
from kdcore.data.transforms import eval_transform
from kdcore.inspect import open_run_student

NEEDS = {
    "onnx": ("onnxruntime", "onnxscript"),
    "openvino": ("openvino",),
    "executorch": ("executorch", "torchao"),
}


@pytest.fixture
def pictures(tmp_path):
    """Twelve images in nested folders, of two modes, and files that are none."""
    random = np.random.default_rng(3)
    for number in range(12):
        folder = tmp_path / "new" / ("deep/er" if number % 3 else "")
        folder.mkdir(parents=True, exist_ok=True)
        shape = (20, 30) if number % 4 == 0 else (20, 30, 3)
        Image.fromarray(random.integers(0, 255, shape, dtype=np.uint8)).save(folder / f"{number:02}.png")
    (tmp_path / "new" / "notes.txt").write_text("x")
    return tmp_path / "new"


def read(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def expected(run, files):
    """Probabilities by the network itself, one image at a time."""
    student = open_run_student(run)
    steps = eval_transform(student.spec.data, student.input)
    with torch.inference_mode():
        logits = torch.cat([student.model(steps(Image.open(file))[None]) for file in files])
    return logits.softmax(1).numpy()


def test_a_row_for_each_image(a_run, pictures, tmp_path):
    run, table = a_run(), tmp_path / "out.csv"
    result = predict(run, [pictures], table, top=3, probabilities=True)
    rows = read(table)
    files = [row["path"] for row in rows]
    assert sorted(files) == sorted(str(path) for path in pictures.rglob("*.png"))
    wanted = expected(run, files)
    for row, own in zip(rows, wanted, strict=True):
        order = own.argsort()[::-1]
        assert [row["class"], row["class_2"], row["class_3"]] == [str(index) for index in order[:3]]
        assert float(row["probability_2"]) == pytest.approx(own[order[1]], abs=1e-5)
        assert [float(row[f"p({index})"]) for index in range(10)] == pytest.approx(own, abs=1e-5)
    assert result.images == 12
    assert sum(result.classes.values()) == 12
    assert result.notes[0].startswith(f"{pictures}: left out: 1 file with unsupported endings (1 .txt)")


@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_the_batch_size_changes_nothing_but_rounding(a_run, pictures, tmp_path, batch_size):
    run = a_run()
    one, other = tmp_path / "one.jsonl", tmp_path / "other.jsonl"
    predict(run, [pictures], one, embedding=True, batch_size=batch_size)
    predict(run, [pictures], other, embedding=True, batch_size=3)
    for first, second in zip(_lines(one), _lines(other), strict=True):
        assert (first["path"], first["class"]) == (second["path"], second["class"])
        assert first["embedding"] == pytest.approx(second["embedding"], rel=1e-4, abs=1e-4)


def _lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_embedding_is_what_the_classifier_reads(a_run, pictures, tmp_path):
    run, table = a_run(), tmp_path / "out.jsonl"
    predict(run, [pictures], table, embedding=True, probabilities=True)
    classifier = load_student(run).model.get_classifier()
    for row in _lines(table):
        logits = classifier(torch.tensor(row["embedding"]))
        assert list(row["probabilities"].values()) == pytest.approx(logits.softmax(0).tolist(), abs=1e-5)


@pytest.mark.parametrize(
    "to", ["timm", "torch", "onnx", "onnx-int8", "openvino", "executorch", "pt2", "torchscript"]
)
def test_an_export_predicts_as_its_run(a_run, pictures, tmp_path, to):
    for library in NEEDS.get(to.removesuffix("-int8"), ()):
        pytest.importorskip(library)
    run = a_run("small" if to == "openvino" else "resnet")  # OpenVINO has no pooling beyond the image's side
    exported = export(run, to.removesuffix("-int8"), int8=to.endswith("-int8"), samples=0).path
    predict(run, [pictures], tmp_path / "run.csv", probabilities=True)
    predict(exported, [pictures], tmp_path / "export.csv", probabilities=True)
    for one, other in zip(read(tmp_path / "run.csv"), read(tmp_path / "export.csv"), strict=True):
        assert one["path"] == other["path"]
        numbers = [key for key in one if key.startswith("p")]
        near = 0.2 if to == "onnx-int8" else 1e-4
        assert [float(one[key]) for key in numbers[2:]] == pytest.approx(
            [float(other[key]) for key in numbers[2:]], abs=near
        )
        assert one["class"] == other["class"] or to == "onnx-int8"


def test_an_export_has_no_embedding_no_other_weights_and_no_device(a_run, pictures):
    exported = export(a_run(), "torchscript", samples=0).path
    for options, where in (
        ({"embedding": True}, "--embedding"),
        ({"weights": "best"}, "--best"),
        ({"device": "cuda"}, "--device"),
    ):
        with pytest.raises(UserError) as caught:
            predict(exported, [pictures], "x.csv", **options)
        assert caught.value.problems[0].where == where


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "kd.json"),
        ('{"format": 2}', "format 1"),
        ('{"format": 1}', "it has no 'output'"),
        ('{"format": 1, "output": {"name": "logits", "shape": ["batch", 3]}, "classes": ["a"]}', "described"),
    ],
)
def test_a_damaged_description_of_an_export(a_run, pictures, text, what):
    exported = export(a_run(), "torchscript", samples=0).path
    (exported / "kd.json").write_text(text)
    with pytest.raises(UserError, match=what):
        predict(exported, [pictures], "x.csv")


def test_a_script_that_cannot_be_loaded_is_a_failure_with_its_reason(a_run, pictures):
    exported = export(a_run(), "torchscript", samples=0).path
    (exported / "load.py").write_text("import not_there")
    with pytest.raises(RunFailed, match=r"load\.py cannot load the export: .*not_there"):
        predict(exported, [pictures], "x.csv")


def test_broken_images_are_reported_and_have_no_row(a_run, pictures, tmp_path):
    (pictures / "page.jpg").write_text("<html></html>")
    (pictures / "empty.png").touch()
    (pictures / "gone.png").symlink_to(tmp_path / "nowhere.png")
    table = tmp_path / "out.csv"
    result = predict(a_run(), [pictures], table)
    assert len(read(table)) == result.images == 12
    assert {Path(path).name for path in result.broken} == {"page.jpg", "empty.png", "gone.png"}
    assert "HTML page" in result.broken[str(pictures / "page.jpg")]
    assert "No such file" in result.broken[str(pictures / "gone.png")]


def test_nothing_is_written_if_no_image_can_be_read(a_run, tmp_path):
    (tmp_path / "bad.png").write_text("text")
    with pytest.raises(RunFailed, match=r"none of the 1 images can be read; .*bad\.png: the file is text"):
        predict(a_run(), [tmp_path / "bad.png"], tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
    assert not list(tmp_path.glob(".out*"))


def test_wrong_arguments(a_run, pictures, tmp_path):
    run = a_run()
    (tmp_path / "old.csv").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    (tmp_path / "none").mkdir()
    cases = [
        ({"output": tmp_path / "old.csv"}, "--output"),
        ({"output": tmp_path / "out.xlsx"}, "--output"),
        ({"output": tmp_path / "out.csv", "top": 11}, "--top"),
        ({"output": tmp_path / "out.csv", "organize": tmp_path / "full"}, "--organize"),
        ({"output": tmp_path / "out.csv", "images": [pictures / "no.png", "nor this"]}, "IMAGES"),
        ({"output": tmp_path / "out.csv", "images": [tmp_path / "none"]}, "IMAGES"),
        ({"output": tmp_path / "old.csv" / "out.csv"}, "--output"),
    ]
    for options, where in cases:
        with pytest.raises(UserError) as caught:
            predict(run, **{"images": [pictures], **options})
        assert {problem.where for problem in caught.value.problems} == {where}
    assert (tmp_path / "old.csv").read_text() == "mine"
    assert not (tmp_path / "out.csv").exists()
    predict(run, [pictures], tmp_path / "old.csv", force=True)
    assert len(read(tmp_path / "old.csv")) == 12


def test_images_are_sorted_into_folders(a_run, pictures, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    first = next(pictures.glob("*.png"))
    (other / first.name).write_bytes(first.read_bytes())
    result = predict(a_run(), [pictures, other], tmp_path / "out.csv", organize=tmp_path / "sorted")
    copies = list((tmp_path / "sorted").rglob("*.png"))
    assert len(copies) == result.images == 13
    assert f"{first.stem}-2.png" in {path.name for path in copies}
    for row in read(tmp_path / "out.csv")[:12]:
        below = Path(row["path"]).relative_to(pictures)
        assert (tmp_path / "sorted" / row["class"] / below).read_bytes() == Path(row["path"]).read_bytes()


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("ends.", "ends%2E"),
        ("tabby cat", "tabby cat"),
        ("Straße", "Straße"),
        ("a/b\\c", "a%2Fb%5Cc"),
        ("..", "%2E%2E"),
        ("", "%00"),
        ("a\nb", "a%0Ab"),
        ('q"<>|?*:', "q%22%3C%3E%7C%3F%2A%3A"),
    ],
)
def test_a_class_is_one_folder(name, folder):
    assert class_folder(name) == folder


def test_parquet_has_the_embedding_as_a_list(a_run, pictures, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    predict(a_run(), [pictures], tmp_path / "out.parquet", embedding=True, batch_size=5)
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table.column_names == ["path", "class", "probability", "embedding"]
    predict(a_run_path(tmp_path), [pictures], tmp_path / "out.jsonl", embedding=True, batch_size=5)
    for own, other in zip(table.to_pylist(), _lines(tmp_path / "out.jsonl"), strict=True):
        assert own["class"] == other["class"]
        assert own["embedding"] == pytest.approx(other["embedding"])


def a_run_path(tmp_path):
    return tmp_path / "runs" / "resnet"


def test_parquet_without_pyarrow_says_what_to_install(a_run, pictures, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UserError, match="Parquet needs pyarrow") as caught:
        predict(a_run(), [pictures], tmp_path / "out.parquet")
    assert "pyarrow" in str(caught.value.problems[0].hint)


def test_a_flat_row_has_a_column_for_each_number():
    row = {
        "path": "a",
        "class": "x",
        "probability": 0.5,
        "probabilities": {"x": 0.5},
        "embedding": [1.0, 2.0],
    }
    assert flat_row(row) == {
        "path": "a",
        "class": "x",
        "probability": 0.5,
        "p(x)": 0.5,
        "embedding_0": 1.0,
        "embedding_1": 2.0,
    }


# -- the command ---------------------------------------------------------------------------------------------


def kd(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(["predict", *map(str, arguments)])
    return ended.value.code or 0


def test_the_command_prints_a_table_on_standard_output(a_run, pictures, capsys):
    assert kd(a_run(), pictures) == 0
    out, err = capsys.readouterr()
    assert len(list(csv.DictReader(io.StringIO(out)))) == 12
    assert "12 images, in " in err


@pytest.mark.parametrize("end", ["\n", "\r\n", "\0"])
def test_paths_from_standard_input(a_run, pictures, tmp_path, monkeypatch, capsys, end):
    files = sorted(map(str, pictures.rglob("*.png")))[:3]
    typed = io.TextIOWrapper(io.BytesIO((end.join(files) + end).encode()))
    monkeypatch.setattr(sys, "stdin", typed)
    assert kd(a_run(), "-", "-o", tmp_path / "out.csv", "--json") == 0
    assert json.loads(capsys.readouterr().out)["images"] == 3
    assert [row["path"] for row in read(tmp_path / "out.csv")] == files


def test_a_terminal_gets_a_progress_bar(a_run, pictures, tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    assert kd(a_run(), pictures, "-o", tmp_path / "out.csv", "--batch-size", "5") == 0
    assert "images" in terminal.getvalue()
    assert "100%" in terminal.getvalue()


def test_json_and_the_table_cannot_share_standard_output(a_run, pictures, capsys):
    assert kd(a_run(), pictures, "--json") == 2
    assert "give -o FILE" in capsys.readouterr().err


def test_broken_images_are_warnings(a_run, pictures, tmp_path, capsys):
    (pictures / "page.jpg").write_text("<html></html>")
    assert kd(a_run(), pictures, "-o", tmp_path / "out.csv") == 0
    err = capsys.readouterr().err
    assert "1 image cannot be read and has no row" in err
    assert "page.jpg: the file is an HTML page" in err


def test_a_run_that_is_not_there(pictures, capsys):
    assert kd("no/such/run", pictures) == 2
    assert "there is no such run" in capsys.readouterr().err


# -- in Python -----------------------------------------------------------------------------------------------


def test_the_predictor_has_the_shapes_of_scikit_learn(a_run, pictures):
    predictor = open_run_student(a_run()).predictor()
    files = sorted(pictures.rglob("*.png"))[:4]
    wanted = expected(a_run_path(pictures.parent), files)
    found = predictor.predict_proba(files)
    assert found.shape == (4, 10)
    assert found == pytest.approx(wanted, abs=1e-5)
    assert predictor.classes_.tolist() == [str(index) for index in range(10)]
    assert predictor.predict(files).tolist() == [str(index) for index in wanted.argmax(1)]
    opened = [Image.open(file) for file in files]
    assert predictor.predict_proba(opened).tolist() == found.tolist()
    arrays = [np.asarray(image) for image in opened]
    assert predictor.predict_proba(arrays).tolist() == found.tolist()
    grey = [array[:, :, None] if array.ndim == 2 else array for array in arrays]
    assert predictor.predict_proba(grey).tolist() == found.tolist()
    assert predictor.transform(files).shape[0] == 4
    assert predictor.predict_proba([]).shape == (0, 10)


def test_the_predictor_refuses_what_is_no_list_of_images(a_run, tmp_path):
    predictor = open_run_student(a_run()).predictor()
    with pytest.raises(UserError, match="it must be a list of images"):
        predictor.predict("one.png")
    with pytest.raises(RunFailed, match=r"image 0 cannot be read: pixels must be uint8 .* float64 \[4, 4\]"):
        predictor.predict([np.zeros((4, 4))])
    with pytest.raises(RunFailed, match=r"image 0 cannot be read: pixels must be uint8 .* uint8 \[3, 8, 8\]"):
        predictor.predict([np.zeros((3, 8, 8), np.uint8)])
    with pytest.raises(RunFailed, match=r"image 1 cannot be read: it must be a path, .* not a Tensor"):
        predictor.predict([Image.new("L", (8, 8)), torch.zeros(3, 8, 8)])
    missing = [tmp_path / f"{number}.png" for number in range(5)]
    with pytest.raises(RunFailed, match=r"image 0 \(.*0\.png\) cannot be read: .*and 2 more"):
        predictor.predict(missing)


def test_an_encoder_gives_embeddings_only(make_run, pictures, tmp_path, students):
    run = make_run("encoder", {**students["resnet"], "classifier": False})
    predict(run, [pictures], tmp_path / "out.jsonl", embedding=True)
    assert list(_lines(tmp_path / "out.jsonl")[0]) == ["path", "embedding"]
    for options, where in (({}, "RUN"), ({"embedding": True, "probabilities": True}, "student")):
        with pytest.raises(UserError) as caught:
            predict(run, [pictures], tmp_path / "x.jsonl", **options)
        assert caught.value.problems[0].where == where
    with pytest.raises(UserError, match="--organize"):
        predict(run, [pictures], tmp_path / "x.jsonl", embedding=True, organize=tmp_path / "sorted")


def test_an_unusual_name_keeps_its_bytes(a_run, pictures, tmp_path):
    name = os.fsdecode(b'\xff,"\n.png')
    source = next(pictures.glob("*.png"))
    (tmp_path / name).write_bytes(source.read_bytes())
    predict(a_run(), [tmp_path / name], tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)] == [str(tmp_path / name)]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_the_files_of_a_table(a_run, pictures, tmp_path, kind):
    names = [path.relative_to(pictures).as_posix() for path in sorted(pictures.rglob("*.png"))][::-1]
    table = tmp_path / f"wanted.{kind}"
    if kind == "csv":
        table.write_text("photo;label\n" + "".join(f"{name};?\n" for name in [*names, names[0]]))
    else:
        table.write_text(
            "".join(json.dumps({"photo": name, "label": None}) + "\n" for name in [*names, names[0]])
        )
    given = {"column": "photo", "root": pictures, "organize": tmp_path / "sorted"}
    result = predict(a_run(), [table], tmp_path / "out.csv", **given)
    found = [Path(row["path"]).relative_to(pictures).as_posix() for row in read(tmp_path / "out.csv")]
    assert found == [*names, names[0]]
    assert result.images == 13
    placed = {
        path.relative_to(tmp_path / "sorted").parts[1:] for path in (tmp_path / "sorted").rglob("*.png")
    }
    assert {Path(name).parts for name in names} <= placed


def test_a_table_without_a_column_of_files_and_flags_without_a_table(a_run, pictures, tmp_path):
    run, table = a_run(), tmp_path / "wanted.csv"
    table.write_text("photo,label\n00.png,1\n,1\n")
    with pytest.raises(UserError, match="has no column of files; its columns are label, photo"):
        predict(run, [table], tmp_path / "out.csv")
    with pytest.raises(UserError, match="image 2 of 2 has no file in 'photo'"):
        predict(run, [table], tmp_path / "out.csv", column="photo")
    with pytest.raises(UserError) as caught:
        predict(run, [table], tmp_path / "out.csv", column="fotos")
    assert (caught.value.problems[0].where, caught.value.problems[0].nearest) == ("--column", "photo")
    with pytest.raises(UserError, match="none is given"):
        predict(run, [pictures], tmp_path / "out.csv", root=tmp_path)


def test_how_a_table_is_read(a_run, pictures, tmp_path, capsys):
    names = [path.relative_to(pictures).as_posix() for path in sorted(pictures.rglob("*.png"))]
    table = tmp_path / "wanted.csv"
    text = "Datei|Größe\n" + "".join(f"{name}|1\n" for name in names)
    table.write_text(text.replace("|", ":"), encoding="cp1252")
    given = [a_run(), table, "--root", pictures, "-o", tmp_path / "out.csv"]
    assert kd(*given) == 2
    assert "--table-option encoding: " in capsys.readouterr().err
    options = [part for text in ("encoding=cp1252", "delimiter=:") for part in ("--table-option", text)]
    assert kd(*given, *options, "--table-option", "path=Datei") == 0
    assert len(read(tmp_path / "out.csv")) == 12
    for more, message in (
        (["--column", "Datei", "--table-option", "path=Datei"], "cannot be used with --column"),
        (["--table-option", "path=Dattei"], "did you mean 'Datei'"),
        (["--table-option", "encodin=cp1252"], "did you mean 'encoding'"),
        (["--table-option", "encoding"], "must be KEY=VALUE"),
    ):
        assert kd(*given, *options, "--force", *more) == 2
        assert message in capsys.readouterr().err
    assert kd(a_run_path(tmp_path), pictures, "-o", tmp_path / "o.csv", *options) == 2
    assert "none is given" in capsys.readouterr().err

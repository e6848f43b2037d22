"""What `kd data` says of the images of a spec."""

from __future__ import annotations

import json

import numpy as np
import pytest
from kd_report.cli.data import lines
from PIL import Image

from kdcore.cli import main
from kdcore.errors import UserError
from kdcore.inspect import data_facts
from kdcore.plugins import get_plugins
from kdcore.spec.models import DataSpec


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two splits of two classes, with a broken file, a float image, a repeated one and one in both splits."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    random = np.random.default_rng(0)
    for split, counts in (("train", (6, 2)), ("val", (2, 2))):
        for name, count in zip(("cat", "dog"), counts, strict=True):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                shape = (20, 30, 3) if number % 2 else (16, 16)
                pixels = random.integers(0, 256, shape, dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{split}{number}.png")
    (folder / "train" / "cat" / "empty.png").write_bytes(b"")
    Image.new("F", (16, 16)).save(folder / "train" / "cat" / "float.tif")
    first = (folder / "train" / "cat" / "train0.png").read_bytes()
    (folder / "train" / "dog" / "zz.png").write_bytes(first)
    (folder / "val" / "dog" / "zz.png").write_bytes(first)
    return folder


@pytest.fixture(scope="module")
def facts(photos):
    data = DataSpec(dataset=str(photos), eval_split="test", image_size=16)
    return data_facts(data, get_plugins(), stats=True)


def test_classes_sizes_modes_and_files(facts):
    train, evaluation = facts.splits
    assert (train.role, train.name, train.images, train.labelled) == ("train", "train", 11, 11)
    assert (evaluation.role, evaluation.name, evaluation.images) == ("eval", "val", 5)
    assert train.classes == {"cat": 8, "dog": 3}
    assert train.sizes == {"16x16": 5, "20x30": 4}
    assert train.modes == {"L": 5, "RGB": 4}
    assert set(train.broken) == {"train/cat/empty.png", "train/cat/float.tif"}
    assert train.broken["train/cat/empty.png"] == "the file is empty"
    assert "floating-point" in train.broken["train/cat/float.tif"]
    assert train.repeated == {"train/dog/zz.png": "train/cat/train0.png"}
    assert evaluation.repeated == {}
    assert facts.shared == {"eval, train": {"val/dog/zz.png": "train/cat/train0.png"}}


def test_images_that_are_stored_turned_are_counted(tmp_path):
    for number, orientation in enumerate((None, 1, 3, 6, 99)):
        exif = Image.Exif()
        if orientation is not None:
            exif[0x112] = orientation
        file = tmp_path / "photos" / "ab"[number % 2] / f"{number}.{'jpg' if number < 4 else 'webp'}"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 12)).save(file, exif=exif)
    found = data_facts(
        DataSpec(dataset=str(tmp_path / "photos"), train_split="", eval_split=None), get_plugins()
    )
    assert found.splits[0].turned == 2
    assert found.splits[0].sizes == {"12x16": 5}
    assert any("2 with an EXIF orientation, which is not applied" in line for line in lines(found))


def test_mean_and_deviation_against_numpy(photos, facts):
    whole = [path for path in sorted(photos.glob("train/*/*.png")) if path.name != "empty.png"]
    images = [np.asarray(Image.open(path).convert("RGB"), float) / 255 for path in whole]
    means = np.mean([image.mean((0, 1)) for image in images], axis=0)
    squares = np.mean([(image**2).mean((0, 1)) for image in images], axis=0)
    assert facts.mean == pytest.approx(means)
    assert facts.std == pytest.approx(np.sqrt(squares - means**2))


def test_some_images_and_grey_ones(photos):
    found = data_facts(DataSpec(dataset=str(photos), eval_split=None, channels=1), get_plugins(), most=3)
    (train,) = found.splits
    assert (train.images, train.looked_at) == (11, 3)
    assert found.mean is None
    grey = data_facts(DataSpec(dataset=str(photos), eval_split=None, channels=1), get_plugins(), stats=True)
    assert len(grey.mean) == 1


def test_images_of_data_unlabelled_are_training_images(photos, tmp_path):
    more = tmp_path / "more"
    more.mkdir()
    Image.new("RGB", (8, 9)).save(more / "new.png")
    (more / "empty.png").write_bytes(b"")
    (more / "again.png").write_bytes((photos / "train" / "cat" / "train0.png").read_bytes())
    data = DataSpec(dataset=str(photos), eval_split="val", unlabelled=str(more))
    train, evaluation = data_facts(data, get_plugins()).splits
    assert (train.images, train.labelled, evaluation.images) == (14, 11, 5)
    assert train.classes == {"cat": 8, "dog": 3}
    assert train.sizes["9x8"] == 1
    assert train.broken["more/empty.png"] == "the file is empty"
    assert train.repeated["more/again.png"] == "train/cat/train0.png"
    with pytest.raises(UserError, match=r"data\.unlabelled"):
        data_facts(data.model_copy(update={"unlabelled": str(tmp_path / "more" / "none")}), get_plugins())


def test_the_command(photos, tmp_path, capsys):
    spec = tmp_path / "a.json"
    spec.write_text(
        json.dumps(
            {
                "data": {"dataset": str(photos), "eval_split": "val"},
                "student": {"model": "test_resnet"},
                "distiller": "vanilla",
            }
        )
    )
    with pytest.raises(SystemExit) as done:
        main(["data", str(spec), "--stats"])
    assert not done.value.code
    out = capsys.readouterr().out
    assert "train    11 images 'train', 2 classes of 3 to 8 each (fewest: dog)" in out
    assert "sizes of all: 16x16 (5), 20x30 (4); modes: L (5), RGB (4)" in out
    assert "2 cannot be used: train/cat/empty.png: the file is empty" in out
    assert "1 have the content of another one: train/dog/zz.png = train/cat/train0.png" in out
    assert "1 eval images are train images too: val/dog/zz.png = train/cat/train0.png" in out
    assert '"data": {"mean": [' in out
    with pytest.raises(SystemExit):
        main(["data", str(spec), "--json", "--images", "2"])
    assert json.loads(capsys.readouterr().out)["splits"][0]["looked_at"] == 2

"""A table in a folder of images: kd names it where the folder alone has no labels, or only one class an image."""

from __future__ import annotations

import pytest

from kdcore import UserError, validate
from kdcore.data import open_split
from kdcore.plugins import get_plugins
from kdcore.spec.models import DataSpec

WHOLE = {"eval_split": None, "train_samples": None, "eval_samples": None}
METADATA = "file_name,labels\n" + "".join(f"{n}.png,a|b\n" for n in range(4))


@pytest.fixture
def photos(tmp_path, make_picture):
    folder = tmp_path / "photos"
    (folder / "train").mkdir(parents=True)
    for number in range(4):
        make_picture(number).save(folder / "train" / f"{number}.png")
    (folder / "train" / "metadata.csv").write_text(METADATA)
    return folder


def problem(spec):
    with pytest.raises(UserError) as caught:
        validate(spec)
    (found,) = caught.value.problems
    return found


def test_a_table_beside_images_without_labels(photos, spec_file):
    spec = spec_file(data={**WHOLE, "dataset": str(photos), "num_classes": 2}, distiller="vanilla")
    found = problem(spec)
    assert (found.where, "have no labels" in found.message) == ("task.weight", True)
    assert f"if {photos / 'train' / 'metadata.csv'} has the labels, set data.dataset to it" in found.hint
    (photos / "train" / "metadata.csv").unlink()
    assert "task.kind" in problem(spec).hint


def test_class_folders_and_a_table_of_several_labels(photos, spec_file):
    for number in range(4):
        (photos / "train" / "ab"[number % 2]).mkdir(exist_ok=True)
        (photos / "train" / f"{number}.png").rename(photos / "train" / "ab"[number % 2] / f"{number}.png")
    given = {**WHOLE, "dataset": str(photos)}
    found = problem(spec_file(data=given, task={"kind": "labels"}, distiller="mld"))
    assert (found.where, found.allowed) == ("task.kind", "classes")
    assert "metadata.csv has the labels" in found.hint


def test_the_table_itself_is_a_dataset(photos):
    options = {"label": "labels", "label_delimiter": "|"}
    data = DataSpec(dataset=str(photos / "train" / "metadata.csv"), options=options)
    source = open_split(data, "", plugins=get_plugins(), where="data.train_split")
    assert source.label_sets.targets(source.labels).tolist() == [[1, 1]] * 4
    assert source[3][1] == int(source.labels[3])

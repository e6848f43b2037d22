import pytest

from kdcore.spec.datasets import check_dataset
from kdcore.spec.models import DataSpec


def check(plugins, base, **data):
    return check_dataset(DataSpec(**data), base, plugins)


@pytest.mark.parametrize(
    "name",
    [
        "pictures",
        "kd-toys/pictures",
        "digits",
        "torch/cifar100",
        "Torch/CIFAR10",
        "hfds/user/set",
        "hfids/x",
        "tfds/x",
        "wds/",
        "parquet/",
    ],
)
def test_known_names(plugins, tmp_path, name):
    assert check(plugins, tmp_path, dataset=name) == (name, [])


@pytest.mark.parametrize(
    "name", ["photos.tar", "photos.tar.gz", "photos.TGZ", "photos.tar.xz", "photos.tar.bz2"]
)
def test_tars(plugins, tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    assert check(plugins, tmp_path, dataset=name) == (str(tmp_path / name), [])


def test_folders_of_the_spec_or_of_the_root(plugins, tmp_path, monkeypatch):
    (tmp_path / "root" / "birds").mkdir(parents=True)
    (tmp_path / "cats").mkdir()
    assert check(plugins, tmp_path, dataset="./cats") == (str(tmp_path / "cats"), [])
    assert check(plugins, tmp_path, dataset="birds", root="root") == (str(tmp_path / "root" / "birds"), [])
    monkeypatch.setenv("HOME", str(tmp_path))
    assert check(plugins, tmp_path / "cats", dataset="~/cats") == (str(tmp_path / "cats"), [])


def test_a_registered_name_is_not_a_folder(plugins, tmp_path):
    (tmp_path / "digits").mkdir()
    assert check(plugins, tmp_path, dataset="digits") == ("digits", [])


@pytest.mark.parametrize(
    ("name", "near", "words"),
    [
        ("digit", "digits", "there is no folder, archive or table"),
        ("cat", "cats", "there is no dataset"),
        ("./cat", "cats", "there is no folder, archive or table"),
        ("no/such", None, "does not exist"),
        ("photo.tar", "photos.tar", "there is no folder"),
        ("torhc/cifar10", "torch/cifar10", "there is no folder"),
        ("torch/cifar11", "torch/cifar10", "torch/cifar100"),
        ("kd-toys/picture", "pictures", "has no dataset"),
        ("hfds/", None, "missing after"),
        ("photos.7z", None, ".tar.gz"),
        ("~nobody-at-all/x", None, "there is no folder"),
    ],
)
def test_unknown_names(plugins, tmp_path, name, near, words):
    (tmp_path / "cats").mkdir()
    (tmp_path / "photos.7z").write_bytes(b"")
    (tmp_path / "photos.tar").write_bytes(b"")
    _, (problem,) = check(plugins, tmp_path, dataset=name)
    assert problem.where == "data.dataset"
    assert problem.nearest in (near, str(tmp_path / str(near)))
    assert words in str(problem)


def test_the_places_that_were_looked_at(plugins, tmp_path):
    _, (problem,) = check(plugins, tmp_path, dataset="birds", root="root")
    assert f"{tmp_path}/birds or {tmp_path}/root/birds" in problem.hint


def test_the_number_of_classes_of_a_registered_dataset(plugins, tmp_path):
    assert check(plugins, tmp_path, dataset="pictures", num_classes=3)[1] == []
    (problem,) = check(plugins, tmp_path, dataset="pictures", num_classes=4)[1]
    assert problem.where == "data.num_classes"
    assert "3 classes" in problem.message

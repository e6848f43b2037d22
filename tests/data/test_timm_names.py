from __future__ import annotations

from importlib import metadata

import pytest

from kdcore.data.timm_names import check_name, kind_of
from kdcore.errors import UserError


@pytest.fixture
def installed(monkeypatch) -> dict[str, str]:
    versions: dict[str, str] = {}

    def version(name):
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(metadata, "version", version)
    return versions


def check(dataset, split="train", root=None):
    check_name(dataset, split, root, where="data.train_split", dataset_where="data.dataset")


def test_kinds():
    assert kind_of("torch/cifar10").stream is False
    assert kind_of("WDS/x").stream is True
    assert kind_of("torch") is None
    assert kind_of("plugin/torch") is None


@pytest.mark.parametrize(
    ("dataset", "command"),
    [
        ("hfds/a/b", "pip install datasets"),
        ("hfids/a/b", "pip install datasets"),
        ("tfds/mnist", "pip install tensorflow tensorflow-datasets"),
        ("wds/x", "pip install webdataset"),
    ],
)
def test_missing_libraries(installed, dataset, command):
    with pytest.raises(UserError, match=rf"(?s)data\.dataset: .* is missing.*{command}"):
        check(dataset, root=".")


def test_datasets_that_run_code_are_too_old(installed):
    installed["datasets"] = "3.6.0"
    with pytest.raises(UserError, match=r'datasets 3\.6\.0 is too old.*\n.*pip install -U "datasets>=4"'):
        check("hfds/a/b")
    installed["datasets"] = "4.0.0"
    check("hfds/a/b")


@pytest.mark.parametrize("split", ["train", "test", "val", "validation"])
def test_torch_splits(split):
    check("torch/CIFAR10", split)


def test_torch_errors():
    with pytest.raises(
        UserError, match=r"(?s)data\.train_split: .*\(got \"trian\"\).*'train'.*allowed: train, test"
    ):
        check("torch/cifar10", "trian")
    with pytest.raises(UserError, match=r"(?s)data\.dataset: .*'torch/cifar10'.*allowed: torch/cifar10, "):
        check("torch/cifar1o")
    with pytest.raises(UserError, match="name is missing after 'torch/'"):
        check("torch/")


@pytest.mark.parametrize("name", ["kaggle:x", "huggingface:mnist", "../code", "a.b", "x y", "a/../b c"])
def test_tfds_fetches_no_code(installed, name):
    installed.update({"tensorflow": "2", "tensorflow-datasets": "4"})
    check("tfds/imagenet_v2/matched-frequency:1.0.0".replace(":", "/"))
    with pytest.raises(UserError, match="no name of a TensorFlow dataset"):
        check(f"tfds/{name}")


@pytest.mark.parametrize("root", [None, "pipe:touch pwned", "https://host/x", "s3://bucket"])
def test_webdatasets_are_local(installed, tmp_path, root):
    installed["webdataset"] = "1.0"
    check("wds/x", root=str(tmp_path))
    with pytest.raises(UserError, match=r"data\.root: a webdataset is read from a local folder"):
        check("wds/x", root=root)

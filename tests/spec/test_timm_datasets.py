from __future__ import annotations

import inspect
import re
from importlib import metadata

import pytest
from timm.data import create_dataset, dataset_factory

from kdcore.errors import UserError
from kdcore.spec.timm_datasets import _TORCH, KINDS, check_access, check_name


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
    check_name(dataset, "data.dataset")
    check_access(dataset, split, root, where="data.train_split", dataset_where="data.dataset")


@pytest.mark.parametrize("prefix", sorted(KINDS))
def test_prefixes_are_known_to_timm(prefix, tmp_path, monkeypatch):
    """With a prefix that timm does not know, it looks for a folder."""
    if prefix in ("hfds", "hfids"):  # without it, they ask the network until their time is over
        config = pytest.importorskip("datasets.config", reason="timm needs datasets for it")
        monkeypatch.setattr(config, "HF_HUB_OFFLINE", True)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(Exception) as caught:  # noqa: PT011  # which error differs: a library or the data is missing
        create_dataset(f"{prefix}/nothing", root=str(tmp_path), split="train")
    assert not isinstance(caught.value, FileNotFoundError) or prefix == "wds"


def test_prefixes_are_all_that_timm_knows():
    source = inspect.getsource(dataset_factory)
    assert set(re.findall(r"prefix == '(\w+)'", source)) == set(KINDS) - {"parquet", "arrow"}


@pytest.mark.parametrize("name", sorted(_TORCH))
def test_torch_datasets_are_known_to_timm(name, tmp_path):
    with pytest.raises(Exception) as caught:  # noqa: PT011  # nothing is there; which error differs
        create_dataset(f"torch/{name}", root=str(tmp_path), split="train", download=False)
    assert "Unknown torchvision dataset" not in str(caught.value)


def test_torch_datasets_are_all_that_timm_knows(tmp_path):
    source = inspect.getsource(dataset_factory)
    named = {
        *re.findall(r"\bname == '(\w+)'", source),
        *re.findall(r"^    (\w+)=\w+,$", source, re.MULTILINE),
    }
    assert named == set(_TORCH)
    with pytest.raises(AssertionError, match="Unknown torchvision dataset"):
        create_dataset("torch/nothing", root=str(tmp_path), split="train")


@pytest.mark.parametrize(
    ("dataset", "command"),
    [
        ("hfds/a/b", "pip install datasets"),
        ("hfids/a/b", "pip install datasets"),
        ("tfds/mnist", "pip install tensorflow tensorflow-datasets"),
        ("parquet/", "pip install pyarrow"),
    ],
)
def test_missing_libraries(installed, dataset, command):
    with pytest.raises(UserError, match=rf"(?s)data\.dataset: .* is missing.*{command}"):
        check(dataset, root=".")


def test_datasets_that_run_code_are_too_old(installed):
    installed["datasets"] = "3.6.0"
    with pytest.raises(UserError, match=r'datasets 3\.6\.0 is too old.*\n.*pip install "datasets>=4"'):
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
    with pytest.raises(UserError, match="is not a name of a TensorFlow dataset"):
        check(f"tfds/{name}")


@pytest.mark.parametrize("root", [None, "pipe:touch pwned", "https://host/x", "s3://bucket"])
def test_webdatasets_are_local(installed, tmp_path, root):
    check("wds/x", root=str(tmp_path))
    with pytest.raises(UserError, match=r"data\.root: a webdataset is read from a local folder"):
        check("wds/x", root=root)

"""The digest of a module object's code."""

from __future__ import annotations

import importlib.util
import sys

import pytest
import torch
from torch import nn

from kdcore.models.given import source_digest

CODE = """
from torch import nn

class Base(nn.Module):
    def forward(self, images):
        return self.inner(images) * 2

class Inner(nn.Linear):
    def forward(self, images):
        return super().forward(images) + 1

class Net(Base):
    def __init__(self):
        super().__init__()
        self.inner = Inner(2, 2)

RATE = 0.1
"""


@pytest.fixture
def digest(tmp_path, monkeypatch):
    """The digest of the network of a script."""
    file = tmp_path / "net_of_a_script.py"

    def digest_of(code):
        file.write_text(code)
        spec = importlib.util.spec_from_file_location(file.stem, file)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, file.stem, module)
        exec(compile(code, file, "exec"), module.__dict__)
        return source_digest(module.Net())

    return digest_of


@pytest.mark.parametrize("edit", [("* 2", "* 3"), ("+ 1", "+ 2"), ("Inner(2, 2)", "Inner(2, 3)")])
def test_the_source_of_each_class_counts(digest, edit):
    assert digest(CODE) != digest(CODE.replace(*edit))


def test_the_weights_and_the_rest_of_the_script_do_not_count(digest):
    assert digest(CODE) == digest(CODE.replace("0.1", "0.2"))


def test_how_it_is_put_together_counts_and_addresses_do_not():
    class Shown(nn.Module):
        def __init__(self):
            super().__init__()
            self.function = lambda images: images

        def extra_repr(self):
            return str(self.function)

    assert " at 0x" in str(Shown())
    held = [Shown(), Shown()]
    assert source_digest(held[0]) == source_digest(held[1])
    relu, gelu = (nn.Sequential(nn.Linear(2, 2), act) for act in (nn.ReLU(), nn.GELU()))
    assert source_digest(relu) != source_digest(gelu)


def test_a_class_without_a_source():
    made = {}
    code = "class Net(Module):\n    def forward(self, images):\n        return images"
    exec(code, {"Module": nn.Module, "__name__": "nowhere"}, made)
    assert len(source_digest(made["Net"]())) == 64
    assert torch.equal(made["Net"]()(torch.ones(1)), torch.ones(1))

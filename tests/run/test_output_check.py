"""A plugin's model is run once before a run: its logits must be those of the data's classes."""

from __future__ import annotations

import pytest

import kdcore
from kdcore import UserError

ENTRY = """
from kdcore import ModelEntry, TransformEntry, hookimpl

@hookimpl
def kd_models():
    return [ModelEntry(name, "A network.", f"kd_nets_code:{name}") for name in ("good", "wide", "pair", "fails")]

@hookimpl
def kd_transforms():
    return [TransformEntry("fewer", "Fewer classes.", "kd_nets_code:Fewer")]
"""
CODE = """
from torch import nn
from kdcore import Transformed

class Net(nn.Module):
    def __init__(self, num_classes, in_chans, give=lambda logits: logits):
        super().__init__()
        self.conv, self.fc, self.give = nn.Conv2d(in_chans, 4, 3, 2), nn.Linear(4, num_classes), give

    def forward(self, images):
        return self.give(self.fc(self.conv(images).mean((2, 3))))

def good(num_classes, in_chans):
    return Net(num_classes, in_chans)

def wide(num_classes, in_chans):
    return Net(1000, in_chans)

def pair(num_classes, in_chans):
    return Net(num_classes, in_chans, lambda logits: (logits, logits))

def fails(num_classes, in_chans):
    return Net(num_classes, in_chans + 1)

class Fewer:
    def __init__(self, options):
        pass

    def apply(self, model, setup):
        return Transformed(self.rebuild(model, {}), {})

    def rebuild(self, model, record):
        model.fc = nn.Linear(4, 2, device=model.fc.weight.device)
        return model
"""


@pytest.fixture
def check(install, tmp_path):
    """Checks a spec with a plugin's models."""
    install("kd-nets", ENTRY, kd_nets_code=CODE)

    def call(student, teacher=None):
        spec = {
            "name": "nets",
            "output": str(tmp_path / "runs"),
            "data": {"dataset": "digits", "image_size": 16, "train_samples": 32, "eval_samples": 20},
            "student": student,
            "distiller": "vanilla" if teacher is None else "kd",
        }
        return kdcore.validate(spec if teacher is None else {**spec, "teacher": teacher})

    return call


def test_good_ones_pass(check):
    assert check({"model": "good"}, {"model": "good"}).num_classes == 10


@pytest.mark.parametrize(
    ("student", "teacher", "said"),
    [
        (
            "wide",
            None,
            r"^student\.model: model 'wide' of plugin kd-nets 1\.0 gives logits \[B, 1000\], and the data has 10",
        ),
        ("pair", None, r"^student\.model: model 'pair' of plugin kd-nets 1\.0: Net returns several outputs"),
        ("good", "wide", r"^teacher\.model: model 'wide' of plugin kd-nets 1\.0 gives logits \[B, 1000\]"),
    ],
)
def test_other_logits_are_refused(student, teacher, said, check):
    with pytest.raises(UserError, match=said):
        check({"model": student}, None if teacher is None else {"model": teacher})


def test_a_transform_that_changes_the_classes_is_refused(check):
    said = r"model 'good' of plugin kd-nets 1\.0 after kd-nets/fewer gives logits \[B, 2\]"
    with pytest.raises(UserError, match=said):
        check({"model": "good", "transform": "fewer"})


def test_a_pass_that_fails_is_a_warning(check):
    (warning,) = [line for line in check({"model": "fails"}).warnings if "trial pass" in line]
    assert warning.startswith(
        "student.model: model 'fails' of plugin kd-nets 1.0 fails in a trial pass: Net cannot take"
    )

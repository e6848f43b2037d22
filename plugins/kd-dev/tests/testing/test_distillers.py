"""Each check of a distiller fails for the one that breaks its rule, and all others pass; good ones pass all."""

from __future__ import annotations

import re

import pytest
import torch
from kd_dev.testing import ConformanceError, check_distiller, distiller_checks
from kd_dev.testing import processes as started
from kd_dev.testing.distillers import RULES
from torch import nn

from kdcore import DistillerOptions, UserError

# by check: the class (or the declared name) that breaks it, and what the message says
BREAKS = {
    "declaration": ("misdeclared", "takes options of GoodOptions, but the declaration names .*:OtherOptions"),
    "lazy_import": ("heavy", "importing kd_broken.numpy_options imports numpy"),
    "options_documented": ("TakesUndescribed", "option 'beta' has no description"),
    "options_roundtrip": ("TakesNotJson", r"names=\('a', 'b'\).* became .*names=\['a', 'b'\]"),
    "settings": (
        "misquoted",
        r"pairs\[0\]\.options\.wieght: distiller 'misquoted' has no key 'wieght'",
    ),
    "builds": ("Refuses", r"cannot be built for\n    any pair: .*it works on Tuesdays only"),
    "preflight": ("ReadsWeights", "it raised RuntimeError: .*meta"),
    "terms_are_scalars": ("GivesVector", r"a float32 tensor of shape \[6\] as loss term 'mse'"),
    "needs": ("misneeded", r"needs is \['labels'\]; what it uses is \['logits', 'teacher'\]"),
    "weight_scales_terms": ("IgnoresWeight", r"'mse' is ([\d.]+) for weight 1, \1 for weight 2"),
    "whole_run": ("DividesByEpoch", "at the first step the loss term 'mse' is infinite"),
    "gradient_to_student": ("CutsStudent", "the gradient of every parameter of the student is missing or 0"),
    "gradient_to_heads": ("IdleHead", r"no gradient reaches idle.weight, idle.bias \(of 4 parameters\)"),
    "no_gradient_to_teacher": ("TeachesTeacher", r"teacher.logits gets a gradient of up to 0\.\d+"),
    "owns_its_parameters": (
        "TakesClassifier",
        "its parameter 'classifier.weight' is the teacher's 'fc.weight'",
    ),
    "tensors_are_buffers": (
        "KeepsTensor",
        r"the attribute 'constants' of KeepsTensor holds a tensor of shape \[\]",
    ),
    "inputs_unchanged": ("ChangesTarget", r"after forward: 'batch.target' is \[6\] of norm 0 instead of"),
    "keeps_no_graph": ("KeepsGraph", "'average' has a graph after a step"),
    "batch_of_one": ("NoSingle", "with a batch of one the loss term 'mse' is NaN"),
    "two_classes": ("NoPairs", "with two classes the loss term 'mse' is NaN"),
    "soft_targets": ("HardTargets", "it raised RuntimeError"),
    "no_labels": ("SecretTarget", "it raised AttributeError: 'NoneType' object has no attribute 'float'"),
    "some_labels": ("ReadsHiddenLabels", "it raised IndexError: Target -1 is out of bounds"),
    "no_index": ("SecretIndex", "it raised AttributeError: 'NoneType' object has no attribute 'float'"),
    "no_teacher": ("WantsTeacher", "requires.teacher is False, .* cannot be built: .*a teacher is needed"),
    "views": ("OneViewOfTwo", "it requests 2 views, but view 2 changes no term"),
    "other_family": (
        "OneFamily",
        "transformer teacher: it is built, but fails in the first step: RuntimeError",
    ),
    "bf16_autocast": ("LosesDigits", r"'mse' is [\d.]+ under bfloat16 autocast, [\d.]+ in float32"),
    "float64": ("Float32Only", "the term 'mse' of float64 inputs is float32"),
    "channels_last": ("UsesView", "it raised RuntimeError: view size is not compatible"),
    "large_logits": ("Overflows", "with random logits of 10000 the loss term 'mse' is NaN"),
    "deterministic": ("RollsDice", r"the second time, in step 1: 'mse' is [\d.]+ instead of [\d.]+"),
    "deepcopy": ("HoldsItself", "in the copy, after the original was used and changed,: 'mse' is"),
    "ships": ("ShipsTheOriginal", "after the original was changed, the copy's: 'logits' is"),
    "state_roundtrip": ("CountsAside", "after loading: 'mse' is"),
    "trains": ("GoesUp", "the sum of the terms went from .* to .* with Adam at 0.01 and from"),
    "two_processes": (
        "SecretlyRelates",
        r"'mse' of step 1 is [\d.]+ with two processes, [\d.]+ with one \(requires.whole_batch is False\)",
    ),
}
USUALLY_SKIPPED = {"views", "ships", "declaration", "lazy_import", "settings", "needs"}  # one view; a class


@pytest.fixture
def subject(broken):
    """A declared name, or a class."""
    return lambda name: name if name.islower() else getattr(broken("distillers"), name)


def test_every_rule_has_somebody_who_breaks_it():
    assert list(BREAKS) == [rule.id for rule in RULES]


@pytest.mark.parametrize("id", BREAKS)
def test_a_broken_rule_is_found_and_no_other(id, subject, look):
    name, message = BREAKS[id]
    found = look(distiller_checks(subject(name)))
    assert set(found.failed) == {id}, found.failed
    assert found.failed[id].startswith(f"{name} breaks the rule {id}: ")
    assert f"docs/conformance.md#{id}" in found.failed[id]
    assert re.search(message, found.failed[id]), found.failed[id]
    if id in ("builds", "terms_are_scalars"):  # then there is nothing to look at
        assert all(
            f"see the check '{id}'" in reason or "given" in reason for reason in found.skipped.values()
        )
    else:
        # the second step of one that keeps a graph has no meaning
        assert len(found.passed) > len(RULES) - (17 if id == "keeps_no_graph" else 10), found.skipped


@pytest.mark.parametrize(
    ("name", "id", "message"),
    [
        ("PreparesAside", "state_roundtrip", "after loading: 'mse' is"),
        (
            "ReadsTargetIfThere",
            "no_labels",
            "requires.target is False, and with other labels the term 'mse' is",
        ),
        ("ReadsUnknownAsLast", "some_labels", "a target of -1 has the same terms as the last class"),
        (
            "TakesMapOut",
            "inputs_unchanged",
            r"after forward: there are \[.*\] instead of \[.*teacher.features\[4\].map",
        ),
        ("Reseeds", "deterministic", "forward seeds torch's global generator"),
    ],
)
def test_other_ways_to_break_a_rule(name, id, message, subject, look):
    found = look([check for check in distiller_checks(subject(name)) if check.id == id])
    assert re.search(message, found.failed[id]), found.failed[id]


def test_a_good_one_passes(subject, look):
    found = look(distiller_checks(subject("good")))
    assert found.failed == {}
    assert set(found.skipped) == {"views", "ships"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("unknown-recipe", r'recipes: .*"cifar-2400"'),
        ("pair-of-unknown-recipe", r'pairs\[0\]\.recipe: .*"cifar-2400"'),
        ("empty", "neither recipes nor pairs"),
        ("plain-recipe", r"recipes\[0\] is 'cifar-240', which is not a variant"),
    ],
)
def test_settings_and_recipes_that_nobody_would_find(name, message, subject, look):
    (check,) = [check for check in distiller_checks(subject(name)) if check.id == "settings"]
    assert re.search(message, look([check]).failed["settings"])


@pytest.mark.parametrize(
    "name",
    [
        "Relates",
        "Remembers",
        "Draws",
        "SecondHead",
        "ThroughTeacher",
        "Ships",
        "OfClass",
        "FollowsItself",
        "UsesHeadLater",
    ],
)
def test_good_ones_with_more_needs_pass(name, subject, look):
    found = look(distiller_checks(subject(name)))
    assert found.failed == {}
    skipped = {
        "Relates": USUALLY_SKIPPED,
        "Draws": {*USUALLY_SKIPPED, "two_processes"},
        "SecondHead": {*USUALLY_SKIPPED, "other_family"},
        "Ships": USUALLY_SKIPPED - {"ships"},
        "FollowsItself": USUALLY_SKIPPED,
        "UsesHeadLater": {*USUALLY_SKIPPED, "gradient_to_heads"},
        "OfClass": {*USUALLY_SKIPPED, "no_labels", "some_labels"},
        "ThroughTeacher": {*USUALLY_SKIPPED, "other_family"},
        "Remembers": {*USUALLY_SKIPPED, "no_labels", "some_labels", "no_index", "soft_targets"},
    }
    assert set(found.skipped) == skipped[name]
    assert "it takes class indices only" in found.skipped.get("soft_targets", "it takes class indices only")


def test_all_at_once(subject):
    with pytest.raises(ConformanceError, match="CutsStudent breaks the rule gradient_to_student") as caught:
        check_distiller(subject("CutsStudent"))
    assert [failure.check.id for failure in caught.value.failures] == ["gradient_to_student"]
    check_distiller(subject("CutsStudent"), expected_failures={"gradient_to_student": "on purpose"})


# -- how a subject is named --------------------------------------------------------------------------------------


def test_options_are_given_in_three_ways(subject, broken):
    good, options = subject("Good"), broken("options").GoodOptions
    for given in ({"scale": 3.0}, options(scale=3.0)):
        for name in (good, "good", "kd-broken/good"):
            (check, *_) = distiller_checks(name, options=given)
            assert check._subject.options == options(scale=3.0)
    (check, *_) = distiller_checks(good)
    assert check._subject.options == options()
    assert str(check) == "Good-declaration"


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("goood", None, "(?s)no distiller|there is no distiller of this name.*did you mean 'good'"),
        ("good", {"sclae": 1.0}, r"options\.sclae.*(?s:.*)scale"),
        ("Good", {"scale": -1.0}, r"options\.scale: Input should be greater than 0 \(got -1\.0\)"),
        (3, None, "must be a distiller's name or class"),
    ],
)
def test_what_is_wrong_is_told_at_once(name, options, words, subject):
    with pytest.raises(UserError, match=words):
        distiller_checks(subject(name) if isinstance(name, str) else name, options=options)


def test_a_class_without_an_options_model_is_told(broken):
    class Bare(nn.Module):
        def __init__(self, options, setup):
            super().__init__()

    with pytest.raises(UserError, match=r"(?s)constructor is not annotated.*options=MyOptions"):
        distiller_checks(Bare)
    assert distiller_checks(Bare, options=DistillerOptions())

    class Mistaken(Bare):
        def __init__(self, options: Absent, setup):  # noqa: F821
            super().__init__(options, setup)

    with pytest.raises(UserError, match="is annotated with 'Absent', which is not an options model here"):
        distiller_checks(Mistaken)


def test_an_annotation_for_typing_only_leads_to_the_declared_options():
    kd_classic = pytest.importorskip("kd_classic")
    (check, *_) = distiller_checks(kd_classic.KD)
    assert type(check._subject.options).__name__ == "KDOptions"


def test_a_target_that_is_not_there_fails_its_declaration(broken, look):
    found = look(distiller_checks("unimportable"))
    assert set(found.failed) == {"declaration", "builds"}
    assert "kd_broken.distillers" in found.failed["declaration"]
    assert "does not have 'Absent'" in found.failed["declaration"]


# -- two processes -----------------------------------------------------------------------------------------------


@pytest.fixture
def processes(broken, look):
    """The check `two_processes` of a class."""

    def call(cls):
        checks = distiller_checks(cls, options=broken("options").GoodOptions())
        return look([check for check in checks if check.id == "two_processes"])

    return call


def test_a_local_class_cannot_be_in_two_processes(broken, processes):
    class Local(broken("distillers").Relates):
        pass

    assert "Local cannot be imported by another process" in processes(Local).skipped["two_processes"]


def test_a_module_that_is_nowhere_cannot_be_in_two_processes(broken, processes):
    cls = type("Relates", (broken("distillers").Relates,), {"__module__": "nowhere"})
    expected = "another process cannot import it: its module 'nowhere' does not exist"
    assert expected in processes(cls).skipped["two_processes"]


@pytest.mark.parametrize(
    ("name", "answer", "reason"),
    [
        ("is_gloo_available", False, "does not have gloo"),
        ("is_initialized", True, "already belongs to a process group"),
    ],
)
def test_where_there_can_be_no_group_it_is_left_out(name, answer, reason, broken, processes, monkeypatch):
    monkeypatch.setattr(torch.distributed, name, lambda: answer)
    assert reason in processes(broken("distillers").Relates).skipped["two_processes"]


def test_processes_that_do_not_end_are_ended(broken, processes, monkeypatch):
    monkeypatch.setattr(started.Workers, "running", None)
    monkeypatch.setattr(started, "PROGRAM", "import time; time.sleep(60)")
    monkeypatch.setattr(started, "SECONDS", 0.2)
    found = processes(broken("distillers").Relates)
    assert "a process of two failed: it did not end within 0.2 s" in found.failed["two_processes"]


def test_a_process_that_fails_is_told(broken, processes):
    found = processes(broken("distillers").FailsInGroups)
    assert (
        "a process of two failed: LookupError: who are you? (distillers.py, " in found.failed["two_processes"]
    )
    assert started.Workers.running is None

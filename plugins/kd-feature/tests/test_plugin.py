from __future__ import annotations

import copy
import runpy
import subprocess
import sys
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

import kd_feature
import pytest
import torch
from kd_feature import plugin

from kdcore import PLUGIN_API, Batch, Distiller, DistillerOptions, PreparesFromTeacher, UserError

ENTRIES = plugin.kd_distillers()
CASES = [runpy.run_path(str(path)) for path in sorted(Path(__file__).with_name("cases").glob("*.py"))]
DISTILLERS = {name: case for family in CASES for name, case in family["DISTILLERS"].items()}
BY_SHAPES = [entry for entry in ENTRIES if DISTILLERS[entry.name].get("pair", ("cnn", "wide")) is not None]
ACCEPTED = [
    (entry, pair)
    for entry in ENTRIES
    for pair in (("cnn", "wide"), ("cnn", "vit"), ("vit", "fine"), DISTILLERS[entry.name].get("pair"))
    if pair is not None and "-".join(pair) not in DISTILLERS[entry.name].get("refuses", ())
]
REFUSED = [
    (entry, pair.split("-"), why)
    for entry in ENTRIES
    for pair, why in DISTILLERS[entry.name].get("refuses", {}).items()
]


def _resolve(target: str) -> type:
    module, _, name = target.partition(":")
    found: type = getattr(import_module(module), name)
    return found


def _build(entry, setup):
    return _resolve(entry.target)(_resolve(entry.options)(**DISTILLERS[entry.name].get("options", {})), setup)


def test_what_is_declared():
    assert plugin.PLUGIN_API == PLUGIN_API
    for entry in ENTRIES:
        assert entry.task_weight == DISTILLERS[entry.name].get("task_weight", 1)
        assert entry.formula
        assert entry.paper is not None
        assert entry.paper.url.startswith(
            ("https://arxiv.org/abs/", "https://openreview.net/", "https://openaccess.thecvf.com/")
        )


def test_the_distribution_has_the_entry_point():
    (found,) = [entry for entry in entry_points(group="kdcore") if entry.name == "kd-feature"]
    assert found.value == "kd_feature.plugin"
    assert found.load() is plugin


@pytest.mark.parametrize(
    ("entry", "pair"), ACCEPTED, ids=[f"{entry.name}-{'-'.join(pair)}" for entry, pair in ACCEPTED]
)
def test_what_is_declared_works(entry, pair, make_setup, output, step):
    assert issubclass(_resolve(entry.options), DistillerOptions)
    setup = make_setup(*pair)
    distiller = _build(entry, setup)
    assert isinstance(distiller, torch.nn.Module)
    assert isinstance(distiller, Distiller)
    needs = distiller.requires
    student = output(setup.student, needs.student_stages, embedding=needs.student_embedding, grad=True)
    stages = needs.of_member("teacher").teacher_stages
    teacher = output(setup.teacher, stages, embedding=needs.teacher_embedding, seed=1, grad=True)
    seen = {"teacher": teacher} if needs.several_teachers else teacher
    index = torch.tensor([4, 8, 15, 16]) if needs.sample_index else None
    target = torch.arange(4) if needs.target else None
    if isinstance(distiller, PreparesFromTeacher):
        distiller.prepare([(seen, Batch(torch.zeros(4, 3, 2, 2), target, index))])
    step = partial(step, target=target)
    twin = copy.deepcopy(distiller)
    twin.load_state_dict(distiller.state_dict())
    torch.manual_seed(0)  # as kd does before each step
    terms = step(distiller, student, seen, index)
    assert all(term.shape == () and term.isfinite() for term in terms.values())
    torch.manual_seed(0)
    assert all(torch.equal(term, terms[name]) for name, term in step(twin, student, seen, index).items())
    sum(terms.values()).backward()
    read = [*(one.map for one in student.features.values()), student.embedding]
    assert sum(one.grad.abs().sum() for one in read if one is not None and one.grad is not None) > 0
    untouched = [*(one.map for one in teacher.features.values()), teacher.embedding]
    untouched += [] if "logits" in (entry.needs or ()) else [student.logits]
    assert all(one.grad is None for one in untouched if one is not None)
    assert all(one.grad is not None for one in distiller.parameters() if one.requires_grad)


@pytest.mark.parametrize(
    ("entry", "pair", "why"), REFUSED, ids=[f"{entry.name}-{'-'.join(pair)}" for entry, pair, _ in REFUSED]
)
def test_what_does_not_fit_is_refused_with_the_reason(entry, pair, why, make_setup):
    with pytest.raises((ValueError, UserError), match=why):
        _build(entry, make_setup(*pair))


@pytest.mark.parametrize("entry", BY_SHAPES, ids=lambda entry: entry.name)
def test_what_relates_samples_sees_the_whole_batch(entry, make_setup):
    case = DISTILLERS[entry.name]
    setup = make_setup(*case.get("pair", ("cnn", "wide")))
    distiller = _build(entry, setup)
    assert distiller.requires.whole_batch == case["whole_batch"]


@pytest.mark.parametrize("entry", BY_SHAPES, ids=lambda entry: entry.name)
def test_it_can_be_built_without_memory(entry, make_setup):
    pair = DISTILLERS[entry.name].get("pair", ("cnn", "wide"))
    for labels in (None, torch.arange(40) % 3):
        with torch.device("meta"):
            distiller = _build(entry, make_setup(*pair, labels=labels))
        assert all(value.is_meta for value in distiller.state_dict().values() if value.dim())
        assert all(parameter.is_meta for parameter in distiller.to("meta").parameters())


@pytest.mark.parametrize("module", ["kd_feature.plugin", "kd_feature"])
def test_declaring_imports_nothing_heavy(module):
    code = (
        f"import sys, {module}\n"
        "from kd_feature.plugin import kd_distillers, kd_feature_adapters\n"
        "from importlib import import_module\n"
        "[import_module(entry.options.partition(':')[0]) for entry in kd_distillers()], kd_feature_adapters()\n"
        "print(sorted({'torch', 'timm', 'numpy', 'torchvision'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_gives_out_what_it_names_and_nothing_else():
    assert all(callable(getattr(kd_feature, name)) for name in kd_feature.__all__)
    assert set(kd_feature.__all__) <= set(dir(kd_feature))
    with pytest.raises(AttributeError, match="no attribute 'kd_loss'"):
        _ = kd_feature.kd_loss

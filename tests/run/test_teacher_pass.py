"""A distiller that looks at the teacher's outputs for the whole training set before the first step."""

from __future__ import annotations

import pytest
import torch

import kdcore
from kdcore.plugins import get_plugins

PLUGIN = """
    from kdcore import DistillerEntry, hookimpl
    @hookimpl
    def kd_distillers():
        return [DistillerEntry(name="centers", kind="embedding", summary="S.", target="kd_centers_code:Centers",
                               options="kdcore:DistillerOptions")]
"""
CODE = """
    import torch
    from torch import nn
    from kdcore import Requires
    CALLS = []
    class Centers(nn.Module):
        "Pulls the student's logits towards the teacher's mean logits of the class."
        def __init__(self, options, setup):
            super().__init__()
            self.requires = Requires(target=True, sample_index=True)
            classes = setup.num_classes
            self.register_buffer("centers", torch.zeros(classes, classes))
            self.register_buffer("seen", torch.zeros(setup.train_size, dtype=torch.long))
        def prepare(self, outputs):
            assert not torch.is_grad_enabled()
            CALLS.append(0)
            count = torch.zeros(len(self.centers))
            for teacher, batch in outputs:
                assert not teacher.features and teacher.embedding is None
                self.centers.index_add_(0, batch.target, teacher.logits)
                count.index_add_(0, batch.target, torch.ones(len(batch.target)))
                self.seen[batch.index] += 1
                CALLS.append(len(batch.index))
            self.centers /= count.clamp(min=1)[:, None]
        def forward(self, student, teacher, batch, progress):
            return {"centers": (student.logits - self.centers[batch.target]).square().mean()}
"""
TEACHER = {"model": "resnet10t", "options": {"channels": [8, 8, 16, 16]}}


@pytest.fixture
def calls(install):
    install("kd-centers", PLUGIN, kd_centers_code=CODE)
    import kd_centers_code

    return kd_centers_code.CALLS


def weights(folder):
    return (folder / "student" / "model.safetensors").read_bytes()


def test_it_sees_every_sample_once_before_the_first_step(spec_file, calls):
    result = kdcore.run(spec_file(teacher=TEACHER, distiller="centers"), quiet=True)
    assert result.summary["status"] == "finished"
    assert calls == [0, 40]


def test_a_resumed_run_does_not_look_again_and_ends_the_same(spec_file, calls):
    whole = kdcore.run(spec_file("whole", teacher=TEACHER, distiller="centers"), quiet=True)
    calls.clear()
    parts = spec_file("parts", teacher=TEACHER, distiller="centers")
    kdcore.run(parts, quiet=True, until=1)
    assert calls == [0, 40]
    resumed = kdcore.run(parts, quiet=True)
    assert calls == [0, 40]
    assert weights(whole.directory) == weights(resumed.directory)


def test_from_a_cache_it_gets_what_the_cache_holds(spec_file, calls):
    cache = {"augmentations": 1, "dtype": "float32"}
    live = kdcore.run(spec_file("live", teacher={**TEACHER, "fold": False}, distiller="centers"), quiet=True)
    cached = kdcore.run(
        spec_file("cached", teacher={**TEACHER, "fold": False}, distiller="centers", teacher_cache=cache),
        quiet=True,
    )
    assert calls == [0, 40, 0, 40]
    first, second = ([record["terms"]["centers"] for record in one.metrics] for one in (live, cached))
    assert first[0] == pytest.approx(second[0], rel=1e-3)


def test_the_buffers_hold_the_means(spec_file, calls):
    from kdcore.data.train import IndexedTrainData  # the images of epoch 0, read independently
    from kdcore.distill.splits import open_splits
    from kdcore.run.prepare import Process, prepare
    from kdcore.spec.load import load_spec

    path = spec_file(teacher=TEACHER, distiller="centers", train={"epochs": 1})
    kdcore.run(path, quiet=True)
    loaded = load_spec(path)
    prepared = prepare(
        loaded, open_splits(loaded.spec, get_plugins()), get_plugins(), Process(torch.device("cpu"))
    )
    assert isinstance(prepared.train, IndexedTrainData)
    sums, count = torch.zeros(10, 10), torch.zeros(10)
    for position in range(40):
        (raw,) = prepared.train.given([[(0, position)]])
        with torch.no_grad():
            logits = prepared.distillation.teacher(raw.images)
        sums[raw.target] += logits[0]
        count[raw.target] += 1
    from kdcore.rundir.checkpoints import Checkpoints

    state = Checkpoints(path.parent / "runs" / "tiny" / "checkpoints").load(print)
    found = {key: value for key, value in flat(state) if key.endswith(("centers", "seen"))}
    (centers,) = [value for key, value in found.items() if key.endswith("centers")]
    (seen,) = [value for key, value in found.items() if key.endswith("seen")]
    torch.testing.assert_close(centers, sums / count.clamp(min=1)[:, None], atol=1e-5, rtol=1e-4)
    assert (seen == 1).all()


def flat(value, path=""):
    if isinstance(value, dict):
        for key, one in value.items():
            yield from flat(one, f"{path}.{key}")
    else:
        yield path, value

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from kdcore import Batch, Progress, Requires

from kd_reviewkd.options import ReviewKDOptions
from kd_reviewkd.reviewkd import ReviewKD, hcl_loss, warmup_factor

BATCH = Batch(images=torch.zeros(3, 3, 2, 2), target=None)
LATE = Progress(epoch=30.0, step=5, total_steps=10, total_epochs=40)
ALL = (1, 2, 3, 4)


@pytest.fixture
def step(output):
    """Calls a distiller for a batch."""

    def call(distiller, setup, progress=LATE, samples=3):
        student = output(setup.student, distiller.requires.student_stages, samples)
        teacher = output(setup.teacher, distiller.requires.teacher_stages, samples)
        return distiller.double()(student, teacher, BATCH, progress)["reviewkd"], student, teacher

    return call


def test_the_loss_is_that_of_the_stages_from_the_deepest_on(oracle, setup, step):
    distiller = ReviewKD(ReviewKDOptions(weight=3.0, mid_channels=2), setup).eval()
    assert distiller.requires == Requires(
        student_stages=ALL,
        teacher_stages=ALL,
        student_embedding=True,
        teacher_embedding=True,
        whole_batch=True,
    )
    with torch.no_grad():
        found, student, teacher = step(distiller, setup)
    ours = [*(student.features[s].map for s in ALL), student.embedding[:, :, None, None]]
    theirs = [*(teacher.features[s].map for s in ALL), teacher.embedding[:, :, None, None]]
    expected, deeper = 0.0, [None] * 3
    for number in (4, 3, 2, 1, 0):
        state = {n: v.tolist() for n, v in distiller.fusions[number].state_dict().items()}
        grid = theirs[number].shape[2:]
        pairs = [oracle.fusion(state, ours[number][b].tolist(), deeper[b], tuple(grid)) for b in range(3)]
        expected += oracle.hcl([reviewed for reviewed, _ in pairs], theirs[number].tolist())
        deeper = [fused for _, fused in pairs]
    assert found.item() == pytest.approx(3 * expected, rel=1e-9)


def test_pairs_and_paths(setup, step):
    options = ReviewKDOptions(stages=((1, 2), ("block.sum", 3)), embedding=False, mid_channels=4)
    distiller = ReviewKD(options, setup).eval()
    assert distiller.requires == Requires(
        student_stages=(1, "block.sum"), teacher_stages=(2, 3), whole_batch=True
    )
    with torch.no_grad():
        found, student, teacher = step(distiller, setup)
        deep, fused = distiller.fusions[1](student.features["block.sum"].map, None)
        shallow, _ = distiller.fusions[0](student.features[1].map, fused)
    expected = hcl_loss(deep, teacher.features[3].map) + hcl_loss(shallow, teacher.features[2].map)
    torch.testing.assert_close(found, expected)


def test_as_many_channels_as_the_authors_take(setup):
    def mid_channels(setup, **options):
        return ReviewKD(ReviewKDOptions(**options), setup).fusions[0].reduce[0].out_channels

    assert mid_channels(setup) == 6
    assert mid_channels(setup, embedding=False) == 5
    assert mid_channels(setup, mid_channels=9) == 9
    wide = replace(setup, student=setup.teacher)
    wide.student.__dict__["embedding_dim"] = 2048
    assert mid_channels(wide) == 512


def test_warm_up(setup, step):
    assert [warmup_factor(epoch, 20) for epoch in (0.0, 0.9, 1.0, 19.0, 20.0, 100.0)] == [
        0.05,
        0.05,
        0.1,
        1.0,
        1.0,
        1.0,
    ]
    assert warmup_factor(0.0, 0) == 1.0
    distiller = ReviewKD(ReviewKDOptions(warmup_epochs=4), setup).eval()
    late, student, teacher = step(distiller, setup)
    early = distiller(student, teacher, BATCH, replace(LATE, epoch=0.5))["reviewkd"]
    torch.testing.assert_close(4 * early, late)


def test_a_single_sample_is_refused_in_training(setup, step):
    distiller = ReviewKD(ReviewKDOptions(), setup)
    with pytest.raises(ValueError, match="batch norm over the samples, and there is one only"):
        step(distiller, setup, samples=1)
    assert step(distiller.eval(), setup, samples=1)[0].isfinite()
    without = ReviewKD(ReviewKDOptions(stages=(1, 2), embedding=False), setup)
    assert step(without, setup, samples=1)[0].isfinite()


def test_a_teacher_is_needed(setup):
    with pytest.raises(ValueError, match="it learns from a teacher, and there is none"):
        ReviewKD(ReviewKDOptions(), replace(setup, teacher=None))


@pytest.mark.parametrize(
    "options",
    [{"stages": []}, {"stages": [5]}, {"stages": [[1, 2, 3]]}, {"mid_channels": 0}, {"warmup_epochs": -1}],
)
def test_wrong_options(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        ReviewKDOptions.model_validate(options)

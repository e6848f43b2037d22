"""`data.sampling: balanced`: all classes equally frequent, keyed like every other draw."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from kdcore import UserError, run
from kdcore.data.draws import Draw, Pool, balanced_draws, times_before
from kdcore.data.keyed_randomness import ORDER
from kdcore.data.sampler import EpochBatches

LABELS = np.repeat(np.arange(3), (60, 9, 1))
BALANCED = Draw(Pool(np.arange(70), LABELS))


def balanced_order(labels, seed, epoch):
    positions = balanced_draws(labels, len(labels), ORDER, seed, epoch)
    return positions, times_before(positions)


def test_all_classes_are_equally_frequent_and_all_samples_of_a_class_too():
    positions, before = balanced_order(LABELS, 0, 0)
    assert len(positions) == len(before) == 70
    counts = np.bincount(LABELS[positions])
    assert counts.max() - counts.min() <= 1
    for label in range(3):
        own = Counter(positions[LABELS[positions] == label].tolist())
        members = np.flatnonzero(label == LABELS).tolist()
        times = [own[member] for member in members]
        assert max(times) - min(times) <= 1
    # the n-th time that a sample comes
    seen: Counter[int] = Counter()
    for position, count in zip(positions.tolist(), before.tolist(), strict=True):
        assert seen[position] == count
        seen[position] += 1


def test_every_round_has_each_class_once():
    positions, _ = balanced_order(LABELS, 5, 2)
    rounds = LABELS[positions][:69].reshape(-1, 3)
    assert (np.sort(rounds, axis=1) == [0, 1, 2]).all()
    assert len({tuple(one) for one in rounds.tolist()}) > 1


def test_an_epoch_is_a_function_of_seed_and_epoch():
    def order(seed, epoch):
        return balanced_order(LABELS, seed, epoch)[0].tolist()

    assert order(1, 1) == order(1, 1)
    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4


def test_processes_share_the_batches_and_a_run_goes_on_within_an_epoch():
    whole = EpochBatches(0, 70, 10, 0, 1, draw=BALANCED)
    halves = [EpochBatches(0, 70, 10, rank, 2, draw=BALANCED) for rank in range(2)]
    for batch, first, second in zip(whole, *halves, strict=True):
        assert batch == [*first, *second]
    batches = list(whole)
    whole.skip = 3
    assert list(whole) == batches[3:]


def test_a_repeated_sample_has_another_key_unless_a_cache_has_few_variants():
    keys = [key for batch in EpochBatches(0, 70, 10, 0, 1, draw=BALANCED) for key in batch]
    assert len(set(keys)) == 70
    cached = [key for batch in EpochBatches(0, 70, 10, 0, 1, 2, BALANCED) for key in batch]
    assert {epoch for epoch, _ in cached} == {0}
    assert [position for _, position in cached] == [position for _, position in keys]


@pytest.fixture
def rare(tmp_path):
    """40 images of one class and 4 of another, and 10 of each for the evaluation."""
    draw = np.random.default_rng(0)
    for split, counts in (("train", (40, 4)), ("val", (10, 10))):
        for label, count in enumerate(counts):
            folder = tmp_path / "images" / split / "ab"[label]
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = draw.integers(0, 100, (16, 16, 3)) + 100 * label
                Image.fromarray(pixels.astype("uint8")).save(folder / f"{number}.png")
    return tmp_path


def spec(folder, **data):
    return {
        "name": "rare",
        "output": str(folder / "runs"),
        "data": {
            "dataset": str(folder / "images"),
            "eval_split": "val",
            "image_size": 16,
            "workers": 0,
            **data,
        },
        "student": {"model": "test_resnet"},
        "distiller": "vanilla",
        "train": {"epochs": 2, "batch_size": 11},
        "report": False,
    }


def test_a_run_continues_to_the_bit_and_workers_change_nothing(rare):
    def student(result):
        return (result.directory / "student" / "model.safetensors").read_bytes()

    whole = run({**spec(rare, sampling="balanced"), "name": "whole"}, quiet=True)
    run({**spec(rare, sampling="balanced"), "name": "parts"}, until=1, quiet=True)
    parts = run({**spec(rare, sampling="balanced"), "name": "parts"}, quiet=True)
    workers = run({**spec(rare, sampling="balanced", workers=1), "name": "workers"}, quiet=True)
    plain = run({**spec(rare), "name": "plain"}, quiet=True)
    assert student(whole) == student(parts) == student(workers) != student(plain)


def test_images_without_classes_cannot_be_balanced(rare):
    for file in (rare / "images" / "train").glob("*/*.png"):
        file.rename(rare / "images" / "train" / f"{file.parent.name}{file.name}")
    for name in "ab":
        (rare / "images" / "train" / name).rmdir()
    made = {**spec(rare, sampling="balanced"), "teacher": {"model": "test_resnet"}, "distiller": "kd"}
    with pytest.raises(UserError) as caught:
        run({**made, "task": {"weight": 0}}, quiet=True)
    assert [problem.where for problem in caught.value.problems] == ["data.sampling"]

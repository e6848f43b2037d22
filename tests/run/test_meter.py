from __future__ import annotations

import math

import pytest
import torch

from kdcore.distill.distillation import DistillationOutput
from kdcore.errors import RunFailed
from kdcore.run.meter import Meter


def _output(loss: float, term: float, logits: list[list[float]]) -> DistillationOutput:
    task = torch.tensor(loss - term)
    return DistillationOutput(
        torch.tensor(loss), task, {"kd": torch.tensor(term)}, torch.tensor(logits), None, {}
    )


def test_means_are_weighted_by_the_batches_sizes():
    meter = Meter(torch.device("cpu"))
    meter.add(_output(3.0, 1.0, [[1.0, 0.0]] * 3), torch.tensor([0, 0, 1]), step=0)
    meter.add(_output(7.0, 4.0, [[1.0, 0.0]]), torch.tensor([1]), step=1)
    means = meter.read()
    assert means["loss"] == pytest.approx((3 * 3 + 7) / 4)
    assert means["task_loss"] == pytest.approx((2 * 3 + 3) / 4)
    assert means["terms"] == {"kd": pytest.approx((1 * 3 + 4) / 4)}
    assert means["top1"] == pytest.approx(50.0)
    assert means["top5"] == pytest.approx(100.0)


def test_mixed_targets_count_by_their_larger_part():
    meter = Meter(torch.device("cpu"))
    meter.add(_output(1.0, 0.5, [[0.0, 2.0], [2.0, 0.0]]), torch.tensor([[0.4, 0.6], [0.3, 0.7]]), step=0)
    assert meter.read()["top1"] == pytest.approx(50.0)


def test_unlabelled_images_have_losses_and_no_accuracy():
    meter = Meter(torch.device("cpu"))
    meter.add(_output(1.0, 1.0, [[0.0, 2.0]]), None, step=0)
    assert meter.read()["top1"] is None
    assert meter.read()["loss"] == 1.0


def test_an_epoch_without_batches_has_no_means():
    assert Meter(torch.device("cpu")).read()["loss"] is None


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_the_guilty_term_its_first_step_and_the_last_checkpoint_are_named(bad: float):
    meter = Meter(torch.device("cpu"))
    meter.add(_output(2.0, 1.0, [[0.0, 1.0]]), torch.tensor([1]), step=7)
    meter.check(None)
    broken = DistillationOutput(
        torch.tensor(bad), torch.tensor(1.0), {"kd": torch.tensor(bad)}, torch.tensor([[0.0, 1.0]]), None, {}
    )
    meter.add(broken, torch.tensor([1]), step=8)
    meter.add(broken, torch.tensor([1]), step=9)
    with pytest.raises(
        RunFailed, match=r"^kd became NaN or infinite at step 8; the last good checkpoint is of step 5"
    ):
        meter.check(5)


def test_before_the_first_step_no_learning_rate_is_to_blame():
    meter = Meter(torch.device("cpu"), ("kd",))
    bad = torch.tensor(math.nan)
    meter.add(
        DistillationOutput(bad, torch.tensor(1.0), {"kd": bad}, torch.zeros(1, 2), None, {}), None, step=0
    )
    with pytest.raises(
        RunFailed, match=r"at step 0; there is no checkpoint yet\. No weight has changed yet: look"
    ):
        meter.check(None)


@pytest.mark.parametrize(
    ("distillers", "term", "words"),
    [
        (("dkd",), "nckd", r"^loss term 'nckd' of distiller 'dkd' became NaN"),
        (("kd", "kd_2"), "kd_2.kd", r"^loss term 'kd' of distiller 'kd_2' became NaN"),
    ],
)
def test_the_distiller_of_the_guilty_term_is_named(distillers: tuple[str, ...], term: str, words: str):
    meter = Meter(torch.device("cpu"), distillers)
    bad = torch.tensor(float("nan"))
    output = DistillationOutput(bad, torch.tensor(1.0), {term: bad}, torch.tensor([[0.0, 1.0]]), None, {})
    meter.add(output, torch.tensor([1]), step=8)
    with pytest.raises(RunFailed, match=words):
        meter.check(None)


def test_a_state_goes_on_where_it_was():
    meter, other = Meter(torch.device("cpu")), Meter(torch.device("cpu"))
    meter.add(_output(3.0, 1.0, [[1.0, 0.0]] * 3), torch.tensor([0, 0, 1]), step=0)
    other.load_state_dict(meter.state_dict(lambda sums: sums))
    for one in (meter, other):
        one.add(_output(7.0, 4.0, [[1.0, 0.0]]), torch.tensor([1]), step=1)
    assert meter.read() == other.read()


def test_a_term_may_be_called_loss():
    meter = Meter(torch.device("cpu"))
    terms = {"loss": torch.tensor(1.0), "task_loss": torch.tensor(math.inf)}
    output = DistillationOutput(
        torch.tensor(4.0), torch.tensor(2.0), terms, torch.tensor([[0.0, 1.0]]), None, {}
    )
    meter.add(output, None, step=0)
    means = meter.read()
    assert (means["loss"], means["task_loss"]) == (4.0, 2.0)
    assert means["terms"] == {"loss": 1.0, "task_loss": math.inf}


def test_terms_may_come_and_go():
    meter = Meter(torch.device("cpu"))
    for step, terms in enumerate([{"a": 1.0}, {"a": 3.0, "b": 8.0}, {"b": 4.0}, {}]):
        values = {name: torch.tensor(value) for name, value in terms.items()}
        total = torch.tensor(sum(terms.values()))
        output = DistillationOutput(total, torch.tensor(0.0), values, torch.tensor([[0.0, 1.0]]), None, {})
        meter.add(output, torch.tensor([1]), step=step)
    means = meter.read()
    assert means["terms"] == {"a": 1.0, "b": 3.0}
    assert (means["loss"], means["top1"]) == (4.0, 100.0)


def test_of_several_processes_the_main_one_takes_up_the_sums_of_all():
    parts = [Meter(torch.device("cpu")) for _ in range(2)]
    for part, loss in zip(parts, (1.0, 3.0), strict=True):
        part.add(_output(loss, 0.5, [[1.0, 0.0]]), torch.tensor([0]), step=0)
    states = [part.state_dict(lambda sums: sums)["sums"] for part in parts]
    saved = parts[0].state_dict(lambda _: states[0] + states[1])
    resumed = [Meter(torch.device("cpu")) for _ in range(2)]
    for rank, meter in enumerate(resumed):
        meter.load_state_dict(saved, main_process=rank == 0)
    whole = sum(meter.state_dict(lambda sums: sums)["sums"] for meter in resumed)
    assert resumed[0].read(lambda _: whole)["loss"] == pytest.approx(2.0)


def test_a_teacher_that_is_not_finite_is_named():
    meter = Meter(torch.device("cpu"))
    for step, logit in enumerate([1.0, math.nan, 1.0]):
        output = DistillationOutput(
            torch.tensor(logit), torch.tensor(1.0), {"kd": torch.tensor(logit)},
            torch.zeros(1, 2), None, {"teacher": torch.tensor([[logit, 0.0]])},
        )  # fmt: skip
        meter.add(output, torch.tensor([1]), step=step)
    with pytest.raises(
        RunFailed, match=r"^the teacher's logits became NaN or infinite at step 1; .*teacher"
    ) as failed:
        meter.check(None)
    assert "optimizer.lr" not in str(failed.value)

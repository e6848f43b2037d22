from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from kd_feature import CRDLoss, crd_loss
from torch import Tensor
from torch.nn import functional as F

N, D, B, M = 30, 6, 4, 9


# rows that are fetched at once: all, those of some samples (of the last part fewer), some of one sample, one
AT_ONCE = {"chosen rows": 1 << 20, "of three samples": 3 * 10 * D, "part of a sample": 4 * D, "one row": 1}


def choose_way(monkeypatch: pytest.MonkeyPatch, *, all_rows: bool) -> None:
    """Make one of the two ways to the scores free of cost."""
    costs = dict.fromkeys(("row", "score", "term"), 0.0 if all_rows else 1.0)
    costs |= dict.fromkeys(("chosen", "fetch"), 1.0 if all_rows else 0.0)
    monkeypatch.setitem(crd_loss.COSTS, "cpu", crd_loss.Costs(**costs, pick=0.0))


@pytest.fixture(params=["all rows", *AT_ONCE])
def way(request, monkeypatch) -> str:
    """Both ways to the scores, and the second in parts."""
    choose_way(monkeypatch, all_rows=request.param == "all rows")
    if request.param in AT_ONCE:
        monkeypatch.setattr(crd_loss, "AT_ONCE_PER_THREAD", AT_ONCE[request.param])
        monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    return str(request.param)


def _loss(dtype: torch.dtype = torch.float64, **settings: Any) -> CRDLoss:
    torch.manual_seed(0)
    fields = {"embedding_dim": D, "num_samples": N, "negatives": M, "temperature": 0.07, "momentum": 0.5}
    return CRDLoss(**{**fields, **settings}).to(dtype)


def _batch(
    seed: int, dtype: torch.dtype = torch.float64, samples: int = B
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (
        F.normalize(torch.randn(samples, D, generator=generator, dtype=torch.float64), dim=1)
        for _ in range(2)
    )
    index = torch.randperm(N, generator=generator)[:samples]
    # with repetitions, and the own row among the negatives: both have to count
    chosen = torch.cat([index.unsqueeze(1), torch.randint(N, (samples, M), generator=generator)], dim=1)
    return student.to(dtype), teacher.to(dtype), index, chosen


@pytest.mark.parametrize(("temperature", "momentum"), [(0.07, 0.5), (1.0, 0.9), (0.2, 0.0)])
def test_several_steps_equal_the_slow_formula(crd_oracle, way, temperature, momentum):
    loss = _loss(temperature=temperature, momentum=momentum)
    slow = crd_oracle(loss.student_memory.tolist(), loss.teacher_memory.tolist(), temperature, momentum)
    for seed in range(4):
        student, teacher, index, chosen = _batch(seed)
        expected = slow.step(student.tolist(), teacher.tolist(), index.tolist(), chosen.tolist())
        value = loss(student, teacher, index, chosen)
        assert value.shape == ()
        assert value.item() == pytest.approx(expected, rel=1e-9)
        for name in ("student", "teacher"):
            torch.testing.assert_close(
                getattr(loss, f"{name}_memory"), torch.tensor(slow.memory[name]).double()
            )
            log_z = getattr(loss, f"{name}_log_normalizer").item()
            assert math.exp(log_z) == pytest.approx(slow.normalizer[name], rel=1e-9)


def test_in_float32_it_is_as_exact_as_float32_is(crd_oracle, way):
    loss = _loss(torch.float32)
    slow = crd_oracle(loss.student_memory.tolist(), loss.teacher_memory.tolist(), 0.07, 0.5)
    for seed in range(3):
        student, teacher, index, chosen = _batch(seed, torch.float32)
        expected = slow.step(student.tolist(), teacher.tolist(), index.tolist(), chosen.tolist())
        assert loss(student, teacher, index, chosen).item() == pytest.approx(expected, rel=1e-6)


def test_a_value_worked_out_by_hand():
    # Two samples, one negative, T = 1, memories of zeros: every exponential is 1, Z is N = 2, and every P is 1/2,
    # as is M/N. So each of the four logarithms of a direction is that of 1/2 (eps apart), for two directions.
    loss = CRDLoss(2, 2, 1, 1.0, 0.25)
    loss.student_memory.zero_()
    loss.teacher_memory.zero_()
    student, teacher = torch.eye(2), torch.tensor([[0.0, 1.0], [0.6, 0.8]])
    value = loss(student, teacher, torch.tensor([0, 1]), torch.tensor([[0, 1], [1, 0]]))
    assert value.item() == pytest.approx(4 * math.log(2), rel=1e-6)
    assert loss.student_log_normalizer.exp().item() == pytest.approx(2)
    # 1/4 of a row of zeros and 3/4 of a unit vector is that vector again
    torch.testing.assert_close(loss.student_memory, student)
    torch.testing.assert_close(loss.teacher_memory, teacher)


def _through_autograd(loss: CRDLoss, student: Tensor, teacher: Tensor, chosen: Tensor) -> Tensor:
    """The formula as one writes it down, on copies of the memories, for autograd."""
    total = student.new_zeros(())
    noise = M / N
    for embedding, memory, log_z in (
        (student, loss.teacher_memory.clone(), loss.student_log_normalizer),
        (teacher, loss.student_memory.clone(), loss.teacher_log_normalizer),
    ):
        p = ((memory[chosen] * embedding.unsqueeze(1)).sum(2) / loss.temperature - log_z).exp()
        own = (p[:, 0] / (p[:, 0] + noise + 1e-7)).log()
        others = (noise / (p[:, 1:] + noise + 1e-7)).log()
        total = total - (own.sum() + others.sum()) / len(p)
    return total


def test_the_gradient_is_that_of_the_memories_before_the_update(way):
    loss = _loss()
    loss(*_batch(0))
    student, teacher, index, chosen = _batch(1)
    student.requires_grad_()
    teacher.requires_grad_()
    expected = torch.autograd.grad(_through_autograd(loss, student, teacher, chosen), (student, teacher))
    found = torch.autograd.grad(3 * loss(student, teacher, index, chosen), (student, teacher))
    torch.testing.assert_close(found, tuple(3 * one for one in expected))


def test_the_gradient_is_that_of_finite_differences(way):
    start = _loss(temperature=0.5)
    start(*_batch(0))
    student, teacher, index, chosen = _batch(1)

    def call(s: Tensor, t: Tensor) -> Tensor:
        return copy.deepcopy(start)(s, t, index, chosen)

    assert torch.autograd.gradcheck(call, (student.requires_grad_(), teacher.requires_grad_()))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_both_ways_agree_over_training(monkeypatch, dtype):
    def train(all_rows: bool) -> tuple[list[float], Tensor, CRDLoss]:
        choose_way(monkeypatch, all_rows=all_rows)
        loss, head = _loss(dtype), torch.eye(D, dtype=dtype).requires_grad_()
        values = []
        for seed in range(5):
            student, teacher, index, chosen = _batch(seed, dtype)
            value = loss(F.normalize(student @ head, dim=1), teacher, index, chosen)
            values.append(value.item())
            (gradient,) = torch.autograd.grad(value, head)
            with torch.no_grad():
                head -= 0.01 * gradient
        return values, head.detach(), loss

    *found, loss = train(False)
    *expected, other = train(True)
    torch.testing.assert_close(found, expected)
    for name, buffer in loss.named_buffers():
        torch.testing.assert_close(buffer, other.get_buffer(name))


@pytest.mark.parametrize(
    ("rows", "chosen", "samples", "all_rows"),
    [
        (50_000, 16_385, 64, True),  # CIFAR-100
        (1_281_167, 16_385, 64, False),  # ImageNet
        (50_000, 65, 64, False),
        # the more samples, the more of them share what it takes to read all rows
        (250_000, 16_385, 2, False),
        (250_000, 16_385, 64, True),
    ],
)
def test_the_choice_of_the_way(rows, chosen, samples, all_rows):
    shapes = ((samples, 128), (rows, 128), (samples, chosen))
    assert crd_loss._score_all(*(torch.empty(1).expand(shape) for shape in shapes)) == all_rows
    assert crd_loss._score_all(*(torch.empty(shape, device="meta") for shape in shapes)) == all_rows


def test_the_loss_of_sure_scores_is_exact():
    # own row: score 60, the others: -60, 0 and 60
    logits = torch.tensor([[60.0, -60.0, 0.0, 60.0]], dtype=torch.float64)
    expected = math.log1p(math.exp(-60)) * 2 + math.log(2) + 60 + math.log1p(math.exp(-60))
    assert crd_loss._estimate(logits).item() == expected
    slopes = [-math.exp(-60), math.exp(-60), 0.5, 1.0]
    torch.testing.assert_close(logits, torch.tensor([slopes]).double(), rtol=1e-7, atol=0)


def test_the_memories_are_the_students_and_the_teachers():
    loss = _loss()
    before = loss.student_memory.clone(), loss.teacher_memory.clone()
    student, teacher, index, chosen = _batch(0)
    loss(student, teacher, index, chosen)
    others = torch.ones(N, dtype=torch.bool).index_fill(0, index, False)
    for memory, old, new in zip(
        (loss.student_memory, loss.teacher_memory), before, (student, teacher), strict=True
    ):
        assert torch.equal(memory[others], old[others])
        torch.testing.assert_close(memory[index], F.normalize(old[index] + new, dim=1))
        assert not memory.requires_grad


def test_the_memories_begin_uniform_with_mean_square_length_1():
    torch.manual_seed(0)
    loss = CRDLoss(128, 2000, 5, 0.07, 0.5)
    bound = (3 / 128) ** 0.5
    for memory in (loss.student_memory, loss.teacher_memory):
        assert memory.shape == (2000, 128)
        assert memory.abs().max().item() == pytest.approx(bound, rel=1e-3)
        assert memory.square().sum(1).mean().item() == pytest.approx(1, rel=0.01)
    assert not torch.equal(loss.student_memory, loss.teacher_memory)


def test_state_and_copies_go_on_alike():
    loss = _loss()
    for seed in range(2):
        loss(*_batch(seed))
    torch.manual_seed(1)
    loaded = CRDLoss(D, N, M, 0.07, 0.5).double()
    loaded(*_batch(7))  # its own normalisers are set, and have to give way
    assert set(loss.state_dict()) == {
        "student_memory",
        "teacher_memory",
        "student_log_normalizer",
        "teacher_log_normalizer",
    }
    loaded.load_state_dict(copy.deepcopy(loss.state_dict()))
    copied = copy.deepcopy(loss)
    expected = loss(*_batch(2))
    assert torch.equal(loaded(*_batch(2)), expected)
    assert torch.equal(copied(*_batch(2)), expected)
    assert torch.equal(loaded.teacher_memory, loss.teacher_memory)


def test_a_state_from_before_the_first_batch_sets_the_normalisers():
    fresh, used = _loss(), _loss()
    used(*_batch(0))
    used.load_state_dict(copy.deepcopy(fresh.state_dict()))
    assert torch.equal(used(*_batch(1)), fresh(*_batch(1)))


def test_a_second_batch_leaves_the_normalisers():
    loss = _loss()
    loss(*_batch(0))
    before = loss.student_log_normalizer.clone(), loss.teacher_log_normalizer.clone()
    loss(*_batch(1))
    assert (loss.student_log_normalizer, loss.teacher_log_normalizer) == before


def test_one_sample_is_a_batch(crd_oracle):
    loss = _loss()
    slow = crd_oracle(loss.student_memory.tolist(), loss.teacher_memory.tolist(), 0.07, 0.5)
    batch = _batch(0, samples=1)
    assert loss(*batch).item() == pytest.approx(slow.step(*(one.tolist() for one in batch)), rel=1e-9)


@pytest.mark.parametrize("temperature", [1e-3, 1e-2, 1e3])
def test_extreme_temperatures_stay_finite(way, temperature):
    # exp(1 / 0.001) is beyond float64 even
    loss = _loss(torch.float32, temperature=temperature)
    for seed in range(3):
        student, teacher, index, chosen = _batch(seed, torch.float32)
        value = loss(student.requires_grad_(), teacher, index, chosen)
        value.backward()
        assert value.isfinite()
        assert student.grad.isfinite().all()
        assert loss.student_memory.isfinite().all()


def test_an_embedding_that_cancels_its_row_leaves_a_finite_one():
    loss = _loss()
    student, teacher, index, chosen = _batch(0)
    loss.student_memory[index] = -student
    loss(student, teacher, index, chosen)
    assert torch.equal(loss.student_memory[index], torch.zeros(B, D).double())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_embeddings_and_autocast_are_worked_on_in_float32(way, dtype):
    batch = _batch(0, dtype)
    exact = _loss(torch.float32)(batch[0].float(), batch[1].float(), *batch[2:])
    narrow = _loss(torch.float32)
    with torch.autocast("cpu", dtype=dtype):
        value = narrow(batch[0].requires_grad_(), *batch[1:])
    value.backward()
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, exact)
    assert batch[0].grad.dtype == dtype
    assert narrow.student_memory.dtype == torch.float32


def test_a_large_memory_is_fine():
    with torch.device("meta"):
        loss = CRDLoss(128, 1_280_000, 16_384, 0.07, 0.5)
    assert loss.student_memory.shape == (1_280_000, 128)


SETTINGS: list[tuple[dict[str, Any], str]] = [
    ({"embedding_dim": 0}, "embedding_dim is 0"),
    ({"num_samples": 0}, "num_samples is 0"),
    ({"negatives": 0}, "negatives is 0"),
    ({"temperature": 0.0}, "temperature is 0"),
    ({"momentum": 1.5}, "momentum is 1.5"),
]


@pytest.mark.parametrize(("settings", "message"), SETTINGS)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        _loss(**settings)


SPOILED: list[tuple[Callable[..., tuple[Tensor, ...]], str]] = [
    (lambda s, t, i, c: (s[:, :-1], t, i, c), r"student_embedding has shape \[4, 5\]; it must be \[4, 6\]"),
    (lambda s, t, i, c: (s, t[:-1], i, c), r"teacher_embedding has shape \[3, 6\]; it must be \[4, 6\]"),
    (lambda s, t, i, c: (s, t, i, c[:, 1:]), r"contrast_index has shape \[4, 9\]; it must be \[4, 10\]"),
    (lambda s, t, i, c: (s, t, i.unsqueeze(1), c), r"index has shape \[4, 1\]; it must be \[B\]"),
]


@pytest.mark.parametrize(("spoil", "message"), SPOILED)
def test_shapes_that_do_not_fit_are_refused(spoil, message):
    loss = _loss()
    before = loss.student_memory.clone()
    with pytest.raises(ValueError, match=message):
        loss(*spoil(*_batch(0)))
    assert torch.equal(loss.student_memory, before)

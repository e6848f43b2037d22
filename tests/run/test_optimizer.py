import math
from types import SimpleNamespace

import pytest
import torch
from timm.optim import list_optimizers
from torch import nn

import kdcore
from kdcore.errors import UserError
from kdcore.run.optimizer import build_optimizer, build_scheduler
from kdcore.run.optimizer_trial import try_optimizer
from kdcore.run.schedule_trial import try_schedule
from kdcore.run.sharding import spread_optimizer
from kdcore.rundir.checkpoints import Checkpoints
from kdcore.spec import installed
from kdcore.spec.models import OptimizerSpec, SchedulerSpec, TrainSpec
from kdcore.spec.train_spec import scaled_optimizer

STEPS = 7  # lookahead does its own part in each sixth step
NAMES = [
    name
    for name in list_optimizers()
    # a few small weights do not need opt_einsum
    if (found := installed.optimizers()[name]).package in (None, "opt_einsum") and not found.second_order
]
SHAPES = [torch.empty(shape, device="meta") for shape in [(), (4,), (3, 2), (2, 3, 3, 3)]]


@pytest.fixture(autouse=True)
def _nothing_is_compiled():
    with torch.compiler.set_stance("force_eager"):  # timm's kron compiles some functions, for a minute
        yield


class Student(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(32, 17))

    def group_matcher(self, coarse=False):
        return {"stem": r"^[01]\.", "blocks": r"^(\d)\."}


def distillation():
    torch.manual_seed(0)
    return nn.ModuleDict({"student": Student(), "distillers": nn.ModuleList([nn.Linear(17, 20)])})


def made(name, **options):
    module = distillation()
    spec = OptimizerSpec(name=name, lr=0.01, **options)
    parts = SimpleNamespace(student=module["student"], distillers=module["distillers"], learners=[])
    return module, build_optimizer(spec, parts)


def train(module, optimizer, first):
    for step in range(first, first + STEPS):
        torch.manual_seed(step)
        module["distillers"][0](module["student"](torch.randn(4, 3, 4, 4))).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def resumed_like_uninterrupted(tmp_path, name, **options):
    module, optimizer = made(name, **options)
    train(module, optimizer, 0)
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(STEPS, {"weights": dict(module.state_dict()), "optimizer": optimizer.state_dict()})
    train(module, optimizer, STEPS)
    state = checkpoints.load(pytest.fail)
    again, resumed = made(name, **options)
    again.load_state_dict(state["weights"])
    resumed.load_state_dict(spread_optimizer(state["optimizer"], resumed))
    train(again, resumed, STEPS)
    for (key, weight), other in zip(module.state_dict().items(), again.state_dict().values(), strict=True):
        assert weight.isfinite().all(), key
        assert torch.equal(weight, other), key
    return optimizer


@pytest.mark.parametrize("prefix", ["", "lookahead_"])
@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_optimizer_goes_on_as_the_one_that_was_not_stopped(tmp_path, name, prefix):
    resumed_like_uninterrupted(tmp_path, prefix + name)


@pytest.mark.parametrize("name", ["adafactorbv", "kron", "muon", "lamb", "lookahead_cadafactorbvc"])
@pytest.mark.parametrize("groups", [{"layer_decay": 0.7}, {"filter_bias_and_bn": False}])
def test_so_do_groups_of_parameters(tmp_path, name, groups):
    resumed_like_uninterrupted(tmp_path, name, **groups)


def test_the_number_format_of_a_state_is_kept(tmp_path):
    optimizer = resumed_like_uninterrupted(tmp_path, "kron", options={"mu_dtype": "bfloat16"})
    assert optimizer.param_groups[0]["mu_dtype"] is torch.bfloat16
    optimizer = resumed_like_uninterrupted(tmp_path, "cadafactorbv", options={"momentum_dtype": "float16"})
    assert {value["exp_avg"].dtype for value in optimizer.state.values()} == {torch.float16}


def test_the_trial_has_nothing_against_what_works():
    for name in NAMES:
        assert try_optimizer(OptimizerSpec(name=name, lr=0.01), SHAPES).problems == (), name


def test_the_trial_repeats_what_the_optimizer_warns_of():
    trial = try_optimizer(OptimizerSpec(name="kron", lr=0.01), SHAPES)
    assert all(text.startswith("optimizer: ") for text in trial.warnings)


def test_the_trial_leaves_the_random_generator_as_it_was():
    before = torch.get_rng_state()
    try_optimizer(OptimizerSpec(name="kron", lr=0.01), SHAPES)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("spec", "where", "words"), [
    ({"name": "adahessian"}, "optimizer", "fails on"),
    ({"name": "adamw", "options": {"differentiable": True}}, "optimizer", "fails on"),
    ({"name": "adamw", "weight_decay": 1e39}, "optimizer", "NaN or infinite"),
])  # fmt: skip
def test_the_trial_finds_what_would_fail_in_a_run(spec, where, words):
    (problem,) = try_optimizer(OptimizerSpec(**{"lr": 0.01, **spec}), SHAPES).problems
    assert problem.where == where
    assert words in problem.message
    assert problem.hint


def test_the_trial_has_nothing_against_a_high_learning_rate():
    assert try_optimizer(OptimizerSpec(lr=1e30), SHAPES).problems == ()


def test_a_state_that_cannot_be_saved(monkeypatch):
    class Odd(torch.optim.SGD):
        def state_dict(self):
            return {**super().state_dict(), "odd": object()}

    monkeypatch.setattr(
        "kdcore.run.optimizer_trial.create_optimizer", lambda spec, groups: Odd(groups, lr=0.1)
    )
    (problem,) = try_optimizer(OptimizerSpec(), SHAPES).problems
    assert "state holds object" in problem.message


def test_a_state_that_lacks_something(monkeypatch):
    class Forgetful(torch.optim.SGD):
        def state_dict(self):
            return {**super().state_dict(), "state": {}}

    monkeypatch.setattr(
        "kdcore.run.optimizer_trial.create_optimizer",
        lambda spec, groups: Forgetful(groups, lr=0.1, momentum=0.9),
    )
    (problem,) = try_optimizer(OptimizerSpec(), SHAPES).problems
    assert (problem.where, problem.value) == ("optimizer.name", "sgd")


WRONG = [
    ("adamw", {"beta": [0.9, 0.99]}, "beta", "no such option", "betas"),
    ("AdamW", {"ams_grad": True}, "ams_grad", "no such option", "amsgrad"),
    ("lookahead_sgd", {"betas": [0.9, 0.99]}, "betas", "no such option", None),  # timm drops it in silence
    ("kron", {"eps": 1e-8}, "eps", "no such option", None),
    ("sgd", {"lr": 3}, "lr", "optimizer.lr", None),
    ("sgd", {"layer_decay": 0.5}, "layer_decay", "optimizer.layer_decay", None),
    ("sgd", {"fallback_list": ["a"]}, "fallback_list", "no such option", None),
    ("sgd", {"param_group_fn": "f"}, "param_group_fn", "no such option", None),
    ("adamw", {"betas": 0.9}, "betas", "a list of 2 numbers", None),
    ("adamw", {"betas": [0.9, 0.99, 0.999]}, "betas", "a list of 2 numbers", None),
    ("adamw", {"betas": ["0.9", 0.99]}, "betas", "a list of 2 numbers", None),
    ("adamw", {"eps": "1e-8"}, "eps", "a number", None),
    ("adamw", {"eps": float("nan")}, "eps", "a number", None),
    ("adamw", {"eps": True}, "eps", "a number", None),
    ("sgd", {"nesterov": 1}, "nesterov", "true or false", None),
    ("sgd", {"nesterov": "no"}, "nesterov", "true or false", None),
    ("cadafactorbv", {"momentum_dtype": "float8"}, "momentum_dtype", "bfloat16", None),
    ("muon", {"conv_mode": 3}, "conv_mode", "text", None),
    ("kron", {"preconditioner_update_probability": "always"}, "preconditioner_update_probability", "a number", None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options", "option", "words", "near"), WRONG)
def test_wrong_options(name, options, option, words, near):
    with pytest.raises(UserError) as caught:
        made(name, options=options)
    (problem,) = caught.value.problems
    assert problem.where == f"optimizer.options.{option}"
    assert words in str(problem)
    assert problem.nearest == near


def test_every_wrong_option_is_told():
    with pytest.raises(UserError) as caught:
        made("adamw", options={"eps": "x", "beta": 1, "amsgrad": True})
    assert [problem.where for problem in caught.value.problems] == [
        "optimizer.options.eps",
        "optimizer.options.beta",
    ]


def test_a_value_that_the_optimizer_refuses():
    with pytest.raises(UserError, match="Invalid epsilon value: -1"):
        made("adamw", options={"eps": -1.0})


def test_an_optimizer_for_a_gpu(monkeypatch):
    def create(*args, **kwargs):
        raise AssertionError("CUDA required for bitsandbytes optimizers")

    monkeypatch.setattr("kdcore.run.optimizer.create_optimizer_v2", create)
    with pytest.raises(UserError, match="CUDA GPU only") as caught:
        made("bnbadam")
    assert caught.value.problems[0].where == "optimizer.name"


@pytest.mark.parametrize("name", ["SGD", "lookahead_sgd", "sgd"])
def test_sgd_without_momentum_is_not_nesterovs(name):
    _, optimizer = made(name, momentum=0.0)
    assert optimizer.param_groups[0]["nesterov"] is False


DECAYS = {"decay_epochs": 3, "decay_milestones": (2, 5), "decay_rate": 0.5, "patience_epochs": 0}
SCHEDULES = [
    {"warmup_epochs": 2, "warmup_lr": 1e-4, "min_lr": 1e-3},
    {"warmup_epochs": 1, "cooldown_epochs": 1},
    {"warmup_epochs": 1, "per_step": True},
    {"warmup_epochs": 0.5, "per_step": True},
]
EPOCHS, PER_EPOCH, CUT = 8, 5, 4
SCORES = [50.0, 60.0, 60.0, 59.0, 58.0, 58.0, 70.0, 70.0]


def schedule(name, options):
    _, optimizer = made("sgd", layer_decay=0.7)
    spec = SchedulerSpec(name=name, **{**DECAYS, **options})
    return optimizer, build_scheduler(spec, optimizer, epochs=EPOCHS, steps_per_epoch=PER_EPOCH)


def rates(optimizer, scheduler, epochs):
    """Of each group after each step, as a run changes them."""
    seen = []
    scheduler.step(epochs[0], None)
    scheduler.step_update(epochs[0] * PER_EPOCH)
    for epoch in epochs:
        for step in range(PER_EPOCH):
            seen.append([group["lr"] for group in optimizer.param_groups])
            scheduler.step_update(epoch * PER_EPOCH + step + 1)
        scheduler.step(epoch + 1, SCORES[epoch])
        scheduler.step_update((epoch + 1) * PER_EPOCH)
    return seen


def per_epoch(options):
    return {**options, "per_step": False, "warmup_epochs": math.ceil(options["warmup_epochs"])}


@pytest.mark.parametrize("name", sorted(installed.SCHEDULERS - {"none", "rsqrt"}))  # rsqrt needs a warm-up
def test_without_a_warm_up_the_first_epoch_has_the_optimizers_rate(name):
    optimizer, scheduler = schedule(name, {"warmup_epochs": 0})  # once an epoch
    given = [group["lr"] for group in optimizer.param_groups]
    for step in rates(optimizer, scheduler, range(1)):
        assert step == pytest.approx(given, rel=1e-5)  # tanh begins a little below


def test_a_plateau_without_a_warm_up_decays_after_its_patience():
    optimizer, scheduler = schedule("plateau", {"warmup_epochs": 0, "patience_epochs": 2, "decay_rate": 0.5})
    (given, *_) = (group["lr"] for group in optimizer.param_groups)
    found = [step[0] for step in rates(optimizer, scheduler, range(EPOCHS))[::PER_EPOCH]]
    # no better score than that of epoch 2 in the epochs 3, 4 and 5
    assert found == pytest.approx([given] * 5 + [given / 2] * 3)


@pytest.mark.parametrize("options", SCHEDULES)
@pytest.mark.parametrize("name", sorted(installed.SCHEDULERS - {"none"}))
def test_a_resumed_schedule_goes_on_as_the_one_that_was_not_stopped(tmp_path, name, options):
    if name == "plateau":
        options = per_epoch(options)
    optimizer, scheduler = schedule(name, options)
    first = rates(optimizer, scheduler, range(CUT))
    inner = getattr(scheduler, "lr_scheduler", None)
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    plain = {} if inner is None else {k: v for k, v in inner.state_dict().items() if not callable(v)}
    checkpoints.save(1, {"optimizer": optimizer.state_dict(), "plateau": plain})
    rest = rates(optimizer, scheduler, range(CUT, EPOCHS))
    state = checkpoints.load(pytest.fail)
    again, resumed = schedule(name, options)
    again.load_state_dict(state["optimizer"])
    if inner is not None:
        resumed.lr_scheduler.load_state_dict(state["plateau"])
    assert rates(again, resumed, range(CUT, EPOCHS)) == rest
    assert all(rate >= 0 for step in first + rest for rate in step)
    assert any(step != first[-1] for step in first + rest), "it never changes"


@pytest.mark.parametrize(("warmup", "steps"), [(0.4, 2), (0.5, 2), (0.01, 1), (1.4, 7)])
def test_a_warm_up_of_a_part_of_an_epoch_ends_after_the_nearest_whole_step(warmup, steps):
    optimizer, scheduler = schedule("cosine", {"warmup_epochs": warmup, "warmup_lr": 0.0, "per_step": True})
    highest = optimizer.param_groups[-1]["initial_lr"]  # layer decay leaves the head's rate as it is
    found = [step[-1] for step in rates(optimizer, scheduler, range(EPOCHS))]
    assert found[:steps] == pytest.approx([highest * step / steps for step in range(steps)])
    cosine = [0.5 * highest * (1 + math.cos(math.pi * step / (EPOCHS * PER_EPOCH))) for step in range(40)]
    assert found[steps:] == pytest.approx(cosine[steps:])


@pytest.mark.parametrize(("given", "kept"), [(5, "5"), (5.0, "5"), (0.5, "0.5")])
def test_whole_numbers_of_epochs_are_written_as_such(given, kept):
    assert f'"warmup_epochs":{kept},' in SchedulerSpec(warmup_epochs=given, per_step=True).model_dump_json()
    assert str(SchedulerSpec(warmup_epochs=given).model_dump(mode="json")["warmup_epochs"]) == kept


def test_no_schedule():
    assert schedule("none", {})[1] is None


@pytest.mark.parametrize(("name", "options", "where"), [
    ("rsqrt", {}, "scheduler.warmup_epochs"),
    ("plateau", {"per_step": True}, "scheduler.per_step"),
    ("multistep", {"decay_milestones": ()}, "scheduler.decay_milestones"),
    ("wsd", {"decay_epochs": 20.0}, "scheduler.decay_epochs"),
    ("step", {"decay_epochs": 1e-320}, "scheduler.decay_epochs"),
    ("cosine", {"warmup_epochs": 5, "cooldown_epochs": 3}, "scheduler.warmup_epochs"),
    ("cosine", {"warmup_epochs": 0.5}, "scheduler.warmup_epochs"),
])  # fmt: skip
def test_schedules_that_cannot_be(name, options, where):
    with pytest.raises(UserError) as caught:
        schedule(name, options)
    assert [problem.where for problem in caught.value.problems] == [where]


def tried(name, **options):
    optimizer, scheduler = schedule(name, options)
    return try_schedule(
        SchedulerSpec(name=name, **{**DECAYS, **options}), scheduler, optimizer, EPOCHS, PER_EPOCH
    )


@pytest.mark.parametrize("options", SCHEDULES)
@pytest.mark.parametrize("name", sorted(installed.SCHEDULERS - {"none"}))
def test_the_trial_has_nothing_against_a_schedule(name, options):
    assert tried(name, **(per_epoch(options) if name == "plateau" else options)) is None


def test_the_trial_tells_of_a_schedule_that_changes_nothing():
    assert "(150, 180) are later" in tried("multistep", decay_milestones=(150, 180))
    assert "every 90 epochs" in tried("step", decay_epochs=None)


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), -1.0])
def test_the_trial_refuses_what_is_no_learning_rate(rate):
    optimizer, scheduler = schedule("cosine", {})
    scheduler._get_lr = lambda epoch: [rate if epoch == 5 else 0.1] * len(optimizer.param_groups)
    with pytest.raises(UserError, match="'cosine' gives a learning rate of"):
        try_schedule(SchedulerSpec(name="cosine"), scheduler, optimizer, EPOCHS, PER_EPOCH)


def test_the_trial_says_where_a_schedule_fails():
    optimizer, scheduler = schedule("cosine", {})
    scheduler._get_lr = lambda epoch: [0.1 / (3 - epoch)] * len(optimizer.param_groups)
    with pytest.raises(UserError, match="fails in epoch 4: float division by zero"):
        try_schedule(SchedulerSpec(name="cosine"), scheduler, optimizer, EPOCHS, PER_EPOCH)


@pytest.mark.parametrize(
    ("batch", "given", "wanted"),
    [
        (384, {"lr_batch_size": 1536}, 5e-4 * 0.5),
        (6144, {"lr_batch_size": 1536}, 5e-4 * 2),
        (384, {"lr_batch_size": 1536, "lr_scaling": "linear"}, 5e-4 * 0.25),
        (384, {"lr_scaling": "linear"}, 5e-4),
        (1536, {"lr_batch_size": 1536}, 5e-4),
    ],
)
def test_the_learning_rate_for_a_batch_size(batch, given, wanted):
    train = TrainSpec(batch_size=batch // 2, accumulate=2)
    assert scaled_optimizer(OptimizerSpec(lr=5e-4, **given), train).lr == pytest.approx(wanted)


def test_a_run_is_trained_with_the_learning_rate_for_its_batch(spec_file):
    path = spec_file(
        optimizer={"lr": 0.02, "lr_batch_size": 8, "lr_scaling": "linear"},
        scheduler={"name": "none"},
        train={"epochs": 1, "batch_size": 8, "accumulate": 2},
    )
    (record,) = kdcore.run(path, quiet=True).metrics
    assert record["lr"] == pytest.approx(0.04)
    with pytest.raises(UserError, match=r"above optimizer.lr = 0\.01 for this batch size"):
        kdcore.validate(spec_file(optimizer={"lr": 0.02, "lr_batch_size": 64}, scheduler={"min_lr": 0.015}))

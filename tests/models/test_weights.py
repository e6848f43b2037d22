from __future__ import annotations

import sys

import pytest
import timm
import torch

from kdcore import UserError
from kdcore.models.weights import fit_weights


def create(name="test_vit", **options):
    return timm.create_model(name, num_classes=10, **options).eval()


def fit(model, weights, num_classes=10, teacher=False):
    return fit_weights(
        model, weights, num_classes=num_classes, keep_classifier=teacher, where="student.checkpoint"
    )


def test_whole():
    first, second = create(), create()
    images = torch.randn(1, 3, 160, 160)
    assert fit(second, first.state_dict()) == ()
    assert torch.equal(first(images), second(images))


def test_batch_norm_counters_may_be_missing():
    first, second = create("resnet10t"), create("resnet10t")
    weights = {k: v for k, v in first.state_dict().items() if not k.endswith("num_batches_tracked")}
    assert fit(second, weights) == ()
    assert torch.equal(first.conv1[0].weight, second.conv1[0].weight)


def test_short_form_of_what_does_not_fit():
    weights = create("resnet10t").state_dict()
    weights.pop("conv1.0.weight")
    weights["conv1.9.weight"] = torch.zeros(1)
    weights["layer1.0.conv1.weight"] = torch.zeros(1, 2)
    for index in range(5):
        weights[f"extra.{index}"] = torch.zeros(1)
    model = create("resnet10t")
    before = model.conv1[3].weight.clone()
    with pytest.raises(UserError) as caught:
        fit(model, weights)
    (problem,) = caught.value.problems
    assert "1 missing (conv1.0.weight)" in problem.message
    assert "6 unexpected (conv1.9.weight, extra.0, extra.1, ...)" in problem.message
    assert "1 of another shape (layer1.0.conv1.weight [1, 2] instead of [64, 64, 3, 3])" in problem.message
    assert torch.equal(model.conv1[3].weight, before)


def test_position_embeddings_of_another_grid():
    source, target = create(img_size=64, patch_size=8), create(img_size=32, patch_size=8)
    assert fit(target, source.state_dict()) == ()
    assert torch.equal(source.blocks[0].attn.qkv.weight, target.blocks[0].attn.qkv.weight)
    assert target.pos_embed.shape != source.pos_embed.shape


def test_distilled_deit_resamples_too():
    name = "deit_tiny_distilled_patch16_224"
    source, target = create(name, img_size=64, depth=1), create(name, img_size=32, depth=1)
    assert fit(target, source.state_dict()) == ()
    assert torch.equal(source.head_dist.weight, target.head_dist.weight)


@pytest.mark.parametrize("name", ["resnet10t", "test_vit", "deit_tiny_distilled_patch16_224", "levit_128s"])
def test_other_classes(name):
    options = {"depth": 1} if "deit" in name else {}
    source, target = timm.create_model(name, num_classes=7, **options), create(name, **options)
    with pytest.raises(UserError, match="the checkpoint knows 7 classes, the data has 10"):
        fit(target, source.state_dict(), teacher=True)
    classifier = target.get_classifier()
    classifiers = classifier if isinstance(classifier, tuple) else (classifier,)
    before = [parameter.clone() for module in classifiers for parameter in module.parameters()]
    (warning,) = fit(target, source.state_dict())
    assert warning.startswith("student.checkpoint: the checkpoint knows 7 classes, the data has 10")
    after = [parameter for module in classifiers for parameter in module.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    first, second = source.state_dict(), target.state_dict()
    shared = [name for name in first if first[name].shape == second[name].shape and "head" not in name]
    assert all(torch.equal(first[name], second[name]) for name in shared)


def test_weights_of_another_architecture():
    with pytest.raises(UserError):
        fit(create("test_vit"), create("resnet10t").state_dict())
    with pytest.raises(UserError, match="the weights do not fit ResNet"):
        fit(create("resnet10t"), create("test_vit").state_dict())


class Net(torch.nn.Module):
    """A model that is not timm's."""

    num_classes = 10

    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(4, 10)

    def get_classifier(self):
        return self.fc


def renamed(weights, model):
    return {name.replace("linear.", "fc."): value for name, value in weights.items()}


def test_a_model_that_is_not_timms_can_filter_too(monkeypatch):
    weights = {"linear.weight": torch.randn(10, 4), "linear.bias": torch.randn(10)}
    with pytest.raises(UserError, match=r"2 missing \(fc.weight, fc.bias\)"):
        fit(Net(), weights)
    monkeypatch.setattr(sys.modules[__name__], "checkpoint_filter_fn", renamed, raising=False)
    net = Net()
    assert fit(net, weights) == ()
    assert torch.equal(net.fc.weight, weights["linear.weight"])
    with pytest.raises(UserError, match="the checkpoint knows 7 classes, the data has 10"):
        fit(Net(), {name: value[:7] for name, value in weights.items()}, teacher=True)


def test_weights_that_fit_are_not_filtered(monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "checkpoint_filter_fn", lambda *_: {}, raising=False)
    assert fit(Net(), Net().state_dict()) == ()


def test_a_filter_that_fails_is_explained(monkeypatch):
    def fail(weights, model):
        return {"fc.weight": weights["other"]}

    monkeypatch.setattr(sys.modules[__name__], "checkpoint_filter_fn", fail, raising=False)
    with pytest.raises(UserError, match=r"these are not weights of Net \(KeyError: 'other'\)"):
        fit(Net(), {"linear.weight": torch.zeros(10, 4)})


def test_nothing_is_loaded_on_meta():
    model = create("resnet10t")
    before = model.conv1[0].weight.clone()
    weights = {name: value.to("meta") for name, value in create("resnet10t").state_dict().items()}
    assert fit(model, weights) == ()
    assert torch.equal(model.conv1[0].weight, before)


@pytest.mark.parametrize(
    "prefix",
    ["model.", "net.", "backbone.", "student.", "ema.", "model.module.net.", "lit.anything._orig_mod."],
)
@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_a_prefix_on_all_names(name, prefix):
    source, target = create(name), create(name)
    weights = {prefix + key: value for key, value in source.state_dict().items()}
    assert fit(target, weights) == ()
    assert all(torch.equal(source.state_dict()[key], value) for key, value in target.state_dict().items())


def test_wrappers_within_names():
    source, target = create("test_resnet"), create("test_resnet")
    weights = {key.replace("layer1.", "layer1._orig_mod."): v for key, v in source.state_dict().items()}
    assert any("_orig_mod" in key for key in weights)
    fit(target, weights)
    assert torch.equal(source.layer1[0].conv1.weight, target.layer1[0].conv1.weight)


@pytest.mark.parametrize("prefix", ["", "model."])
def test_counters_of_profilers(prefix):
    source, target = create("test_resnet"), create("test_resnet")
    weights = {prefix + key: value for key, value in source.state_dict().items()}
    for layer in ("", "conv1.", "layer1.0."):
        weights[f"{prefix}{layer}total_ops"] = torch.zeros(1, dtype=torch.float64)
        weights[f"{prefix}{layer}total_params"] = torch.zeros(1, dtype=torch.float64)
    weights["n_averaged"] = torch.tensor(3)
    fit(target, weights)
    assert torch.equal(source.fc.weight, target.fc.weight)


def test_a_model_among_other_things():
    source, target = create("test_resnet"), create("test_resnet")
    weights = {f"model.{key}": value for key, value in source.state_dict().items()}
    fit(target, {**weights, "criterion.weight": torch.ones(10)})
    assert torch.equal(source.fc.weight, target.fc.weight)
    several = {**weights, **{f"teacher.{key}": value for key, value in source.state_dict().items()}}
    with pytest.raises(UserError, match=r"holds several models, under model., teacher."):
        fit(target, several)


class Named(torch.nn.Module):
    """A model of whose own names all begin with what could be a prefix."""

    num_classes = 10

    def __init__(self):
        super().__init__()
        self.model = torch.nn.ModuleDict({"model": torch.nn.Linear(3, 10)})


@pytest.mark.parametrize("prefix", ["", "module.", "model."])
def test_own_names_stay(prefix):
    source, target = Named(), Named()
    fit(target, {prefix + key: value for key, value in source.state_dict().items()})
    assert torch.equal(source.model.model.weight, target.model.model.weight)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda value: value * 1j, "fc.weight is complex .complex64., the model's is real"),
        (lambda value: (value * 100).to(torch.int8), "fc.weight holds whole numbers .int8."),
        (
            lambda value: value.index_fill(0, torch.tensor(3), float("nan")),
            "not finite: .* fc.weight .96 of 960",
        ),
        (lambda value: value.index_fill(0, torch.tensor(3), float("inf")), "weights are not finite"),
        (lambda value: value.double() + 1e300, "weights are not finite"),
    ],
    ids=["complex", "codes", "nan", "infinite", "too-large"],
)
def test_numbers_that_are_no_weights(change, message):
    weights = create("test_resnet").state_dict()
    weights["fc.weight"] = change(weights["fc.weight"])
    target = create("test_resnet")
    before = target.fc.weight.clone()
    with pytest.raises(UserError, match=message) as caught:
        fit(target, weights)
    assert caught.value.problems[0].where == "student.checkpoint"
    assert torch.equal(before, target.fc.weight)


def torch_std(classifier):
    return (3 * classifier.in_features) ** -0.5


@pytest.mark.parametrize("lacking", [False, True])
def test_a_new_classifier_of_an_efficientnet_has_weights_of_torchs_size(lacking):
    weights = timm.create_model("mobilenetv2_035", num_classes=7).state_dict()
    if lacking:
        weights = {name: value for name, value in weights.items() if not name.startswith("classifier.")}
    model = create("mobilenetv2_035")
    before = model.classifier.weight.detach().clone()
    assert before.std() > 10 * torch_std(model.classifier)  # U(-1/sqrt(10), 1/sqrt(10))
    (warning,) = fit(model, weights)
    assert "initial values" in warning
    after = model.classifier.weight.detach()
    assert after.std(correction=0).item() == pytest.approx(torch_std(model.classifier), rel=1e-5)
    torch.testing.assert_close(after / after.std(), before / before.std())
    assert torch.equal(model.conv_stem.weight, weights["conv_stem.weight"])


@pytest.mark.parametrize("name", ["resnet10t", "test_vit"])
def test_a_new_classifier_of_usual_size_stays(name):
    model = create(name)
    head = model.get_classifier()
    before = head.weight.detach().clone()
    assert fit(model, timm.create_model(name, num_classes=7).state_dict())
    assert torch.equal(head.weight, before)


def test_the_checkpoints_classifier_stays_whatever_its_size():
    first, second = create("mobilenetv2_035"), create("mobilenetv2_035")
    assert fit(second, first.state_dict()) == ()
    assert torch.equal(first.classifier.weight, second.classifier.weight)

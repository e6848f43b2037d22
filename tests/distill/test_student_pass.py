"""Another pass of the student inside a step."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from torch import nn

from kdcore import Distillation, Progress, Requires
from kdcore.distill.gather import WholeBatch
from kdcore.protocols import Batch, ModelOutput

VIT = {"img_size": 32, "patch_size": 8, "depth": 2, "embed_dim": 24, "num_heads": 3, "num_classes": 5}


class Again(nn.Module):
    """What `call` gives of the student and the images."""

    def __init__(self, call, **requires):
        super().__init__()
        self.requires = Requires(teacher=False, **{"student_pass": True, **requires})
        self.call = call
        self.token = nn.Parameter(torch.ones(24))

    def forward(self, student, teacher, batch, progress):
        found = self.call(student, batch.images, self.token)
        return {"term": found.logits.square().mean() + 0 * self.token.sum() + 0 * student.logits.sum()}


def vit(**options):
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", **{**VIT, **options})
    nn.init.normal_(model.head.weight)
    return model


def built(call, model=None, **requires):
    return Distillation(
        model or vit(), None, Again(call, **requires), num_classes=5, image_size=32, task_weight=1.0
    )


IMAGES, TARGET = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)), torch.arange(2)


def test_it_is_the_student_with_what_the_distillers_read():
    seen = []

    def call(student, images, token):
        seen.append(student.student_pass(images.flip(-1)))
        return seen[-1]

    distillation = built(call, student_stages=(4, "blocks.0"), student_embedding=True)
    output = distillation(IMAGES, TARGET)
    assert torch.allclose(seen[0].logits, distillation.student(IMAGES.flip(-1)), atol=1e-6)
    assert list(seen[0].features) == [4, "blocks.0"]
    assert seen[0].embedding.shape == (2, 24)
    output.terms["term"].backward()
    assert distillation.student.blocks[0].attn.qkv.weight.grad.any()


@pytest.mark.parametrize("options", [{}, {"dynamic_img_size": True}], ids=["tokens", "grid"])
def test_masked_patches_are_the_token(options):
    mask = torch.arange(32).view(2, 16) % 3 == 0
    distillation = built(
        lambda student, images, token: student.student_pass(images, mask, mask_token=token), vit(**options)
    )
    model = distillation.student
    first = distillation(IMAGES, TARGET).terms["term"]
    changed = IMAGES.clone().unflatten(2, (4, 8)).unflatten(4, (4, 8))
    hidden = mask.view(2, 1, 4, 1, 4, 1).expand_as(changed)
    changed = torch.where(hidden, torch.randn_like(changed), changed).flatten(4, 5).flatten(2, 3)
    assert torch.allclose(distillation(changed, TARGET).terms["term"], first, atol=1e-6), "they are not seen"
    assert not torch.allclose(model(changed), model(IMAGES), atol=1e-3)
    first.backward()
    assert distillation.distillers[0].token.grad.any()
    assert not model.patch_embed._forward_hooks


def test_without_a_token_they_are_zeros():
    mask = torch.ones(2, 16, dtype=torch.bool)
    distillation = built(lambda student, images, token: student.student_pass(images, mask))
    values = [distillation(images, TARGET).terms["term"] for images in (IMAGES, IMAGES + 1)]
    assert torch.equal(*values)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s, i, t: s.student_pass(i, torch.ones(2, 5, dtype=torch.bool)), r"allowed: bool \[2, 16\]"),
        (lambda s, i, t: s.student_pass(i, torch.ones(2, 16)), "mask is float32"),
        (lambda s, i, t: s.student_pass(i, ema=True), "set Requires.student_momentum"),
    ],
    ids=["shape", "type", "average"],
)
def test_wrong_calls(call, message):
    with pytest.raises(ValueError, match=message):
        built(call)(IMAGES, TARGET)


def test_a_network_without_patches_cannot_be_masked():
    net = timm.create_model("resnet10t", channels=(4, 4, 8, 8), num_classes=5)
    mask = torch.ones(2, 16, dtype=torch.bool)
    with pytest.raises(ValueError, match="patches of ResNet cannot be masked"):
        built(lambda student, images, token: student.student_pass(images, mask), net)(IMAGES, TARGET)


def test_the_average_moves_once_per_training_pass_and_is_part_of_the_state():
    seen = []

    def call(student, images, token):
        seen.append(student.student_pass(images, ema=True))
        return seen[-1]

    distillation = built(call, student_momentum=0.75)
    model, weight = distillation.student, distillation.student.head.weight
    mean = weight.detach().clone()
    optimizer = torch.optim.SGD([one for one in distillation.parameters() if one.requires_grad], 0.1)
    for _ in range(3):
        mean = 0.75 * mean + 0.25 * weight.detach()
        distillation(IMAGES, TARGET).loss.backward()
        torch.testing.assert_close(distillation.average.head.weight, mean)
        assert not seen[-1].logits.requires_grad
        assert torch.allclose(seen[-1].logits, distillation.average(IMAGES), atol=1e-6)
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        distillation(IMAGES, TARGET)
    distillation.eval()(IMAGES, TARGET)
    torch.testing.assert_close(distillation.average.head.weight, mean, msg="only in training")
    other = built(call, student_momentum=0.75)
    other.load_state_dict(copy.deepcopy(distillation.state_dict()))
    torch.testing.assert_close(other.average.head.weight, mean)
    assert not any(parameter.requires_grad for parameter in distillation.average.parameters())
    assert model.head.weight.requires_grad


def test_the_average_moves_once_in_a_step_of_several_batches():
    distillation = built(lambda student, images, token: student.student_pass(images), student_momentum=0.75)
    weight, mean = distillation.student.head.weight, distillation.average.head.weight
    expected = mean.clone()
    with torch.no_grad():
        weight.add_(1.0)
    for step in (0, 0, 1, 1, 1, 2):
        distillation(IMAGES, TARGET, progress=Progress(epoch=0.0, step=step, total_steps=3, total_epochs=1))
    expected = 0.75**3 * expected + (1 - 0.75**3) * weight.detach()
    torch.testing.assert_close(mean, expected)


def test_requirements():
    assert Requires(student_momentum=0.9).student_pass
    assert Requires(student_momentum=0.9).union(Requires(student_momentum=0.9)).student_momentum == 0.9
    assert Requires(student_pass=True).union(Requires()).student_pass
    with pytest.raises(ValueError, match=r"decays 0\.9 and 0\.99 cannot both be kept"):
        Requires(student_momentum=0.9).union(Requires(student_momentum=0.99))
    with pytest.raises(ValueError, match=r"student_momentum is 1\.5"):
        Requires(student_momentum=1.5)


def test_a_distiller_over_the_whole_batch_gets_it_if_it_requires_it():
    student = ModelOutput(torch.zeros(2, 3), student_pass=lambda images: None)
    batch = Batch(torch.zeros(2, 3, 4, 4), None)
    for wanted in (True, False):
        given, _, _ = WholeBatch().for_distiller(Requires(student_pass=wanted), student, None, batch)
        assert (given.student_pass is not None) is wanted

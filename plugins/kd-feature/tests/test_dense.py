from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from kd_feature import Dense, hint_loss
from kd_feature.options.embeddings import DenseOptions
from kd_feature.tokens import blocks_of
from torch.nn import functional as F

from kdcore import ModelInfo, StageInfo, UserError
from kdcore.errors import Problem


@pytest.mark.parametrize("pair", [("cnn", "vit"), ("vit", "cnn")], ids="-".join)
def test_the_students_map_is_projected_then_resized(make_setup, output, step, pair):
    setup = make_setup(*pair)
    distiller = Dense(DenseOptions(weight=2.0), setup)
    student, teacher = output(setup.student, (4,)), output(setup.teacher, (4,), seed=1)
    (linear,) = distiller.projection
    projected = F.conv2d(student.features[4].map, linear.weight[:, :, None, None], linear.bias)
    target = teacher.features[4].map
    expected = hint_loss(F.interpolate(projected, target.shape[2:], mode="bilinear"), target)
    torch.testing.assert_close(step(distiller, student, teacher)["dense"], 2 * expected)


def test_several_maps_of_the_teacher_are_joined(make_setup, output, step):
    setup = make_setup("cnn", "vit")
    distiller = Dense(DenseOptions(teacher_stages=(3, 4), hidden_layers=1), setup)
    names = [type(layer).__name__ for layer in distiller.projection]
    assert names == ["Linear", "LayerNorm", "GELU", "Linear"]
    assert list(distiller.projection[3].weight.shape) == [24, 2048]
    student, teacher = output(setup.student, (4,)), output(setup.teacher, (3, 4), seed=1)
    assert step(distiller, student, teacher)["dense"].isfinite()


def test_maps_of_two_grids_cannot_be_joined(make_setup):
    with pytest.raises(ValueError, match="different grids"):
        Dense(DenseOptions(teacher_stages=(3, 4)), make_setup("vit", "cnn"))


def _transformer(grids):
    blocks = torch.nn.Sequential(*(torch.nn.Identity() for _ in range(3)))

    def probe(refs):
        for ref in refs:
            if isinstance(ref, str) and not ref.startswith("blocks."):
                raise UserError(Problem("model", f"no {ref}"))
        return tuple(StageInfo(ref, 8, grids.get(ref, (4, 4))) for ref in refs)

    return ModelInfo(
        "model",
        num_parameters=1,
        classifier=None,
        probe=probe,
        probe_embedding=lambda: 8,
        find_module=lambda path: blocks,
    )


def test_the_blocks_of_a_transformer(model):
    assert blocks_of(_transformer({})) == ("blocks.0", "blocks.1", "blocks.2")
    assert blocks_of(_transformer({"blocks.1": (8, 8)})) == ()
    assert blocks_of(model("cnn")) == ()


def test_by_default_the_last_two_blocks_of_a_teacher(make_setup):
    setup = replace(make_setup(), teacher=_transformer({}))
    assert Dense(DenseOptions(), setup).requires.teacher_stages == ("blocks.1", "blocks.2")
    assert Dense(DenseOptions(), make_setup()).requires.teacher_stages == (4,)

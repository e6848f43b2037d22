"""AttnDistill: match where the class token looks in the last block, and the class token itself."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from kd_feature.fitnet import hint_loss
from kd_feature.stages import teacher_of
from kd_feature.tokens import blocks_of, class_token, resolved
from kdcore import Batch, ModelInfo, ModelOutput, Progress, Requires, Setup, Stage, StageInfo
from kdcore.ops import at_least_float32, check_positive, full_precision, prepare_features

if TYPE_CHECKING:
    from kd_feature.options.embeddings import AttnDistillOptions

_LEAST, _MOST = 1e-5, 0.996  # from the authors' code: probabilities are kept within these


def attn_distill_loss(
    student_attention: Tensor, teacher_attention: Tensor, temperature: float = 20.0, aggregate: bool = True
) -> Tensor:
    """KL of the teacher's attention of the class token from the student's, the mean over the batch.

    With `aggregate`, the heads are multiplied: softmax(sum over the heads of log a / temperature). Without it, the
    models have equally many heads, and their divergences are added. Probabilities are kept within 1e-5 and 0.996, and
    divided by their sum.

    Attentions are `[B, heads, 1 + N]`, with the class token's share first; N has to be equal (see `on_students_grid`).
    The gradient goes to the student only. The result is float32 if the attentions have a narrower type, otherwise it
    has the type of the student's.

    Source: Wang et al., "Attention Distillation: self-supervised vision transformer students need more guidance", BMVC
    2022, and the authors' code.

    Raises:
        ValueError: the shapes or types do not fit, or the temperature is not above 0.
    """
    check_positive("temperature", temperature)
    student, teacher = prepare_features(student_attention, teacher_attention, dims=3)
    if student.shape[2] != teacher.shape[2] or not (aggregate or student.shape == teacher.shape):
        raise ValueError(
            f"student_attention has shape {list(student.shape)}, teacher_attention {list(teacher.shape)}; both must be "
            "[B, heads, 1 + N] with equal N, and with equally many heads unless aggregate is True"
        )
    with full_precision(student.device):
        if aggregate:
            student, teacher = (_product_of_heads(one, temperature) for one in (student, teacher))
        log_student, log_teacher = _bounded_log(student), _bounded_log(teacher)
        return F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)


def _product_of_heads(attention: Tensor, temperature: float) -> Tensor:
    logs: Tensor = _SumOfLogs.apply(attention)
    return F.softmax(logs / temperature, dim=-1)


class _SumOfLogs(torch.autograd.Function):
    """The sum over the heads of the logarithms; an attention of 0 counts as the smallest number, without a gradient.

    Only the attention itself is kept for the backward pass.
    """

    @staticmethod
    def forward(ctx: Any, attention: Tensor) -> Tensor:
        ctx.save_for_backward(attention)
        return attention.clamp(min=torch.finfo(attention.dtype).tiny).log_().sum(dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (attention,) = ctx.saved_tensors
        least = torch.finfo(attention.dtype).tiny
        slope: Tensor = grad.unsqueeze(1) / attention  # infinite at most where it becomes 0
        return slope.masked_fill_(attention <= least, 0.0)


def _bounded_log(probabilities: Tensor) -> Tensor:
    bounded = probabilities.clamp(min=_LEAST, max=_MOST)
    return bounded.log() - bounded.sum(dim=-1, keepdim=True).log()


def on_students_grid(attention: Tensor, grid: tuple[int, int], wanted: tuple[int, int]) -> Tensor:
    """An attention `[B, heads, 1 + h * w]`, resized bicubically; the class token's share stays.

    The patches' shares are scaled to the rest of 1. Bicubic values below 0 become 0.
    """
    if grid == wanted:
        return attention
    own, of_patches = attention[..., :1], attention[..., 1:]
    maps = of_patches.reshape(*of_patches.shape[:2], *grid)
    resized = F.interpolate(maps, wanted, mode="bicubic", align_corners=False)
    resized = resized.flatten(2).clamp(min=0)
    scale = (1 - own) / resized.sum(dim=-1, keepdim=True).clamp(min=1e-12)
    return torch.cat([own, resized * scale], dim=-1)


class AttnDistill(nn.Module):
    """The distiller `attndistill`, with the loss terms `attention` and `token`, for two transformers with class tokens.

    The student's class token goes through an MLP of four linear layers to the teacher's dimension.

    Raises:
        ValueError: there is no teacher, or a model has no class token or no attention over all tokens.
        UserError: a model has no such stage.
    """

    def __init__(self, options: AttnDistillOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        models = (setup.student, teacher_of(setup))
        chosen = (options.student_attention, options.teacher_attention)
        self.attentions = tuple(
            last_attention(model) if stage is None else stage
            for model, stage in zip(models, chosen, strict=True)
        )
        self.tokens = tuple(resolved("last", model) for model in models)
        infos = [model.stage(stage) for model, stage in zip(models, self.tokens, strict=True)]
        self.prefixes, self.grids = _checked(infos)
        heads = [model.stage(stage).channels for model, stage in zip(models, self.attentions, strict=True)]
        if not options.aggregate and heads[0] != heads[1]:
            raise ValueError(
                f"the student's attention has {heads[0]} heads and the teacher's has {heads[1]}; set aggregate to true"
            )
        self.projection = _mlp(infos[0].channels, infos[1].channels)
        stages = list(zip(self.attentions, self.tokens, strict=True))
        self.requires = Requires(student_stages=stages[0], teacher_stages=stages[1], teacher_logits=False)

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return both loss terms, weighted."""
        options = self.options
        outputs = (student, teacher)
        rows = [
            _class_row(output.features[stage].map, prefix)
            for output, stage, prefix in zip(outputs, self.attentions, self.prefixes, strict=True)
        ]
        of_teacher = on_students_grid(at_least_float32(rows[1].detach()), self.grids[1], self.grids[0])
        attention = attn_distill_loss(rows[0], of_teacher, options.temperature, options.aggregate)
        of_class = [
            class_token(output.features[stage]) for output, stage in zip(outputs, self.tokens, strict=True)
        ]
        with full_precision(of_class[0].device):
            token = hint_loss(self.projection(at_least_float32(of_class[0])), of_class[1])
        return {
            "attention": options.weight * options.attention_weight * attention,
            "token": options.weight * options.token_weight * token,
        }


def _class_row(attention: Tensor, prefix: int) -> Tensor:
    """The class token's row `[B, heads, 1 + N]` of an attention; register tokens' shares are left out."""
    row = attention[:, :, 0]
    return row if prefix == 1 else torch.cat([row[..., :1], row[..., prefix:]], dim=-1)


def _checked(infos: list[StageInfo]) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...]]:
    for whose, info in zip(("student", "teacher"), infos, strict=True):
        if info.prefix_tokens < 1:
            raise ValueError(
                f"the {whose} has no class token; attndistill needs two transformers with class tokens"
            )
    return tuple(info.prefix_tokens for info in infos), tuple(info.grid for info in infos)


def last_attention(model: ModelInfo) -> Stage:
    """The attention of the last block of a transformer that has its blocks in one list.

    Raises:
        ValueError: there is none.
    """
    blocks = blocks_of(model)
    if not blocks:
        raise ValueError(
            f"{model.name} has no blocks with an attention over all tokens; name the stage, 'attention:PATH'"
        )
    return f"attention:{blocks[-1]}.attn"


def _mlp(inputs: int, outputs: int) -> nn.Sequential:
    widths = (inputs, 2 * inputs, inputs, 2 * inputs, outputs)
    layers: list[nn.Module] = [nn.LayerNorm(inputs, eps=1e-6)]
    for number, (width, wider) in enumerate(pairwise(widths)):
        layers += [nn.GELU()] if number else []
        layers.append(nn.Linear(width, wider))
    return nn.Sequential(*layers)

"""SRRL: the student's features match the teacher's, and give the same logits in the teacher's classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from kd_feature.classifiers import classifier_of, classify, pools_last_map
from kd_feature.grids import check_same_channels
from kd_feature.heads import conv_norm
from kd_feature.stages import teacher_of
from kdcore import Requires
from kdcore.ops import embeddings_of, prepare_features, prepare_logits

if TYPE_CHECKING:
    from kd_feature.options.classifiers import SRRLOptions
    from kdcore import Batch, ModelOutput, Progress, Setup


def srrl_loss(
    student_map: Tensor,
    teacher_map: Tensor,
    crossed_logits: Tensor,
    teacher_logits: Tensor,
    beta: float = 1.0,
) -> Tensor:
    """The mean squared difference of the pooled features, plus `beta` times that of the logits.

    Both maps are `[B, C, H, W]` with equal B and C, both logits `[B, K]`. `crossed_logits` are those of the student's
    pooled features in the teacher's classifier. The gradient goes to the student only. The result is float32 if the
    map has a narrower type, otherwise it has the type of the student's map.

    Source: Yang et al., "Knowledge Distillation via Softmax Regression Representation Learning", ICLR 2021, equations
    3 and 4, with the means of the authors' code.

    Raises:
        ValueError: the shapes or types do not fit.
    """
    check_same_channels(student_map, teacher_map)
    student, teacher = prepare_features(student_map, teacher_map, dims=4)
    ours, theirs = prepare_logits(crossed_logits, teacher_logits)
    loss = F.mse_loss(student.mean(dim=(2, 3)), teacher.mean(dim=(2, 3)))
    return loss + beta * F.mse_loss(ours, theirs).to(loss.dtype)


class SRRL(nn.Module):
    """The distiller `srrl`, with the loss term `srrl`: `srrl_loss` after a 1x1 convolution, batch norm and ReLU.

    The head is on the last map if the teacher's classifier reads the means of its last map, as in ResNet; otherwise on
    the embedding. It has batch norm, so it sees the whole batch.

    Raises:
        ValueError: there is no teacher.
        UserError: the teacher has no classifier, or a model gives no features.
    """

    def __init__(self, options: SRRLOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        teacher = teacher_of(setup)
        self.classifier = (classifier_of(teacher, "srrl"),)  # in a tuple, because it is not trained
        self.on_map = options.connector == "map"
        if options.connector == "auto":
            self.on_map = bool(pools_last_map(teacher))
        if self.on_map and teacher.stage(4).channels != teacher.embedding_dim:
            raise ValueError(
                f"the teacher's classifier reads {teacher.embedding_dim} values and its last map has "
                f"{teacher.stage(4).channels} channels; set 'connector' to 'embedding'"
            )
        channels = setup.student.stage(4).channels if self.on_map else setup.student.embedding_dim
        self.connector = conv_norm(channels, teacher.embedding_dim, from_fan_out=True)
        self.requires = Requires(
            student_stages=(4,) if self.on_map else (),
            student_embedding=not self.on_map,
            teacher_embedding=True,
            whole_batch=True,
        )

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        if self.on_map:
            ours, theirs = student.features[4].map, teacher.embedding
        else:
            embedding, theirs = embeddings_of(student, teacher)
            ours = embedding[:, :, None, None]
        assert theirs is not None
        assert teacher.logits is not None
        crossed = F.relu(self.connector(ours))
        logits = classify(self.classifier[0], crossed.mean(dim=(2, 3)))
        loss = srrl_loss(crossed, theirs[:, :, None, None], logits, teacher.logits, self.options.beta)
        return {"srrl": self.options.weight * loss}

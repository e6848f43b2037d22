"""What this plugin declares. Imports no torch."""

from __future__ import annotations

from kdcore import DistillerEntry, Paper, RecipeEntry, Suits, hookimpl

PLUGIN_API = 1

_NKD = Paper(
    title="From Knowledge Distillation to Self-Knowledge Distillation: "
    "A Unified Approach with Normalized Loss and Customized Soft Labels",
    year=2023,
    url="https://arxiv.org/abs/2303.13005",
)
_DIST = Paper(
    title="Knowledge Distillation from A Stronger Teacher",
    year=2022,
    url="https://arxiv.org/abs/2205.10536",
)


@hookimpl
def kd_distillers() -> list[DistillerEntry]:
    """The four logit methods, each with the weight of the task loss in its authors' recipe."""
    return [
        DistillerEntry(
            name="kd",
            kind="logit",
            summary="Match the teacher's softened class probabilities.",
            target="kd_classic.kd:KD",
            options="kd_classic.options:KDOptions",
            paper=Paper(
                title="Distilling the Knowledge in a Neural Network",
                year=2015,
                url="https://arxiv.org/abs/1503.02531",
            ),
            task_weight=0.1,
            formula="T^2 * KL(softmax(t/T) || softmax(s/T))",
            suits=(Suits("any", "the plain method", rank=90),),
            settings="kd_classic:settings/kd.toml",
        ),
        DistillerEntry(
            name="dkd",
            kind="logit",
            summary="KD with separate weights for the target class and the other classes.",
            target="kd_classic.dkd:DKD",
            options="kd_classic.options:DKDOptions",
            paper=Paper(
                title="Decoupled Knowledge Distillation",
                year=2022,
                url="https://arxiv.org/abs/2203.08679",
            ),
            formula="T^2 * (alpha * KL([pt_y, 1-pt_y] || [ps_y, 1-ps_y]) + beta * KL(pt_other || ps_other)), "
            "p = softmax(logits/T)",
            suits=(
                Suits("same family", "strong for pairs of one family", rank=10),
                Suits("other family", "strong for pairs of one family", rank=20),
            ),
            settings="kd_classic:settings/dkd.toml",
        ),
        DistillerEntry(
            name="nkd",
            kind="logit",
            summary="Cross-entropy weighted by the teacher's target score, plus normalised other classes.",
            target="kd_classic.nkd:NKD",
            options="kd_classic.options:NKDOptions",
            paper=_NKD,
            formula="-pt_y * log ps_y - gamma * T^2 * sum(softmax(t_other/T) * log softmax(s_other/T)), "
            "p = softmax(logits)",
            settings="kd_classic:settings/nkd.toml",
        ),
        DistillerEntry(
            name="dist",
            kind="logit",
            summary="Correlate with the teacher's probabilities, within each sample and within each class.",
            target="kd_classic.dist:DIST",
            options="kd_classic.options:DISTOptions",
            paper=_DIST,
            formula="T^2 * (beta * (1 - mean_rows corr(ps, pt)) + gamma * (1 - mean_columns corr(ps, pt))), "
            "p = softmax(logits/T)",
            suits=(
                Suits("same family", "for a teacher that is much stronger", rank=20),
                Suits("other family", "for teachers that are much stronger or of another kind", rank=10),
                Suits("other kind", "matches relations of the logits, whatever the family", rank=20),
            ),
            settings="kd_classic:settings/dist.toml",
        ),
    ]


@hookimpl
def kd_recipes() -> list[RecipeEntry]:
    """The training settings of these methods' own papers; settings that several papers share are the core's."""
    return [
        RecipeEntry(
            name="cifar-200",
            summary="NKD's CIFAR-100: 200 epochs of SGD at 0.1 in three steps of 0.2, whole batch 128.",
            path="kd_classic:recipes/cifar-200.toml",
            paper=_NKD,
        ),
        RecipeEntry(
            name="imagenet-100-dist",
            summary="DIST's strategy B1: 100 epochs of Nesterov SGD at 0.1, a tenth every 30, whole batch 256.",
            path="kd_classic:recipes/imagenet-100-dist.toml",
            paper=_DIST,
        ),
    ]

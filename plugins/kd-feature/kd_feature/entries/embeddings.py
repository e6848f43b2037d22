"""Entries of the methods that compare embeddings and tokens of encoders. Imports no torch."""

from __future__ import annotations

from kdcore import DistillerEntry, Paper

ENTRIES: tuple[DistillerEntry, ...] = (
    DistillerEntry(
        name="vkd",
        kind="embedding",
        summary="Match the teacher's normalised features after an orthogonal projection of the student's.",
        target="kd_feature.vkd:VkD",
        options="kd_feature.options.embeddings:VkDOptions",
        paper=Paper(
            title="VkD: Improving Knowledge Distillation using Orthogonal Projections",
            year=2024,
            url="https://arxiv.org/abs/2403.06213",
        ),
        needs=("teacher", "features"),
        formula="huber(P s, layer_norm(t)), P orthogonal",
    ),
    DistillerEntry(
        name="dense",
        kind="embedding",
        summary="Match the teacher's last feature maps position by position, without labels.",
        target="kd_feature.dense:Dense",
        options="kd_feature.options.embeddings:DenseOptions",
        paper=Paper(
            title="Knowledge distillation: A good teacher is patient and consistent",
            year=2022,
            url="https://arxiv.org/abs/2106.05237",
        ),
        needs=("teacher", "features", "layers"),
        formula="mean (linear(s) - [t_1, t_2])^2",
    ),
    DistillerEntry(
        name="cosine",
        kind="embedding",
        summary="Match the directions of embeddings and tokens, and the sizes of tokens by smooth L1.",
        target="kd_feature.cosine:Cosine",
        options="kd_feature.options.embeddings:CosineOptions",
        paper=Paper(
            title="AM-RADIO: Agglomerative Vision Foundation Model -- Reduce All Domains Into One",
            year=2024,
            url="https://arxiv.org/abs/2312.06709",
        ),
        needs=("teacher", "features", "embeddings"),
        formula="1 - cos of embeddings + 0.9 * (1 - cos) + 0.1 * huber of tokens",
    ),
    DistillerEntry(
        name="pad",
        kind="embedding",
        summary="Match embeddings, with a predicted variance that reduces the weight of hard samples.",
        target="kd_feature.pad:PAD",
        options="kd_feature.options.embeddings:PADOptions",
        paper=Paper(
            title="Prime-Aware Adaptive Distillation",
            year=2020,
            url="https://arxiv.org/abs/2008.01458",
        ),
        needs=("teacher", "embeddings"),
        formula="mean (s - t)^2 / (eps + exp(v)) + v, v a prediction from s",
    ),
    DistillerEntry(
        name="nd",
        kind="embedding",
        summary="Move embeddings in the direction of the class's mean teacher embedding, up to the teacher's norm.",
        target="kd_feature.nd:ND",
        options="kd_feature.options.embeddings:NDOptions",
        paper=Paper(
            title="Improving Knowledge Distillation via Regularizing Feature Norm and Direction",
            year=2023,
            url="https://arxiv.org/abs/2305.17007",
        ),
        needs=("teacher", "embeddings", "labels", "every-label", "prepare-pass"),
        formula="mean 1 - <s, c_y> / max(|s|, |t|), c_y the unit mean of t over class y",
    ),
    DistillerEntry(
        name="theia",
        kind="embedding",
        summary="Match all tokens of an image as one vector, after a convolutional head.",
        target="kd_feature.theia:Theia",
        options="kd_feature.options.embeddings:TheiaOptions",
        paper=Paper(
            title="Theia: Distilling Diverse Vision Foundation Models for Robot Learning",
            year=2024,
            url="https://arxiv.org/abs/2407.20179",
        ),
        needs=("teacher", "features", "prepare-pass"),
        formula="0.9 * (1 - cos of all tokens as one vector) + 0.1 * huber",
    ),
    DistillerEntry(
        name="proteus",
        kind="embedding",
        summary="Match the teacher's class token and all its tokens, without labels.",
        target="kd_feature.proteus:Proteus",
        options="kd_feature.options.embeddings:ProteusOptions",
        paper=Paper(
            title="Accessing Vision Foundation Models via ImageNet-1K",
            year=2025,
            url="https://arxiv.org/abs/2407.10366",
        ),
        needs=("teacher", "features", "second-pass"),
        formula="mean (head(s_class) - t_class)^2 + mean (head(s_all) - t_all)^2 + mean (head(s'_hidden) - t_hidden)^2",
    ),
    DistillerEntry(
        name="cospress",
        kind="embedding",
        summary="Compress the teacher's tokens so that cosines stay, and match the result without a head.",
        target="kd_feature.cospress:CosPress",
        options="kd_feature.options.embeddings:CosPressOptions",
        paper=Paper(
            title="Preserving Angles Improves Feature Distillation",
            year=2025,
            url="https://arxiv.org/abs/2411.15239",
        ),
        needs=("teacher", "features"),
        formula="1 - cos(s, h(t)) of all tokens and of the class token; h trained by sum P log (P / Q) of neighbours",
    ),
    DistillerEntry(
        name="attndistill",
        kind="embedding",
        summary="Match where the class token looks in the last block, and the class token.",
        target="kd_feature.attndistill:AttnDistill",
        options="kd_feature.options.embeddings:AttnDistillOptions",
        paper=Paper(
            title="Attention Distillation: self-supervised vision transformer students need more guidance",
            year=2022,
            url="https://arxiv.org/abs/2210.00944",
        ),
        needs=("teacher", "features", "attention", "layers"),
        formula="attention_weight * KL(a_t || a_s) + token_weight * mean (mlp(s) - t)^2, "
        "a of all heads: softmax(sum log a / T)",
    ),
    DistillerEntry(
        name="unic",
        kind="embedding",
        summary="Learn from several teachers at once, and for each image mostly from the one that is matched worst.",
        target="kd_feature.unic:UNIC",
        options="kd_feature.options.embeddings:UNICOptions",
        needs=("teacher", "several-teachers", "features", "layers"),
        paper=Paper(
            title="UNIC: Universal Classification Models via Multi-teacher Distillation",
            year=2024,
            url="https://arxiv.org/abs/2408.05088",
        ),
        formula="mean over kept teachers of 0.5 * (1 - cos) + 0.5 * huber, of class token and patches, t standardised",
    ),
)

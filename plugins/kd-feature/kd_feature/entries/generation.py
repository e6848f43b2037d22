"""Entries of the methods whose heads make the teacher's maps from the student's. Imports no torch."""

from __future__ import annotations

from kdcore import DistillerEntry, Paper

ENTRIES: tuple[DistillerEntry, ...] = (
    DistillerEntry(
        name="reviewkd",
        kind="feature",
        summary="Match the teacher's maps by the student's map of that stage and all deeper ones together.",
        target="kd_feature.reviewkd:ReviewKD",
        options="kd_feature.options.generation:ReviewKDOptions",
        needs=("teacher", "features", "embeddings", "whole-batch", "layers"),
        paper=Paper(
            title="Distilling Knowledge via Knowledge Review",
            year=2021,
            url="https://arxiv.org/abs/2104.09044",
        ),
        formula="sum over stages i of hcl(u_i, t_i), u_i = fusion(s_i, fusion(s_i+1, ...))",
        settings="kd_feature:settings/reviewkd.toml",
    ),
    DistillerEntry(
        name="mgd",
        kind="feature",
        summary="Generate the teacher's map from the student's map with some channels hidden.",
        target="kd_feature.mgd:MGD",
        options="kd_feature.options.generation:MGDOptions",
        needs=("teacher", "features"),
        paper=Paper(
            title="Masked Generative Distillation", year=2022, url="https://arxiv.org/abs/2205.01529"
        ),
        formula="sum (generator(mask * align(s)) - t)^2 / B",
        settings="kd_feature:settings/mgd.toml",
    ),
    DistillerEntry(
        name="vitkd",
        kind="feature",
        summary="Mimic the first blocks of a ViT, and generate its last features from some of the tokens.",
        target="kd_feature.vitkd:ViTKD",
        options="kd_feature.options.generation:ViTKDOptions",
        needs=("teacher", "features", "tokens"),
        paper=Paper(
            title="ViTKD: Practical Guidelines for ViT feature knowledge distillation",
            year=2024,
            url="https://arxiv.org/abs/2209.02432",
        ),
        formula="a * sum (align(s_first) - t_first)^2 / B + b * sum over hidden tokens (made - t_last)^2 / (B r)",
    ),
    DistillerEntry(
        name="ofd",
        kind="feature",
        summary="Match the teacher's maps before the ReLU, with one margin for what is far below 0.",
        target="kd_feature.ofd:OFD",
        options="kd_feature.options.generation:OFDOptions",
        needs=("teacher", "features", "layers", "whole-batch"),
        paper=Paper(
            title="A Comprehensive Overhaul of Feature Distillation",
            year=2019,
            url="https://arxiv.org/abs/1904.01866",
        ),
        formula="sum over stages i of 2^(i - n) * sum (head(s) - max(t, m))^2 / B, where s > max(t, m) or t > 0",
        settings="kd_feature:settings/ofd.toml",
    ),
    DistillerEntry(
        name="scalekd",
        kind="feature",
        summary="Read the student's map by attention, at the teacher's places.",
        target="kd_feature.scalekd:ScaleKD",
        options="kd_feature.options.generation:ScaleKDOptions",
        needs=("teacher", "features", "whole-batch"),
        paper=Paper(
            title="ScaleKD: Strong Vision Transformers Could Be Excellent Teachers",
            year=2024,
            url="https://arxiv.org/abs/2411.06786",
        ),
        formula="a * sum (unit(p(s)) - unit(t))^2 / B + b * the same without each channel's mean over the places",
    ),
    DistillerEntry(
        name="diffkd",
        kind="feature",
        summary="Remove the noise of the student's features by a diffusion model of the teacher's.",
        target="kd_feature.diffkd:DiffKD",
        options="kd_feature.options.generation:DiffKDOptions",
        needs=("teacher", "logits", "features", "whole-batch"),
        paper=Paper(
            title="Knowledge Diffusion for Distillation", year=2023, url="https://arxiv.org/abs/2305.15712"
        ),
        formula="mean (denoised(s) - latent(t))^2 + KL of the denoised logits + errors of the noise and of the latent",
    ),
    DistillerEntry(
        name="semckd",
        kind="feature",
        summary="Let each stage of the student learn from all stages of the teacher, weighted by attention.",
        target="kd_feature.semckd:SemCKD",
        options="kd_feature.options.generation:SemCKDOptions",
        needs=("teacher", "features", "whole-batch"),
        paper=Paper(
            title="Cross-Layer Distillation with Semantic Calibration",
            year=2021,
            url="https://arxiv.org/abs/2012.03236",
        ),
        formula="sum over stages i, j and samples of attention_ij * mean (project_ij(s_i) - t_j)^2 / (B S)",
    ),
)

"""The functions of the feature methods: other people's loops and tests call them by these names and parameters."""

from __future__ import annotations

import pytest

LOSSES = """
    ab_loss(student_map, teacher_map, margin=1.0)
    attn_distill_loss(student_attention, teacher_attention, temperature=20.0, aggregate=True)
    camkd_feature_loss(student_maps, teacher_maps, crossed_logits, target)
    cat_kd_loss(student_cam, teacher_cam, resolution=2, normalize=False)
    compress_loss(student_embedding, teacher_embedding, student_queue, teacher_queue, temperature=0.04)
    cospress_global_loss(compressed_embedding, teacher_embedding, temperatures)
    cospress_local_loss(compressed_tokens, teacher_tokens, temperatures)
    cwd_loss(student_map, teacher_map, temperature=1.0)
    dcd_loss(student_embedding, teacher_embedding, log_scale, bias, alpha=0.5, max_scale=10.0)
    fsp_loss(student_first, student_second, teacher_first, teacher_second)
    ft_loss(student_factor, teacher_factor, p1=2, p2=1)
    ickd_loss(student_map, teacher_map)
    itrd_correlation_loss(student_embedding, teacher_embedding, alpha=1.5)
    itrd_mutual_loss(student_embedding, teacher_embedding)
    lightly_global_loss(student_embedding, teacher_embedding, queue, temperature=0.07)
    lightly_local_loss(student_tokens, teacher_tokens, temperature=0.07)
    manifold_patch_loss(student_tokens, teacher_tokens)
    manifold_random_loss(student_tokens, teacher_tokens, index)
    manifold_sample_loss(student_tokens, teacher_tokens)
    mgd_loss(student_map, teacher_map)
    nd_loss(student_embedding, teacher_embedding, centers, target)
    norm_loss(student_map, teacher_map)
    ofd_loss(student_map, teacher_map, margin)
    ofd_margin(weight, bias)
    pad_loss(student_embedding, teacher_embedding, log_variance, eps=1e-06)
    phi_s_scale(features)
    pkd_loss(student_map, teacher_map)
    proteus_loss(student_tokens, teacher_tokens)
    review_hcl_loss(student_map, teacher_map)
    rrd_loss(student_embedding, teacher_embedding, queue, student_temperature=0.1, teacher_temperature=0.02)
    scalekd_frequency_loss(student_map, teacher_map)
    scalekd_spatial_loss(student_map, teacher_map)
    seed_loss(student_embedding, teacher_embedding, queue, student_temperature=0.2, teacher_temperature=0.0001)
    semckd_loss(pair_losses, attention)
    sparse_soft_target_loss(student_logits, index, probability)
    srd_correlation_loss(student_embedding, teacher_embedding, exponent=4.0, eps=1e-05)
    srd_loss(student_embedding, teacher_embedding, exponent=4.0)
    srrl_loss(student_map, teacher_map, crossed_logits, teacher_logits, beta=1.0)
    theia_loss(student_tokens, teacher_tokens)
    unic_loss(student_tokens, teacher_tokens, cosine_weight=0.5, smooth_l1_weight=0.5)
    vitkd_generation_loss(student_tokens, teacher_tokens, mask, mask_ratio=0.5)
    vitkd_mimic_loss(student_tokens, teacher_tokens)
    vkd_loss(student_embedding, teacher_embedding)
"""
MODULES = """
    FeatureDiffusion(student_channels, teacher_channels, kernel_size, steps=5)
"""


@pytest.mark.parametrize("signature", (LOSSES + MODULES[1:]).split("\n")[1:-1])
def test_kd_feature_has_it(signature, check_signature):
    check_signature("kd_feature", signature)

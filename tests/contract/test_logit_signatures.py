"""The functions of the logit methods: other people's loops and tests call them by these names and parameters."""

from __future__ import annotations

import pytest

LOSSES = """
    abkd_loss(student_logits, teacher_logits, *, alpha, beta, temperature)
    average_kd_loss(student_logits, teacher_logits, *, temperature)
    bkd_loss(student_logits, teacher_logits)
    camkd_loss(student_logits, teacher_logits, target, *, temperature)
    crld_loss(student_logits, teacher_logits, student_logits_strong, teacher_logits_strong, *, temperature, \
within_weight, cross_weight, weak_threshold, strong_threshold)
    cskd_loss(student_logits, pair_logits, *, temperature)
    ctkd_loss(student_logits, teacher_logits, raw_temperature, *, reversal, minimum, span)
    ctkd_reversal(*, epoch, ramp_epochs)
    deit_hard_loss(student_logits, teacher_logits)
    deit_soft_loss(student_logits, teacher_logits, *, temperature)
    dhkd_loss(auxiliary_logits, teacher_logits, *, temperature)
    dml_loss(student_logits, peer_logits)
    ea_kd_loss(student_logits, teacher_logits, *, temperature, entropy_temperature, entropy_bound)
    ebkd_loss(student_logits, teacher_logits, *, temperature)
    ldrld_loss(student_logits, teacher_logits, *, alpha, beta, temperature, top_k)
    luminet_loss(student_logits, teacher_logits, *, temperature)
    mlkd_batch_loss(student_logits, teacher_logits, *, temperature)
    mlkd_class_loss(student_logits, teacher_logits, *, temperature)
    mlkd_loss(student_logits, teacher_logits, student_logits_strong, teacher_logits_strong, *, temperature)
    normkd_loss(student_logits, teacher_logits, *, temperature)
    pskd_loss(student_logits, previous_probabilities, target, *, alpha)
    rld_loss(student_logits, teacher_logits, target, *, alpha, beta, temperature, alpha_temperature)
    sdd_dkd_loss(student_region_logits, teacher_region_logits, target, *, alpha, beta, temperature)
    sdd_kd_loss(student_region_logits, teacher_region_logits, target, *, temperature)
    skd_direction_loss(student_logits, teacher_logits, *, tikhonov)
    sort_kd_loss(student_logits, teacher_logits, target, *, temperature)
    swap_kd_loss(student_logits, teacher_logits, target, *, temperature)
    tekap_loss(student_logits, teacher_logits, noise, *, temperature, noise_weight, augmented_weight)
    tfkd_reg_loss(student_logits, target, *, temperature, correct_probability)
    ttm_loss(student_logits, teacher_logits, *, gamma)
    uskd_loss(student_logits, weak_logits, target, *, alpha, beta, mu)
    wkd_logit_loss(student_logits, teacher_logits, target, cost, *, temperature, gamma, regularization, iterations)
    wsld_loss(student_logits, teacher_logits, target, *, temperature)
    wttm_loss(student_logits, teacher_logits, *, gamma)
"""
OF_THE_CORE = """
    dot_descent(parameter, task_gradients, distillation_gradients, *, lr, momentum, delta, weight_decay)
"""


@pytest.mark.parametrize("signature", LOSSES.split("\n")[1:-1])
def test_kd_classic_has_it(signature, check_signature):
    check_signature("kd_classic", signature)


@pytest.mark.parametrize("signature", OF_THE_CORE.split("\n")[1:-1])
def test_the_core_has_it(signature, check_signature):
    check_signature("kdcore.ops", signature)

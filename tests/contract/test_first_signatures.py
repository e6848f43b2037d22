"""The functions of the methods that kd had first: other people's loops and tests call them like this."""

from __future__ import annotations

import pytest

CLASSIC = """
    dist_loss(student_logits, teacher_logits, *, beta, gamma, temperature)
    dkd_loss(student_logits, teacher_logits, target, *, alpha, beta, temperature)
    kd_loss(student_logits, teacher_logits, *, temperature)
    nkd_loss(student_logits, teacher_logits, target, *, gamma, temperature)
"""
FEATURE = """
    at_loss(student_features, teacher_features)
    cc_loss(student_features, teacher_features)
    hint_loss(student_features, teacher_features)
    nst_loss(student_features, teacher_features)
    pkt_loss(student_features, teacher_features)
    rkd_angle_loss(student_features, teacher_features)
    rkd_distance_loss(student_features, teacher_features)
    sp_loss(student_features, teacher_features)
    CRDLoss(embedding_dim, num_samples, negatives, temperature, momentum)
"""
OFA = """
    ofa_loss(student_logits, teacher_logits, target, *, eps, temperature)
"""


@pytest.mark.parametrize(
    ("package", "signature"),
    [
        (package, signature)
        for package, listed in (("kd_classic", CLASSIC), ("kd_feature", FEATURE), ("kd_ofa", OFA))
        for signature in listed.split("\n")[1:-1]
    ],
)
def test_the_package_has_it(package, signature, check_signature):
    check_signature(package, signature)

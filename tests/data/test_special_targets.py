from __future__ import annotations

import torch

from kdcore.data.special_targets import BROKEN, UNLABELLED, has_label, was_read, without_labels


def test_what_each_target_says():
    target = torch.tensor([0, 7, UNLABELLED, BROKEN])
    assert has_label(target).tolist() == [True, True, False, False]
    assert was_read(target).tolist() == [True, True, True, False]
    assert without_labels(target).tolist() == [UNLABELLED, UNLABELLED, UNLABELLED, BROKEN]

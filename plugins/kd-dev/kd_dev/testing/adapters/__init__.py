"""The rules for feature adapters, in the order in which they are checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kd_dev.testing.adapters import features, same, traces

if TYPE_CHECKING:
    from kd_dev.testing.adapters.subject import AdapterSubject
    from kd_dev.testing.check import Rule

RULES: Final[tuple[Rule[AdapterSubject], ...]] = (
    same.declaration,
    same.serves,
    same.logits_equal_model,
    same.one_pass,
    same.autocast,
    features.stages_announced,
    features.one_stage_alone,
    features.embedding,
    features.gradients,
    features.module_path,
    features.without_memory,
    features.tail,
    traces.no_hooks_left,
    traces.no_patching,
    traces.deepcopy,
    traces.several_models,
    same.compile,
)

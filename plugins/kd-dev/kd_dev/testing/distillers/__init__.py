"""The rules for distillers, in the order in which they are checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kd_dev.testing.distillers import batches, declared, gradients, life, needs, numbers, processes, terms

if TYPE_CHECKING:
    from kd_dev.testing.check import Rule
    from kd_dev.testing.subject import DistillerSubject

RULES: Final[tuple[Rule[DistillerSubject], ...]] = (
    declared.declaration,
    declared.lazy_import,
    declared.options_documented,
    declared.options_roundtrip,
    declared.settings,
    terms.builds,
    terms.preflight,
    terms.terms_are_scalars,
    needs.needs,
    terms.weight_scales_terms,
    terms.whole_run,
    gradients.gradient_to_student,
    gradients.gradient_to_heads,
    gradients.no_gradient_to_teacher,
    gradients.owns_its_parameters,
    gradients.tensors_are_buffers,
    gradients.inputs_unchanged,
    gradients.keeps_no_graph,
    batches.batch_of_one,
    batches.two_classes,
    batches.soft_targets,
    batches.no_labels,
    batches.some_labels,
    batches.no_index,
    terms.no_teacher,
    terms.views,
    batches.other_family,
    numbers.bf16_autocast,
    numbers.float64,
    numbers.channels_last,
    numbers.large_logits,
    numbers.deterministic,
    life.deepcopy,
    life.ships,
    life.state_roundtrip,
    life.trains,
    processes.two_processes,
)

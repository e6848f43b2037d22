"""What losses share: checks of their arguments, precision, and operations over the processes of a run.

For authors of distillers. Importing this module imports torch, so a plugin's entry module must not import it.
"""

from __future__ import annotations

from kdcore.ops.alignment import align_gradients
from kdcore.ops.arguments import (
    check_positive,
    check_same_shape,
    class_index,
    prepare_features,
    prepare_logits,
)
from kdcore.ops.batch_norm import BatchNormOverProcesses
from kdcore.ops.dot import Dot, dot_descent
from kdcore.ops.ensemble import mean_logits
from kdcore.ops.outputs import embeddings_of, logits_of, target_of
from kdcore.ops.precision import at_least_float32, full_precision, widest_float
from kdcore.ops.processes import gather, sum_over_processes, world_size

__all__ = [
    "BatchNormOverProcesses",
    "Dot",
    "align_gradients",
    "at_least_float32",
    "check_positive",
    "check_same_shape",
    "class_index",
    "dot_descent",
    "embeddings_of",
    "full_precision",
    "gather",
    "logits_of",
    "mean_logits",
    "prepare_features",
    "prepare_logits",
    "sum_over_processes",
    "target_of",
    "widest_float",
    "world_size",
]

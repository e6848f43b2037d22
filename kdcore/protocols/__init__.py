"""`Distiller`, `FeatureAdapter`, and the values that they and the engine exchange.

Importing this module needs no torch: a plugin may annotate with it anywhere.
"""

from __future__ import annotations

from kdcore.protocols.adapter import FeatureAdapter, GivesMaps, GivesTail, PreparesModel
from kdcore.protocols.distiller import ChangesStudent, Distiller, PreparesFromTeacher
from kdcore.protocols.model_info import ModelInfo, StageInfo
from kdcore.protocols.requires import RECIPES, Requires, Views
from kdcore.protocols.setup import Setup
from kdcore.protocols.stage import STAGES, Stage
from kdcore.protocols.transform import ChecksTraining, Transform, Transformed, TransformSetup
from kdcore.protocols.values import Batch, FeatureMap, ModelOutput, Progress

__all__ = [
    "RECIPES",
    "STAGES",
    "Batch",
    "ChangesStudent",
    "ChecksTraining",
    "Distiller",
    "FeatureAdapter",
    "FeatureMap",
    "GivesMaps",
    "GivesTail",
    "ModelInfo",
    "ModelOutput",
    "PreparesFromTeacher",
    "PreparesModel",
    "Progress",
    "Requires",
    "Setup",
    "Stage",
    "StageInfo",
    "Transform",
    "TransformSetup",
    "Transformed",
    "Views",
]

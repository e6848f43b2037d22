"""A run's student put to use: exported to other tools' formats, predicting for new images, pushed to the hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kdcore.plugin import lazy_names

if TYPE_CHECKING:
    from kd_export.check import ExportCheck as ExportCheck
    from kd_export.export_several import ExportsResult as ExportsResult
    from kd_export.export_several import export_all as export_all
    from kd_export.export_student import ExportResult as ExportResult
    from kd_export.export_student import export as export
    from kd_export.latency import Latency as Latency
    from kd_export.prediction.predict import PredictResult as PredictResult
    from kd_export.prediction.predict import predict as predict
    from kd_export.push_student import PushResult as PushResult
    from kd_export.push_student import push as push

NAMES: Final = {
    "kd_export.check": ("ExportCheck",),
    "kd_export.export_several": ("ExportsResult", "export_all"),
    "kd_export.export_student": ("ExportResult", "export"),
    "kd_export.latency": ("Latency",),
    "kd_export.prediction.predict": ("PredictResult", "predict"),
    "kd_export.push_student": ("PushResult", "push"),
}
"""The module that has each name; it is imported when the name is first used, because it imports torch."""

__getattr__, __dir__, __all__ = lazy_names(globals(), NAMES)

"""ONNX in 8-bit integers: onnxruntime's static quantisation, calibrated on training images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kd_export.formats.calibration import CalibrationImages
from kd_export.formats.quietly import quietly

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from kdcore.inspect import RunStudent

_PRODUCTS: Final = ["Conv", "MatMul", "Gemm"]
# between convolutions, these would otherwise turn the integers back into floats; the sums of a transformer have
# outliers, which 8 bits over their whole range do not resolve
_BETWEEN: Final = ["Add", "Mul", "MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean", "Concat"]


def quantise(path: Path, student: RunStudent, input_name: str) -> dict[str, Any]:
    """Replace an ONNX model by its quantised one: weights per channel, activations by the range that was seen.

    Returns the facts for `kd.json`.

    Raises:
        UserError: the training images are not available.
        RunFailed: onnxruntime cannot do it.
    """
    import onnx

    calibration = CalibrationImages(student)
    with quietly("onnx with --int8"):
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        prepared = path.with_suffix(".prepared")
        before = path.stat().st_size
        quant_pre_process(path, prepared, skip_symbolic_shape=True)
        kinds = {node.op_type for node in onnx.load(prepared, load_external_data=False).graph.node}
        quantize_static(
            prepared,
            path,
            _Reader(calibration, input_name),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_PRODUCTS if "LayerNormalization" in kinds else _PRODUCTS + _BETWEEN,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        prepared.unlink()
    return {
        "calibration": calibration.facts,
        "format": "QDQ, weights int8 per channel, activations uint8",
        "bytes_before": before,
    }


class _Reader:
    """Calibration images, batch by batch, as onnxruntime asks for them."""

    def __init__(self, images: CalibrationImages, input_name: str) -> None:
        self._batches = ({input_name: batch.numpy()} for batch in images)

    def get_next(self) -> dict[str, np.ndarray[Any, Any]] | None:
        """The next batch, or None."""
        return next(self._batches, None)

    def set_range(self, start_index: int, end_index: int) -> None:
        """For calibration in strides, which is not asked for."""
        raise NotImplementedError

"""A run's student as an `ImagePredictor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from kdcore.data.pixels import PixelRule
from kdcore.data.transforms import eval_transform
from kdcore.errors import RunFailed
from kdcore.features.extractor import Extractor
from kdcore.features.logits_only import PlainAdapter
from kdcore.inspect.image_predictor import ImagePredictor, Outputs
from kdcore.inspect.predictions import autocast

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kdcore.data.pixels import Decoded
    from kdcore.inspect.students import OpenedStudent
    from kdcore.spec.models import RunSpec


def student_predictor(student: OpenedStudent, spec: RunSpec, device: torch.device) -> ImagePredictor:
    """The student of a run for images of any place.

    Args:
        student: the student; its network is moved to the device.
        spec: the run's spec, for channels, crop and number format.
        device: where it runs.
    """
    steps = eval_transform(spec.data, student.input)
    model = student.model.to(device).eval()
    adapter = student.adapter or PlainAdapter()
    memory_format = torch.channels_last if spec.train.channels_last else torch.contiguous_format

    def prepare(image: Decoded) -> NDArray[np.float32]:
        prepared: NDArray[np.float32] = steps(image).numpy()
        return prepared

    @torch.inference_mode()
    def call(images: NDArray[np.float32], embedding: bool) -> Outputs:
        batch = torch.from_numpy(images).to(device, memory_format=memory_format)
        with autocast(device, spec.train.precision):
            if student.is_encoder:
                return Outputs(None, _array(model(batch)))
            if not embedding:
                return Outputs(_array(model(batch)))
            extractor = Extractor(model, adapter, embedding=True)
            try:
                output = extractor(batch)
            finally:
                extractor.close()
        if output.embedding is None:
            raise RunFailed(f"{student.name} gives no embedding: its feature adapter knows none")
        assert output.logits is not None  # a whole pass has them
        return Outputs(_array(output.logits), _array(output.embedding))

    return ImagePredictor(
        prepare,
        call,
        num_classes=student.num_classes,
        classes=student.classes,
        rule=PixelRule.of(spec.data),
        thresholds=student.thresholds,
    )


def _array(values: torch.Tensor) -> NDArray[np.float32]:
    found: NDArray[np.float32] = values.float().cpu().numpy()
    return found

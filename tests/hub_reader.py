"""A stand-in for timm's reader of Hugging Face datasets."""

from __future__ import annotations

import io
from typing import Any

from timm.data.readers.reader import Reader


class HubReader(Reader):
    """Files from `[]`, labels in a column."""

    label_key, image_key = "label", "image"

    def __init__(self, files: list[bytes], labels: list[Any], class_to_idx: dict[str, int]) -> None:
        super().__init__()
        self.files, self.dataset, self.class_to_idx = files, {"label": labels, "image": files}, class_to_idx

    def __getitem__(self, index: int) -> tuple[io.BytesIO, Any]:
        return io.BytesIO(self.files[index]), self.dataset[self.label_key][index]

    def __len__(self) -> int:
        return len(self.files)

    def _filename(self, index: int, basename: bool = False, absolute: bool = False) -> str:
        return str(index)

"""Class embeddings: a vector for each class, as a text encoder makes it from the class's name, as a classifier."""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from kdcore import Problem, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

_KINDS: Final = ".npz or .safetensors"


@dataclass(frozen=True)
class ClassEmbeddings:
    """The content of a file of class embeddings.

    Attributes:
        rows: `[K, D]`, float32.
        names: of the classes, or None.
        scale: factor of the cosines; None: the file and the options do not say it.
        bias: added to the logits; None: not said.
        path: the file.
        place: of the option that names it.
    """

    rows: Tensor
    names: tuple[str, ...] | None
    scale: float | None
    bias: float | None
    path: str
    place: str

    @classmethod
    def read(cls, path: str, place: str, scale: float | None, bias: float | None) -> ClassEmbeddings:
        """Read a file; `scale` and `bias` go before those in the file.

        Raises:
            UserError: it is not such a file, or it holds something else than K vectors.
        """
        arrays = _arrays(path, place)
        if "embeddings" not in arrays:
            message = "the file has no 'embeddings' [K, D]"
            raise UserError(
                Problem(place, message, path, allowed=f"it has: {', '.join(sorted(arrays)) or 'nothing'}")
            )
        rows = np.asarray(arrays["embeddings"])
        if rows.ndim != 2 or len(rows) < 2 or not np.issubdtype(rows.dtype, np.floating):
            message = f"its 'embeddings' are {rows.dtype} {list(rows.shape)}, and class embeddings are floats [K, D]"
            raise UserError(Problem(place, message, path))
        rows = rows.astype(np.float32)
        wrong = np.flatnonzero(~np.isfinite(rows).all(1) | (np.abs(rows).max(1) == 0))
        if len(wrong):
            message = (
                f"the embeddings of {len(wrong)} classes are zero or not finite, the first is row {wrong[0]}"
            )
            raise UserError(Problem(place, message, path))
        names = _names(arrays, len(rows), path, place)
        said = {key: _number(arrays, key, path, place) for key in ("logit_scale", "logit_bias")}
        return cls(
            torch.from_numpy(rows),
            names,
            said["logit_scale"] if scale is None else scale,
            said["logit_bias"] if bias is None else bias,
            path,
            place,
        )

    @property
    def count(self) -> int:
        """K."""
        return len(self.rows)

    def head(self, width: int, scale: float | None, bias: float | None) -> TextHead:
        """The classifier for embeddings `[B, width]`.

        Args:
            width: D of the image encoder.
            scale: the encoder's own factor, if nothing else says one.
            bias: the encoder's own bias.

        Raises:
            UserError: D differs, or the factor is not known.
        """
        if self.rows.shape[1] != width:
            message = f"the embeddings have {self.rows.shape[1]} numbers each, those of the image encoder have {width}"
            hint = "they must come from the text encoder that was trained with this image encoder"
            raise UserError(Problem(self.place, message, self.path, hint=hint))
        factor = scale if self.scale is None else self.scale
        if factor is None:
            message = "neither the file nor the weights say the factor of the logits"
            hint = "give it: 100 for OpenAI's CLIP models, or exp(model.logit_scale) of yours"
            raise UserError(Problem("options.logit_scale", message, hint=hint))
        return TextHead(self.rows, factor, (bias if self.bias is None else self.bias) or 0.0)


class TextHead(nn.Sequential):
    """`[B, D]` -> logits `[B, K]`: scale x cosine with each class's embedding + bias."""

    def __init__(self, rows: Tensor, scale: float, bias: float) -> None:
        device = torch.get_default_device()
        linear = nn.Linear(rows.shape[1], rows.shape[0])
        if device.type != "meta":
            with torch.no_grad():
                linear.weight.copy_(scale * F.normalize(rows, dim=1))
                linear.bias.fill_(bias)
        super().__init__(linear)

    def forward(self, embedding: Tensor) -> Tensor:
        """In float32, also within autocast: the factor enlarges what rounding loses."""
        vectors = F.normalize(embedding.float(), dim=1)
        if vectors.is_meta:
            return self._logits(vectors)
        with torch.autocast(vectors.device.type, enabled=False):
            return self._logits(vectors)

    def _logits(self, vectors: Tensor) -> Tensor:
        logits: Tensor = self[0](vectors)
        return logits


def _arrays(path: str, place: str) -> Mapping[str, Any]:
    suffix = Path(path).suffix.lower()
    try:
        if suffix == ".npz":
            with zipfile.ZipFile(path):  # an array of numpy alone is something else
                pass
            with np.load(path, allow_pickle=False) as file:
                return {key: file[key] for key in file.files}
        if suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                found: dict[str, Any] = {key: _array(file.get_tensor(key)) for key in file.keys()}  # noqa: SIM118
                said = (file.metadata() or {}).get("classes")
            return found if said is None else {**found, "classes": np.array(json.loads(said))}
    except (OSError, ValueError, KeyError, SafetensorError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(Problem(place, f"the file cannot be read: {error}", path)) from error
    raise UserError(Problem(place, "a file of class embeddings has another ending", path, allowed=_KINDS))


def _array(tensor: Tensor) -> Any:
    """As an array of numpy, which has no bfloat16."""
    return tensor.float().numpy() if tensor.dtype == torch.bfloat16 else tensor.numpy()


def _number(arrays: Mapping[str, Any], key: str, path: str, place: str) -> float | None:
    if key not in arrays:
        return None
    value = np.asarray(arrays[key])
    if value.size != 1 or not np.issubdtype(value.dtype, np.number) or not np.isfinite(value).all():
        raise UserError(Problem(place, f"its '{key}' is not a number", path))
    return float(value.reshape(()))


def _names(arrays: Mapping[str, Any], count: int, path: str, place: str) -> tuple[str, ...] | None:
    if "classes" not in arrays:
        return None
    names = np.asarray(arrays["classes"])
    if names.dtype.kind != "U" or names.shape != (count,):
        message = f"its 'classes' are {names.dtype} {list(names.shape)}, and they must be {count} texts"
        raise UserError(Problem(place, message, path))
    found = tuple(str(name) for name in names)
    if twice := sorted({name for name in found if found.count(name) > 1}):
        raise UserError(Problem(place, f"two classes have the name '{twice[0]}'", path))
    return found

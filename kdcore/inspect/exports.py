"""A student that was exported: the folder with its files, `kd.json` about it, and `load.py`, which runs it."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image

from kdcore.data.inputs import InputConfig
from kdcore.data.pixels import PixelRule
from kdcore.errors import Problem, RunFailed, UserError
from kdcore.inspect.image_predictor import ImagePredictor, Outputs
from kdcore.json_files import read_json
from kdcore.plugins.importing import PluginError, guarded

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from kdcore.data.pixels import Decoded

EXPORT_ABOUT: Final = "kd.json"
"""The file in each export that says what it is."""
EXPORT_SCRIPT: Final = "load.py"
"""The script in an export that loads it without kd."""
_FORMAT: Final = 1


@dataclass(frozen=True, kw_only=True)
class OpenedExport:
    """An export that its own script has loaded.

    Attributes:
        folder: where it is.
        about: the content of `kd.json`.
        call: images `[B, C, H, W]` to logits `[B, K]` or, for an encoder, embeddings `[B, D]`; float32.
        from_eight_bits: a grey or RGB image of PIL, or for other channels uint8 `[H, W, C]`, to the model's input
            `[C, H, W]`, float32.
        input: size and normalisation of its images.
    """

    folder: Path
    about: dict[str, Any]
    call: Callable[[NDArray[np.float32]], Any]
    from_eight_bits: Callable[[Any], NDArray[np.float32]]
    input: InputConfig

    @property
    def is_encoder(self) -> bool:
        """Whether it gives embeddings instead of logits."""
        return bool(self.about["output"]["name"] == "embedding")

    @property
    def num_classes(self) -> int:
        """K; 0 for an encoder."""
        return 0 if self.is_encoder else int(self.about["output"]["shape"][-1])

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the classes, if they are known."""
        names = self.about["classes"]
        return None if names is None else tuple(names)

    @property
    def thresholds(self) -> tuple[float, ...] | None:
        """With several labels an image, the probability above which it gets each label; None: it has one class."""
        found = self.about.get("thresholds")
        return None if found is None else tuple(found)

    @property
    def model_bytes(self) -> int:
        """The size of its files, without the description and the script."""
        own = (self.folder / EXPORT_ABOUT, self.folder / EXPORT_SCRIPT)
        return sum(
            file.stat().st_size for file in self.folder.rglob("*") if file.is_file() and file not in own
        )

    @property
    def rule(self) -> PixelRule:
        """How the values of files become 8 bits."""
        taken = self.about["input"]
        bands, levels = taken.get("bands"), taken.get("value_range")
        return PixelRule(
            channels=int(taken["shape"][1]),
            bands=None if bands is None else tuple(bands),
            value_range=None if levels is None else (levels[0], levels[1]),
            array_order=taken.get("array_order", "hwc"),
        )

    def predictor(self) -> ImagePredictor:
        """It as a predictor for images of any place."""
        rule = self.rule

        def prepare(image: Decoded) -> NDArray[np.float32]:
            taken = rule(image)
            if isinstance(taken, Image.Image):
                return self.from_eight_bits(taken)
            return self.from_eight_bits(taken.numpy().transpose(1, 2, 0))

        def call(images: NDArray[np.float32], embedding: bool) -> Outputs:
            if embedding and not self.is_encoder:
                raise RunFailed(f"{self.folder} gives no embedding")
            found = np.asarray(self.call(images), np.float32)
            return Outputs(None, found) if self.is_encoder else Outputs(found)

        return ImagePredictor(
            prepare,
            call,
            num_classes=self.num_classes,
            classes=self.classes,
            thresholds=self.thresholds,
            rule=rule,
        )


def is_export(path: str | Path) -> bool:
    """Whether this is the folder of an export."""
    return (Path(path) / EXPORT_ABOUT).is_file()


def open_export(folder: str | Path) -> OpenedExport:
    """Load an export with its own script, a program that runs with the rights of this process.

    Raises:
        UserError: the folder is not that of an export, or of one that runs on other systems only.
        RunFailed: its script cannot load it.
    """
    path = Path(folder)
    about, size = _about(path)
    if (where := about.get("platforms")) and sys.platform not in where:
        message = (
            f"an export to {about['target']} runs on {' or '.join(where)} only, and this is {sys.platform}"
        )
        raise UserError(Problem(str(path), message, hint="an export to onnx runs everywhere"))
    script_path = path / EXPORT_SCRIPT
    try:
        with guarded(""), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns that TorchScript is deprecated
            script = import_export_script(path)
            call = script.load()
            from_eight_bits = script.from_eight_bits
    except PluginError as error:
        hint = f"'python {script_path}' shows the whole error; it needs what its first lines name"
        raise RunFailed(f"{script_path} cannot load the export: {error}\n    {hint}") from error
    return OpenedExport(folder=path, about=about, call=call, from_eight_bits=from_eight_bits, input=size)


def import_export_script(folder: Path) -> Any:
    """The module that an export's script is."""
    spec = importlib.util.spec_from_file_location("kd_export_load", folder / EXPORT_SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # the folder holds the export and nothing else
    kept, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = kept
    return module


def _about(folder: Path) -> tuple[dict[str, Any], InputConfig]:
    """The facts about an export, of which those that are read are there, and its input."""
    file = folder / EXPORT_ABOUT
    try:
        about: dict[str, Any] = read_json(file)
        if about["format"] != _FORMAT:
            raise ValueError(
                f"its format is {about['format']!r}, and this version of kd reads format {_FORMAT}"
            )
        name, size, classes = about["output"]["name"], about["output"]["shape"][-1], about["classes"]
        fits = classes is None or (isinstance(classes, list) and len(classes) == size)
        if (
            name not in ("logits", "embedding")
            or not isinstance(size, int)
            or not (fits or name == "embedding")
        ):
            raise ValueError("its output is not described as kd export does")
        thresholds = about.get("thresholds")
        if thresholds is not None and (not isinstance(thresholds, list) or len(thresholds) != size):
            raise ValueError("it does not have a threshold for each label")
        taken = about["input"]
        height, width = taken["crop"]
        return about, InputConfig(
            image_size=(height, width),
            mean=tuple(taken["mean"]),
            std=tuple(taken["std"]),
            interpolation=taken["interpolation"],
            crop_pct=taken["crop_pct"],
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(Problem(str(file), f"this is not the description of an export: {what}")) from error

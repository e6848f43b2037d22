"""`load.py`: the script next to an export that loads it without kd and prepares its images."""

from __future__ import annotations

import textwrap
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kd_export.exporters import IN_WORDS
from kd_export.written import body
from kdcore.inspect import EXPORT_ABOUT, EXPORT_SCRIPT, import_export_script
from kdcore.plugin import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from kd_export.exporters import Exporter
    from kdcore import ExportedFiles
    from kdcore.inspect import RunStudent

_TEMPLATE: Final = Path(__file__).parent / "templates" / "load.py.jinja"


def write_script(folder: Path, student: RunStudent, exporter: Exporter, written: ExportedFiles) -> None:
    """Write `load.py`."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(  # noqa: S701  # Python, not HTML
        undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True
    )
    environment.filters["plain"] = _plain
    data = student.spec.data
    picture = student.in_chans in (1, 3)
    text = environment.from_string(_TEMPLATE.read_text("utf-8")).render(
        run=student.run.name,
        model=student.name,
        num_classes=student.num_classes,
        output=student.output,
        channels=student.in_chans,
        picture=picture,
        plain=picture and data.bands is None,
        bands=data.bands is not None,
        value_range=data.value_range is not None,
        array_order=data.array_order,
        thresholds=student.opened.thresholds is not None,
        shape=", ".join(map(str, (student.in_chans, *student.input.image_size))),
        format=exporter.name + IN_WORDS[exporter.precision],
        platforms=tuple(written.platforms),
        summary=exporter.provided.entry.summary,
        needs=", ".join((*written.needs, "numpy", "pillow")),
        imports=written.imports,
        body=textwrap.indent(body(written), "    "),
        about=EXPORT_ABOUT,
    )
    (folder / EXPORT_SCRIPT).write_text(text, "utf-8")


def _plain(text: str) -> str:
    """A text that can stand in a docstring."""
    return printable(text).replace("\\", "/").replace('"', "'")


def run_script(folder: Path) -> Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]:
    """What `load()` of an export's own script gives: images `[B, C, H, W]` -> logits `[B, K]`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that TorchScript is deprecated
        loaded: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]] = import_export_script(folder).load()
    return loaded

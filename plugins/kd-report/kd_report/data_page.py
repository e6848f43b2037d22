"""The page of `kd data`: facts about the images, and some of them as each model sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kd_report.page import render
from kd_report.sections.thumbnails import data_uri

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

    from kdcore.inspect import SampleViews

_SMALL: Final = 64  # pixels; up to here each pixel is shown


def data_page(name: str, facts: Sequence[str], samples: Sequence[SampleViews]) -> str:
    """The page as HTML; it needs no network.

    Args:
        name: the name of the run.
        facts: lines about the images.
        samples: the images to show.
    """
    titles = list(samples[0].views) if samples else []
    values = {
        "name": name,
        "facts": "\n".join(facts),
        "titles": titles,
        "samples": [_row(one) for one in samples],
    }
    return render("data.html", values)


def _row(sample: SampleViews) -> dict[str, Any]:
    return {
        **_shown(sample.image),
        "name": sample.name,
        "label": sample.label,
        "boxes": [{"title": title, **_placed(box)} for title, box in sample.boxes.items()],
        "views": [{"title": title, **_shown(view)} for title, view in sample.views.items()],
    }


def _placed(box: tuple[float, float, float, float]) -> dict[str, float]:
    """Per cent of the image's width and height."""
    left, top, right, bottom = (100 * side for side in box)
    return {
        "left": round(left, 2),
        "top": round(top, 2),
        "width": round(right - left, 2),
        "height": round(bottom - top, 2),
    }


def _shown(image: Image.Image) -> dict[str, Any]:
    small = max(image.size) <= _SMALL
    return {"picture": data_uri(image), "small": small, "size": f"{image.height}x{image.width}, {image.mode}"}

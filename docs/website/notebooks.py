"""A notebook as a page: its text, its code, and the outputs that are kept in it."""

from __future__ import annotations

import json
import re
from html import escape
from typing import Any, Final

_PRE: Final = re.compile(r"<pre\b.*?</pre>", re.DOTALL)

Output = dict[str, Any]


def notebook_page(text: str) -> str:
    """The Markdown of a notebook: pictures are inside the page, tables are HTML, the rest is text."""
    parts = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        elif cell["cell_type"] == "code":
            parts.append(f"```python\n{source}\n```")
            parts += [_output(output) for output in cell["outputs"]]
    return "\n\n".join(part for part in parts if part) + "\n"


def _output(output: Output) -> str:
    if output["output_type"] == "stream":
        return _text("".join(output["text"]))
    data = output.get("data", {})
    if "image/png" in data:
        picture = "".join("".join(data["image/png"]).split())
        return f'<img alt="output of the cell" class="output" src="data:image/png;base64,{picture}">'
    if "image/svg+xml" in data:
        return _html("".join(data["image/svg+xml"]))
    if "text/html" in data:
        return _html("".join(data["text/html"]))
    return _text("".join(data.get("text/plain", "")))


def _html(text: str) -> str:
    """One block of HTML: an empty line would end it."""
    kept = _PRE.sub(lambda match: match[0].replace("\n", "&#10;"), text)
    line = re.sub(r"\s*\n\s*", " ", kept)
    return f'<div class="output">{line}</div>'


def _text(text: str) -> str:
    lines = escape(text.rstrip(), quote=False).replace("\n", "&#10;")
    return f'<pre class="output">{lines}</pre>' if lines else ""

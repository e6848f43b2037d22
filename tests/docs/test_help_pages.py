"""docs/troubleshooting.md has messages that exist, and docs/alternatives.md fields that exist."""

from __future__ import annotations

import re

import pytest

from kdcore import RunSpec

MESSAGE = re.compile(r"^\*\*`(.+)`\*\*$", re.MULTILINE)
PRINTED = re.compile(r"\"\s*\n\s*f?\"")  # a string that goes on in the next line


@pytest.fixture(scope="module")
def sources(root):
    """The text of all code, with strings joined and their variable parts as `{}`."""
    texts = []
    for pattern in ("kdcore/**/*.py", "plugins/*/kd_*/**/*.py"):
        for path in sorted(root.glob(pattern)):
            text = path.read_text("utf-8").replace("\\'", "'").replace('\\"', '"')
            texts.append(PRINTED.sub("", text))
    return "\n".join(texts)


def missing(text, sources):
    """The messages of a page with a part that no code has."""
    return [
        message
        for message in MESSAGE.findall(text)
        if not all(part in sources for part in re.split(r" ?\.\.\. ?|'\.\.\.'", message) if part.strip())
    ]


def test_every_message_exists(root, sources):
    text = (root / "docs" / "troubleshooting.md").read_text("utf-8")
    assert len(MESSAGE.findall(text)) > 30
    assert missing(text, sources) == []


def test_a_message_that_is_gone_is_noticed():
    source = 'raise UserError(f"the file {name} "\n    f"is too large")'
    page = "**`the file ... is too large`**\n**`the file ... is too small`**\n"
    assert missing(page, PRINTED.sub("", source)) == ["the file ... is too small"]


def fields(model=RunSpec, above=""):
    """Every field of the spec, as `section.name`."""
    for name, field in model.model_fields.items():
        yield f"{above}{name}"
        inner = [kind for kind in (field.annotation, *getattr(field.annotation, "__args__", ())) if kind]
        for kind in inner:
            if hasattr(kind, "model_fields"):
                yield from fields(kind, f"{above}{name}.")


def test_every_field_of_the_flags_exists(root):
    _, _, part = (root / "docs" / "alternatives.md").read_text("utf-8").partition("| flag | field |")
    rows = [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| `--")]
    named = {name for _, cell in rows for name in re.findall(r"`([a-z_.]+)`", cell)}
    assert len(named) > 50
    assert named - set(fields()) == set()

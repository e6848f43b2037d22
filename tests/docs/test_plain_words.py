"""Plain English: phrases that readers misread are found in pages, docstrings, comments and messages.

Each phrase has a plain replacement. An allowed use stands in `ALLOWED`, with its reason.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PROSE = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/*.md",
    "docs/plugins/*.md",
    "docs/results/*.md",
    "plugins/*/README.md",
    "examples/**/README*.md",
    "kdcore/**/*.md.jinja",  # what `kd export` writes
    "kdcore/**/*.py.jinja",
    "plugins/kd-dev/**/*.md.jinja",  # what `kd new-plugin` writes
    "plugins/kd-dev/**/*.py.jinja",
)
CODE = (
    "kdcore/compat.py",
    "kdcore/models/a*.py",
    "kdcore/models/b*.py",
    "kdcore/models/construct.py",
    "kdcore/models/weights.py",
    "kdcore/spec/ask_timm.py",
    "kdcore/spec/installed.py",
    "kdcore/spec/model_spec.py",
    "kdcore/spec/named_spec.py",
    "kdcore/spec/names.py",
    "kdcore/spec/schedule.py",
    "kdcore/spec/teacher_cache_spec.py",
    "kdcore/spec/timm_datasets.py",
    "kdcore/distill/*.py",
    "kdcore/features/*.py",
    "kdcore/ops/*.py",
    "kdcore/protocols.py",
    "plugins/*/kd_*/**/*.py",
    "examples/plugins/*/kd_*/**/*.py",
    "docs/**/*.py",
    "benchmarks/**/*.py",
    "kdcore/run/[!o]*.py",
    "kdcore/data/[!o]*.py",
    "kdcore/plugins/*.py",
    "plugins/kd-dev/kd_dev/testing/**/*.py",
    "kdcore/rundir/*.py",
    "kdcore/teacher_cache/*.py",
    "kdcore/errors.py",
    "kdcore/entries/*.py",
    "kdcore/hookspecs.py",
    "kdcore/options.py",
    "kdcore/builtin.py",
    "kdcore/cli/*.py",
    "kdcore/commands/**/*.py",
    "kdcore/inspect/*.py",
    "kdcore/json_files.py",
    "kdcore/terminal.py",
    "kdcore/text.py",
)

# what is found, and what to write instead
PHRASES = {
    r"so many": "N, or the number of",
    r"mend(?:s|ed|ing)?": "fix",
    r"(?:tell|tells|telling|told)": "report, show, say; distinguish for 'tell apart'",
    r"(?<!there )(?:is|are|was|were) no(?! longer)": "is not",
    r"(?:is|are) (?:none|nothing) of": "is not one of",
    r"(?:is|are) not to be|(?:to|can|cannot|could) be had": "is not available",
    r"no (?:\w+ )?any more": "no longer",
    r"unasked": "by default",
    r"anew": "again",
    r"(?:round|train|behave|work|look|divide|share)s? otherwise|otherwise than": "differently",
    r"nothing (?:but|of what)|by nothing that|nothing that shows": "only",
    r"beside": "next to, with; 'relative to' or 'compared with' for numbers",
    r"but for": "except",
    r"one's own": "your own",
    r"likewise": "the same",
    r"(?:in|at) (?:its|their) (?:stead|place of)": "instead",
    r"kin": "similar models",
    r"at hand": "available",
    r"(?:has|have|had) not(?=[,.;:)])": "the whole verb: 'does not have it'",
    r"where (?:there (?:is|are)|none|nobody|nothing|no)": "if there is, if no",
    r"(?:is|are) wanted": "must be",
    r"a verdict": "a judgement; better a verb: 'judge'",
    r"(?<=[,;:] )else": "otherwise",
    r"(?:nobody's|somebody's|anybody's)": "of nobody, of a user",
    r"whose\?": "name what is missing",
    r"half characters": "an unpaired UTF-16 surrogate",
    r"one (?:part )?in (?:so many|N)": "1/N",
    r"there are less": "fewer",
    r"goes? before what": "overrides",
    r"what is (?:said|not said|wanted)": "name the thing: 'options that are not given'",
    r"kd decides": "kd sets this option itself",
    r"(?:simply|powerful|blazing|seamless(?:ly)?|effortless(?:ly)?|please)": "nothing: leave it out",
    r"(?<!not )just": "nothing: leave it out",
}
PATTERN = {
    re.compile(rf"(?<![\w`-])(?:{phrase.replace(' ', r'[ ]')})(?![\w-])", re.IGNORECASE): instead
    for phrase, instead in PHRASES.items()
}

# (file, text around the phrase): why it may stay
ALLOWED: dict[tuple[str, str], str] = {
    ("kdcore/data/left_out.py", "beside: images next to"): "the name of an attribute",
}

GENERATED = re.compile(r"^<!-- [^\n]*Do not edit[^\n]*-->$.*\Z", re.MULTILINE | re.DOTALL)
OUTPUT = re.compile(
    r"^( *)```(?:text|console|bash|sh|json|jsonc|toml|yaml)\n.*?^\1```$", re.MULTILINE | re.DOTALL
)


class Found(NamedTuple):
    """A phrase, where it is, and what to write instead."""

    line: int
    text: str
    instead: str

    def __str__(self):
        return f"line {self.line}: '...{self.text}...'; write: {self.instead}"


def phrases_in(text, line=1):
    """Every phrase in a text, also if it goes over the end of a line (`#` of a comment or a list included)."""
    flat = re.sub(r"\n[ \t]*(?:#+ ?|[-*] )?", lambda match: " " + "\0" * (len(match[0]) - 1), text)
    flat = flat.replace("\0", "")
    starts = _starts_of_lines(text)
    for pattern, instead in PATTERN.items():
        for match in pattern.finditer(flat):
            around = flat[max(match.start() - 30, 0) : match.end() + 30]
            at = sum(start <= match.start() for start in starts)
            yield Found(line + at - 1, around.strip(), instead)


def _starts_of_lines(text):
    """Where each line starts in the text without the marks at the starts of lines."""
    starts, at = [0], 0
    for part in re.split(r"\n[ \t]*(?:#+ ?|[-*] )?", text)[:-1]:
        at += len(part) + 1
        starts.append(at)
    return starts


def prose_of(text):
    """A page without what is generated and what programs read or print; the number of lines stays."""

    def blank(match):
        return "\n" * match[0].count("\n")

    return re.sub(r"`[^`\n]*`", "`code`", OUTPUT.sub(blank, GENERATED.sub(blank, text)))


def texts_of(source):
    """Comments and strings of Python code, each with its line: docstrings, messages, descriptions."""
    tree = ast.parse(source)
    inner = set()
    for node in ast.walk(tree):  # outer nodes come first
        if isinstance(node, ast.JoinedStr):
            parts = [part for part in node.values if isinstance(part, ast.Constant)]
            inner |= {id(part) for part in parts}
            yield node.lineno, "{}".join(part.value for part in parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            yield node.lineno, node.value
    yield from _comments(source)


def _comments(source):
    """Comments; those on lines that follow each other are one text."""
    text, first, last = "", 0, -1
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if token.start[0] == last + 1:
                text, last = f"{text}\n{token.string}", last + 1
                continue
            if text:
                yield first, text
            text, first, last = token.string, token.start[0], token.start[0]
    if text:
        yield first, text


def files_of(patterns):
    found = {path for pattern in patterns for path in ROOT.glob(pattern)}
    return sorted(str(path.relative_to(ROOT)) for path in found)


def not_allowed(file, found):
    return [str(one) for one in found if not any(file == name and text in one.text for name, text in ALLOWED)]


@pytest.mark.parametrize("file", files_of(PROSE))
def test_pages_are_in_plain_english(file):
    text = (ROOT / file).read_text(encoding="utf-8")
    found = not_allowed(file, phrases_in(prose_of(text)))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("file", files_of(CODE))
def test_docstrings_comments_and_messages_are_in_plain_english(file):
    source = (ROOT / file).read_text(encoding="utf-8")
    found = [one for line, text in texts_of(source) for one in phrases_in(text, line)]
    found = not_allowed(file, found)
    assert not found, "\n".join(found)


def test_what_is_allowed_is_still_there():
    for file, text in ALLOWED:
        source = (ROOT / file).read_text(encoding="utf-8")
        texts = [text for _, text in texts_of(source)] if file.endswith(".py") else [prose_of(source)]
        assert any(text in one.text for whole in texts for one in phrases_in(whole)), (file, text)


# -- the checks themselves ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("It is no file.", 1),
        ("There is no file.", 0),
        ("It is no longer here.", 0),
        ("Adds up so\nmany batches.", 1),
        ("Recommended, amended, a bookkeeping.", 0),
        ("How to mend it: told of so many.", 3),
        ("Not just this.", 0),
        ("A number; else the default. Nothing else.", 1),
        ("What a hook has not, it has not set.", 1),
        ("`told`", 0),
    ],
)
def test_phrases_are_found(text, count):
    assert len(list(phrases_in(text))) == count


def test_the_line_is_right():
    assert [found.line for found in phrases_in("one\ntwo\n- it was told\n")] == [3]
    source = (
        'x = 1\n# a\n# it was\n# told\ny = f"{x} told"\n\n\ndef f():\n    """One.\n\n    Told.\n    """\n'
    )
    found = [one.line for line, text in texts_of(source) for one in phrases_in(text, line)]
    assert sorted(found) == [4, 5, 11]


def test_output_of_programs_and_generated_parts_are_not_prose():
    page = "a\n```text\ntold\n```\n`told`\n```python\n# told\n```\n<!-- Written. Do not edit. -->\ntold\n"
    assert [found.line for found in phrases_in(prose_of(page))] == [7]

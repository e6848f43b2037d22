"""The code blocks of README.md and docs/*.md hold: specs load, Python runs, commands and their flags exist."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer
import yaml

from kdcore import RunSpec, UserError
from kdcore.cli.app import application
from kdcore.entries import DatasetEntry
from kdcore.plugins import get_plugins
from kdcore.spec.load import load_spec

PARSE = {"json": json.loads, "toml": tomllib.loads, "yaml": yaml.safe_load}
BASE = {"student": {"model": "resnet18"}, "distiller": "vanilla"}
ENDS_A_COMMAND = ("|", "||", "&&", ";", "&")


# -- specs -------------------------------------------------------------------------------------------------------


def as_spec(block):
    """The spec that a block is, the rest filled in where it shows a part of one; None for other data."""
    value = PARSE[block.language](block.text)
    if not isinstance(value, dict) or not value or not value.keys() <= {"$schema", *RunSpec.model_fields}:
        return None if "student" not in value else value
    return BASE | value


def make_stand_ins(spec, folder):
    """Make what the spec's paths lead to."""
    dataset = spec.get("data", {}).get("dataset", "digits")
    known = {item.entry.name for item in get_plugins().all(DatasetEntry)}
    if dataset not in known and not re.match(r"(torch|hfds|hfids|tfds|wds|parquet|arrow)/", dataset):
        stand_in(folder / dataset, folder=not dataset.endswith((".tar", ".gz")))
    if "unlabelled" in spec.get("data", {}):
        stand_in(folder / spec["data"]["unlabelled"], folder=True)
    teachers = spec.get("teacher") or []
    for model in (spec.get("student") or {}, *(teachers if isinstance(teachers, list) else [teachers])):
        if "checkpoint" in model:
            stand_in(folder / model["checkpoint"], folder="." not in Path(model["checkpoint"]).name)
        run = folder / model.get("run", ".")
        if not run.exists():
            run.parent.mkdir(parents=True, exist_ok=True)
            student = {"model": model.get("model", "resnet18")}
            run.write_text(json.dumps(BASE | {"student": student}))


def stand_in(path, folder):
    if not path.exists():
        (path if folder else path.parent).mkdir(parents=True, exist_ok=True)
        if not folder:
            path.touch()


def load_block(block, folder):
    """Load the spec that a block is, in a folder where its files are."""
    spec = as_spec(block)
    if spec is not None:
        make_stand_ins(spec, folder)
        whole = PARSE[block.language](block.text) == spec
        path = folder / (block.file or f"block-{block.line}.{block.language if whole else 'json'}")
        path.write_text(block.text if whole else json.dumps(spec), encoding="utf-8")
        return load_spec(path)
    return None


def test_specs_load(data_block, page_folder):
    load_block(data_block, page_folder(data_block.page))


# -- Python ------------------------------------------------------------------------------------------------------


def test_python_runs(page, blocks_of, page_folder, monkeypatch):
    monkeypatch.chdir(page_folder(page))
    names = {"__name__": "__main__"}  # later blocks go on with what earlier ones have made
    for block in blocks_of(page):
        if block.language == "python" and block.file is None and block.runs:
            code = "\n" * (block.line - 1) + block.text
            exec(compile(code, block.page, "exec", dont_inherit=True), names)


# -- commands ----------------------------------------------------------------------------------------------------


def commands_in(text):
    """The arguments of each `kd` command in a block: behind a prompt if the block has prompts."""
    lines = text.replace("\\\n", " ").splitlines()
    if any(line.startswith("$ ") for line in lines):
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    found = []
    for line in lines:
        if not re.search(r"\bkd\b|-m kdcore\b", line):
            continue
        words = shlex.split(line, comments=True)
        while words:
            end = next((at for at, word in enumerate(words) if word in ENDS_A_COMMAND), len(words))
            found += arguments_of_kd(words[:end])
            words = words[end + 1 :]
    return found


def arguments_of_kd(words):
    while words and (re.match(r"\w+=", words[0]) or words[:2] == ["uv", "run"]):
        words = words[2:] if words[0] == "uv" else words[1:]
    end = next((at for at, word in enumerate(words) if re.match(r"\d?[<>]", word)), len(words))
    if words[:1] == ["kd"]:
        return [words[1:end]]
    if "kdcore" in words[1:end] and words[words.index("kdcore") - 1] == "-m":
        return [words[words.index("kdcore") + 1 : end]]
    return []


def parse_command(words):
    """The command's name and its parameters; SystemExit or a usage error where there is no such thing."""
    group = typer.main.get_command(application())
    try:
        context = group.make_context("kd", list(words))
        name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
        return name, command.make_context(name, rest, parent=context).params
    except typer.Exit:  # --help, --version
        return None, {}


def test_commands_exist(shell_block, page_folder, blocks_of, root):
    folder = page_folder(shell_block.page)
    for words in commands_in(shell_block.text):
        _, parameters = parse_command(words)
        if "spec" not in parameters:
            continue
        given = parameters["spec"]
        ours = [block for block in blocks_of(shell_block.page) if block.file == str(given)]
        if ours and ours[0].not_run is None:
            make_stand_ins(as_spec(ours[0]), folder)
            load_spec(folder / given, overrides=parameters["overrides"] or ())
        elif given.parts[0] == "examples":
            load_spec(root / given, overrides=parameters["overrides"] or ())


# -- the checks themselves -----------------------------------------------------------------------------------------


PAGE = """\
Text with `code`.

<!-- file: a.json -->
<!-- not run: because -->
```json
{"a": 1}
```

- A list:

  ```bash
  kd run a.json
  ```
"""


def test_blocks_know_their_line_language_and_comments(parse_blocks):
    first, second = parse_blocks("x.md", PAGE)
    assert (first.line, first.language, first.text) == (6, "json", '{"a": 1}\n')
    assert (first.file, first.not_run) == ("a.json", "because")
    assert (second.line, second.language, second.text, second.file) == (12, "bash", "kd run a.json\n", None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("$ kd run a.json --set x=1\nkd 0.1.0\n", [["run", "a.json", "--set", "x=1"]]),
        ("kd run \\\n  a.json  # a comment\nls\n", [["run", "a.json"]]),
        ("A=1 B=2 kd plugins | head\n", [["plugins"]]),
        ("uv run kd schema > kd.json && kd show dkd\n", [["schema"], ["show", "dkd"]]),
        ("torchrun --nproc-per-node 2 -m kdcore run a.json 2> log\n", [["run", "a.json"]]),
        ("pip install kd-classic\n", []),
    ],
)
def test_commands_are_found(text, words):
    assert commands_in(text) == words


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["nope"], "no command of this name"),
        (["run", "a.json", "--nope"], "No such option"),
        (["run"], "Missing"),
        (["show", "a", "b"], "unexpected"),
    ],
)
def test_a_wrong_command_is_noticed(words, problem):
    with pytest.raises(Exception, match=problem):
        parse_command(words)


@pytest.mark.parametrize(
    "text",
    [
        '{"student": {"model": "resnet18"}, "distiller": "nope"}',
        '{"student": {"model": "resnet18"}, "distiller": "vanilla", "nope": 1}',
        '{"train": {"epochs": "5"}}',
    ],
)
def test_a_wrong_spec_is_noticed(text, parse_blocks, tmp_path):
    (block,) = parse_blocks("x.md", f"```json\n{text}\n```\n")
    with pytest.raises(UserError):
        load_block(block, tmp_path)


def test_data_that_is_no_spec_is_only_parsed(parse_blocks, tmp_path):
    (block,) = parse_blocks("x.md", '```toml\n[project]\nname = "x"\n```\n')
    assert load_block(block, tmp_path) is None

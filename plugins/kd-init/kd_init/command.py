"""`kd init`: a first spec for a pair of models."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from kdcore import Problem, UserError
from kdcore.plugin import JsonFlag, print_json, print_problems, say, stdout_for_the_result, warn_all

if TYPE_CHECKING:
    from kd_init.interview import Ask
    from kd_init.suggest import Suggestion


def init(
    file: Annotated[
        Path, typer.Argument(metavar="[FILE]", help="The spec to write: .toml, .yaml or .json.")
    ] = Path("spec.toml"),
    dataset: Annotated[
        str | None,
        typer.Option(help="A dataset's name, or a folder, tar, zip or table of images.", show_default=False),
    ] = None,
    student: Annotated[
        str | None, typer.Option(help="A timm model, or a plugin's.", show_default=False)
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(help="A model; a checkpoint, run directory or spec; or none.", show_default=False),
    ] = None,
    teacher_weights: Annotated[
        str | None,
        typer.Option(
            help="pretrained, train or finetune; of a file of weights: given or finetune.", show_default=False
        ),
    ] = None,
    teacher_model: Annotated[
        str | None, typer.Option(help="The model of a teacher's file of weights.", show_default=False)
    ] = None,
    distiller: Annotated[str | None, typer.Option(help="A distiller's name.", show_default=False)] = None,
    recipe: Annotated[
        str | None, typer.Option(help="A recipe's name (kd list-recipes), or none.", show_default=False)
    ] = None,
    image_size: Annotated[
        str | None,
        typer.Option(
            metavar="PIXELS",
            help="Side of the student's input, or height and width such as 48x96.",
            show_default=False,
        ),
    ] = None,
    small_input: Annotated[
        str | None,
        typer.Option(metavar="yes|no", help="The student's variant for small images.", show_default=False),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs, instead of the recipe's.", show_default=False)
    ] = None,
    models: Annotated[
        bool,
        typer.Option(
            "--models/--no-models", help="Find the data and build the models, or check the spec alone."
        ),
    ] = True,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask: use the suggested values.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Write a spec for a teacher and a student.

    You are prompted for anything not given, with a suggestion for this pair.
    """
    from kd_init.asking import init_asking

    flags = {
        "--dataset": dataset,
        "--student": student,
        "--teacher": teacher,
        "--teacher-weights": teacher_weights,
        "--teacher-model": teacher_model,
        "--distiller": distiller,
        "--recipe": recipe,
        "--image-size": image_size,
        "--small-input": small_input,
    }
    with stdout_for_the_result():
        made = init_asking(file, _asker(flags, ask=not yes), epochs, models=models, given=flags)
    warn_all(made.warnings)
    if as_json:
        print_json({"files": [str(path) for path in made.files], "spec": made.spec})
        return
    for path in made.files:
        say(f"wrote {path}")
    say(f"next: kd run {quote(str(file))}")


def _asker(flags: Mapping[str, str | None], *, ask: bool) -> Ask:
    from kd_init.asking import checked

    def answer(flag: str, question: str, default: Suggestion, check: Callable[[str], object]) -> str:
        given = flags[flag]
        if given is not None:
            return checked(given, check, flag)
        if not ask:
            return default.value
        if not sys.stdin.isatty():
            hint = "give it, or --yes for the suggested values"
            raise UserError(
                Problem(flag, "this is missing, and kd cannot ask: the input is not a terminal", hint=hint)
            )
        while True:
            shown = f"{question}\n  suggested: {default.value}" + (f", {default.why}" if default.why else "")
            found: str = typer.prompt(
                f"{shown}\n ", default=default.value, show_default=False, err=True
            ).strip()
            try:
                check(found)
            except UserError as error:
                print_problems(error.problems)
            else:
                return found

    return answer

"""What differs between the kinds of new plugins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_TORCH: Final = "torch>=2.12"
_PYDANTIC: Final = "pydantic>=2.12"


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginKind:
    """A kind of new plugin; texts may have `{module}`, `{file}` and `{name}`.

    Attributes:
        title: in "it adds the ... NAME".
        summary: one line about the thing, if the user gives none.
        todo: what to change first.
        requirements: what its package needs in addition to kdcore.
        function: the name of its function.
        use: a further command of the README.
        has_class: whether its code is a class.
        options: whether it has options.
        small_run: whether its spec is a small run that does not name it.
    """

    title: str
    summary: str
    todo: tuple[str, ...]
    requirements: tuple[str, ...] = ()
    function: str = "{file}"
    use: str = ""
    has_class: bool = False
    options: bool = False
    small_run: bool = False


PLUGIN_KINDS: Final[dict[str, PluginKind]] = {
    "distiller": PluginKind(
        title="distiller",
        summary="A distiller of my own.",
        todo=(
            "`{module}/{file}.py`: the loss as a plain function, and the distiller around it.",
            "`{module}/options.py`: its options, with the paper's defaults.",
            "`{module}/plugin.py`: one line about it, and its paper.",
            "`tests/test_{file}.py`: the same formula, written out slowly.",
        ),
        requirements=(
            _PYDANTIC,
            _TORCH,
        ),
        function="{file}_loss",
        options=True,
        has_class=True,
    ),
    "adapter": PluginKind(
        title="feature adapter",
        summary="Features of a model family of my own choice.",
        todo=(
            "`{module}/plugin.py`: the model classes that it serves, by their dotted names.",
            "`{module}/{file}.py`: which features are stages 1 to 4.",
            "`tests/`: the models that it is checked with.",
        ),
        requirements=(
            "timm>=1.0.31",
            _TORCH,
        ),
        has_class=True,
    ),
    "dataset": PluginKind(
        title="dataset",
        summary="Images of my own.",
        todo=(
            "`{module}/{file}.py`: your images and their classes.",
            "`{module}/plugin.py`: the number of classes.",
            "`tests/test_{file}.py`: what is known of the samples.",
        ),
        requirements=("pillow>=12.0",),
        options=True,
        has_class=True,
    ),
    "model": PluginKind(
        title="model",
        summary="A network of my own.",
        todo=(
            "`{module}/{file}.py`: your network; keyword arguments of its constructor are options in a spec.",
            "`{module}/adapter.py`: what its stages are, for the methods that read features.",
            "`tests/test_{file}.py`: the published number of parameters.",
        ),
        requirements=(_TORCH,),
        options=True,
        has_class=True,
    ),
    "transform": PluginKind(
        title="transform",
        summary="Every ReLU becomes a leaky one.",
        todo=(
            "`{module}/{file}.py`: your change of the student, and its record.",
            "`{module}/options.py`: its options.",
            "`tests/test_{file}.py`: what is changed, and what is refused.",
        ),
        requirements=(
            _PYDANTIC,
            _TORCH,
        ),
        options=True,
        has_class=True,
    ),
    "command": PluginKind(
        title="command",
        summary="List runs, the best first.",
        todo=(
            "`{module}/{file}.py`: parameters of the function are arguments and options of the command.",
            "`{module}/plugin.py`: the line about it in `kd --help`.",
            "`tests/test_{file}.py`: what it prints, and what it refuses.",
        ),
        requirements=("typer>=0.29",),
        use="kd {name} runs",
        small_run=True,
        function="{file}_command",
    ),
    "recipe": PluginKind(
        title="recipe",
        summary="Training settings of my own.",
        todo=(
            "`{module}/recipes/{file}.toml`: your values, and where they are from.",
            "`{module}/plugin.py`: one line about it, and its paper.",
            "`tests/test_{file}.py`: the values that must not change.",
        ),
        use="kd show {name}",
    ),
    "exporter": PluginKind(
        title="exporter",
        summary="Weights as NumPy arrays.",
        todo=(
            "`{module}/{file}.py`: your files.",
            "`{module}/plugin.py`: the packages that it needs, as `requires=(...)`.",
            "`tests/test_{file}.py`: what is in the files.",
        ),
        requirements=("numpy>=2.2",),
        function="write_{file}",
        use="kd export runs/{name} --to {name}   # a command of kd-export",
        small_run=True,
    ),
    "metric": PluginKind(
        title="metric",
        summary="Accuracy, averaged over the classes.",
        todo=(
            "`{module}/{file}.py`: your formula.",
            "`{module}/plugin.py`: the tasks that it is for, as `tasks=(...)`.",
            "`tests/test_{file}.py`: the same formula, by hand.",
        ),
        requirements=(_TORCH,),
        use="kd eval runs/{name}   # a command of kd-report",
        function="{file}_metric",
    ),
    "report-section": PluginKind(
        title="section of reports",
        summary="The loss of each epoch.",
        todo=(
            "`{module}/{file}.py`: your text and figures.",
            "`{module}/plugin.py`: its place in the report, as `order=...`.",
            "`tests/test_{file}.py`: runs that do not have what it shows.",
        ),
        function="{file}_section",
        use="kd report runs/{name}   # a command of kd-report",
        small_run=True,
    ),
    "launcher": PluginKind(
        title="launcher",
        summary="Processes of this machine, a few at a time.",
        todo=(
            "`{module}/{file}.py`: how a job is started, watched and stopped.",
            "`{module}/options.py`: its options.",
            "`tests/test_{file}.py`: what happens if a job fails.",
        ),
        requirements=(_PYDANTIC,),
        use="kd compare spec.json --launcher {name}   # a command of kd-compare",
        options=True,
        small_run=True,
        has_class=True,
    ),
}
"""By the name that `--kind` takes."""

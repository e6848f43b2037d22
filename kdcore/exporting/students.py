"""The student of a run, with its last, averaged or best weights, and the images it is to be tried on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from timm.models import clean_state_dict
from torch import nn

from kdcore.data import build_eval_data, open_split, resolve_input
from kdcore.data.evaluate import WithoutLabels
from kdcore.engine.checkpoint import BEST, MANIFEST, Checkpoints
from kdcore.engine.statefile import Damaged
from kdcore.errors import Problem, UserError, listed, nearest
from kdcore.models import build_model, load_student
from kdcore.results.rundir import SPEC, RunDirectory
from kdcore.spec.models import DataSpec, RunSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kdcore.data import EvalData, InputConfig, Source
    from kdcore.plugins import Plugins

Weights = Literal["last", "ema", "best"]
"""Which of a run's weights: those of the last step, their running average, or the epoch that evaluated best."""


@dataclass(frozen=True)
class RunStudent:
    """A run's student, in evaluation mode on the CPU.

    Attributes:
        run: the run directory.
        spec: the run's spec.
        weights: which of the run's weights it has.
        epoch: after which epoch they were taken.
        model: the network.
        input: size and normalisation of its images.
        num_classes: K.
        class_names: names of the classes, or None.
        scores: what the run measured with these weights, in percent: top1, top5, agreement.
        finished: whether the run has come to its end.
    """

    run: RunDirectory
    spec: RunSpec
    weights: Weights
    epoch: int
    model: nn.Module
    input: InputConfig
    num_classes: int
    class_names: tuple[str, ...] | None
    scores: Mapping[str, float]
    finished: bool

    @property
    def name(self) -> str:
        """The model's name in the spec."""
        return self.spec.student.model

    @property
    def in_chans(self) -> int:
        """Channels of its images."""
        return self.spec.data.channels

    @property
    def parameters(self) -> int:
        """How many there are."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def example(self, batch: int) -> torch.Tensor:
        """Noise in the shape of its images, `[B, C, H, W]`; always the same."""
        generator = torch.Generator().manual_seed(0)
        return torch.randn(batch, self.in_chans, *self.input.image_size, generator=generator)


def open_student(run: str | Path, weights: Weights, plugins: Plugins) -> RunStudent:
    """The student of the run in a run directory.

    Raises:
        UserError: there is no run, it has not these weights, or the model cannot be built any more.
    """
    directory = find_run(run)
    spec = RunSpec.model_validate(directory.spec())
    finished = directory.finished
    if weights != "best" and not finished:
        raise UserError(
            Problem(
                str(directory.path),
                "this run has not come to its end",
                hint=f"'kd run {directory.path / SPEC}' goes on with it; --best takes its best weights so far",
            )
        )
    if weights == "best":
        return _best(directory, spec, plugins, finished)
    folder = directory.student if weights == "last" else directory.path / "student-ema"
    if not folder.is_dir() and weights == "ema":
        hint = "'train.ema' in its spec was null"
        raise UserError(Problem("--ema", f"{directory.path} has no averaged student", hint=hint))
    loaded = load_student(folder, plugins=plugins)
    summary = (directory.summary() or {})["student"]
    return RunStudent(
        directory,
        spec,
        weights,
        (directory.summary() or {})["epochs"],
        loaded.model,
        loaded.input,
        loaded.config.num_classes,
        loaded.config.class_names,
        _scores(summary if weights == "last" else summary.get("ema", {})),
        finished,
    )


def find_run(path: str | Path) -> RunDirectory:
    """The run directory at a path.

    Raises:
        UserError: there is none; the message names those that are beside.
    """
    directory = RunDirectory(Path(path))
    if directory.exists:
        return directory
    if directory.path.is_file():
        message = "this is a file; the directory of a run is wanted"
        raise UserError(Problem("RUN", message, str(path), hint="'kd run SPEC' makes one, OUTPUT/NAME"))
    parents = (directory.path.parent, directory.path.parent / "runs", directory.path)
    found = [str(folder.parent) for parent in parents for folder in sorted(parent.glob(f"*/{SPEC}"))]
    by_name = {Path(run).name: run for run in reversed(found)}
    near = nearest(directory.path.name, by_name)
    message = "this folder is no run directory" if directory.path.is_dir() else "there is no such run"
    raise UserError(
        Problem(
            "RUN",
            message,
            str(path),
            allowed=listed(found) if found else None,
            nearest=None if near is None else by_name[near],
            hint=None if found else "a run's directory is OUTPUT/NAME, as 'kd run' tells at its end",
        )
    )


def open_source(student: RunStudent, split: str | None, plugins: Plugins) -> tuple[DataSpec, Source]:
    """The run's data as far as one split of it is concerned, and that split; None: the one it was evaluated on.

    Raises:
        UserError: the data is not here.
    """
    data = student.spec.data
    split = split or data.eval_split or data.train_split
    return data, open_split(data, split, plugins=plugins, where="data.eval_split")


def sample_images(
    student: RunStudent, data: DataSpec, source: Source, samples: int | None, *, batch_size: int = 32
) -> EvalData:
    """Evaluation images of a split, as the student takes them: `samples`, as balanced as labels allow, or all."""
    known = not source.stream and source.labels is not None
    wanted = data.eval_samples
    if samples is not None and known:
        wanted = min(samples, len(source), wanted or len(source))
    few = samples is not None and samples <= 1024
    chosen = data.model_copy(update={"eval_samples": wanted} | ({"workers": 0} if few else {}))
    found = build_eval_data(
        source, chosen, student.input, batch_size=batch_size, num_classes=student.num_classes
    )
    return found if source.labelled else WithoutLabels(found)


def _best(directory: RunDirectory, spec: RunSpec, plugins: Plugins, finished: bool) -> RunStudent:
    place = directory.checkpoints / BEST
    try:
        state = Checkpoints(directory.checkpoints).load_best()
    except Damaged as error:
        message = "there are no best weights yet" if not place.exists() else str(error)
        raise UserError(Problem("--best", f"{place}: {message}")) from error
    about = _about_best(directory)
    if finished:
        loaded = load_student(directory.student, plugins=plugins)
        model, taken = loaded.model, loaded.input
        num_classes, class_names = loaded.config.num_classes, loaded.config.class_names
    else:
        num_classes, class_names = _classes(spec.data, plugins)
        built = build_model(
            spec.student,
            num_classes=num_classes,
            in_chans=spec.data.channels,
            image_size=spec.data.image_size,
            plugins=plugins,
            where="student",
            load_weights=False,
        )
        model, taken = built.model.eval(), resolve_input(spec.data, built.input)
    model.load_state_dict(clean_state_dict(state["student"]))
    return RunStudent(
        directory,
        spec,
        "best",
        about["epoch"],
        model,
        taken,
        num_classes,
        class_names,
        _scores(about),
        finished,
    )


def _about_best(directory: RunDirectory) -> dict[str, Any]:
    about: dict[str, Any] = json.loads((directory.checkpoints / BEST / MANIFEST).read_text("utf-8"))
    records = {record["epoch"]: record["eval"] for record in directory.metrics()}
    return {**records.get(about["epoch"], {}), "epoch": about["epoch"]}


def _classes(data: DataSpec, plugins: Plugins) -> tuple[int, tuple[str, ...] | None]:
    for split, where in ((data.train_split, "data.train_split"), (data.eval_split, "data.eval_split")):
        if split is not None:
            source = open_split(data, split, plugins=plugins, where=where)
            if source.labelled and source.num_classes is not None:
                return source.num_classes, source.classes
    if data.num_classes is None:
        message = "the run is not finished, and neither its spec nor its data tells the number of classes"
        raise UserError(Problem("data.num_classes", message))
    return data.num_classes, None


def _scores(about: Mapping[str, Any]) -> dict[str, float]:
    return {name: about[name] for name in ("top1", "top5", "agreement") if about.get(name) is not None}

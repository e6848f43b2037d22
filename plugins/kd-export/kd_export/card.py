"""The model card of a pushed student, from what its run left: what, on which data, by which teacher and distiller."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kdcore import DistillerEntry, KdError
from kdcore.inspect import ENCODER_MEASURES, measure_label, teachers_of
from kdcore.plugin import dataset_name, has_top_5, markdown, markdown_code

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kd_export.recipe import BuildRecipe
    from kdcore import Paper
    from kdcore.inspect import RunStudent
    from kdcore.plugin import Plugins

TAGS = ("timm", "knowledge-distillation")
_TASK = "image-classification"
_ENCODER_TASK = "image-feature-extraction"
_COLOURS = {1: "grey", 3: "RGB"}
_WEIGHTS = {
    "last": "after the last epoch",
    "ema": "the running average of all steps",
    "best": "of the epoch that evaluated best",
}


def model_card(
    student: RunStudent, recipe: BuildRecipe, repository: str, license: str | None
) -> dict[str, Any]:
    """What timm's `generate_readme` makes the card of."""
    return {
        "tags": [_TASK if student.num_classes else _ENCODER_TASK, *TAGS],
        "license": license or "unknown",
        "description": _description(student),
        "details": dict(_details(student)),
        "usage": _usage(student, recipe, repository),
        "comparison": _results(student),
    }


def _description(student: RunStudent) -> str:
    spec = student.spec
    data = markdown_code(dataset_name(spec.data.dataset))
    if student.run.own_loop:
        return _of_own_loop(student, data)
    if not spec.teacher:
        return f"A {markdown(student.name)} {_what(student)}, trained on {data} without a teacher by kd."
    names = " + ".join(distiller.name for distiller in spec.distiller)
    return (
        f"A {markdown(student.name)} {_what(student)}, trained on {data} with the help of {_taught(student)} "
        f"by the distiller {markdown_code(names)} of kd."
    )


def _of_own_loop(student: RunStudent, data: str) -> str:
    """The same of a student that was trained outside of kd."""
    taught = f" with the help of {_taught(student)}" if student.spec.teacher else ""
    names = [markdown_code(one.name) for one in student.spec.distiller if one.name != "vanilla"]
    methods = f" by {' + '.join(names)}" if names else ""
    return (
        f"A {markdown(student.name)} {_what(student)}, trained on {data}{taught}{methods}, in a training loop outside "
        "of kd, and saved with kd."
    )


def _details(student: RunStudent) -> Iterator[tuple[str, Any]]:
    spec, data = student.spec, student.spec.data
    height, width = student.input.image_size
    yield "Model Type", "Image classification" if student.num_classes else "Image feature encoder"
    yield (
        "Student",
        {
            "model": _named(student.name, spec.student.options, spec.student.small_input),
            "parameters": f"{student.parameters:,}",
            "input": f"{height} x {width}, {_COLOURS.get(data.channels, f'{data.channels} channels')}",
            **({"classes": student.num_classes} if student.num_classes else {"embedding": student.output[1]}),
            "weights": _weights(student),
        },
    )
    for label, model, about in _teachers(student):
        scores = {"parameters": f"{about['parameters']:,}"} if about.get("parameters") else {}
        yield label.capitalize(), {"model": model, **scores}
    yield "Distiller", [_distiller(name.name, name.options, student.plugins) for name in spec.distiller]
    if student.run.own_loop:
        yield "Data", markdown(dataset_name(data.dataset))
        yield "Training", "in a training loop outside of kd"
        return
    images = "all images" if data.train_samples is None else f"{data.train_samples:,} images"
    yield (
        "Data",
        f"{markdown(dataset_name(data.dataset))}: trained on {images} of split {markdown_code(student.train_split)}"
        + (f", evaluated on split {markdown_code(student.eval_split)}" if student.eval_split else ""),
    )
    yield (
        "Training",
        f"{spec.train.epochs} epochs, batch size {spec.train.batch_size}, {markdown(spec.optimizer.name)}, "
        f"learning rate {spec.optimizer.lr:g}, {spec.scheduler.name} schedule, seed {spec.seed}",
    )


def _weights(student: RunStudent) -> str:
    """Which weights of the training they are."""
    if student.run.own_loop:
        return "as they were saved after training"
    return f"{_WEIGHTS[student.weights]} ({student.epoch})"


def _distiller(name: str, options: Mapping[str, Any], plugins: Plugins) -> str:
    given = ", ".join(f"{key}={json.dumps(value)}" for key, value in options.items())
    text = markdown_code(name) + (f" ({markdown(given)})" if given else "")
    try:
        paper: Paper | None = plugins.find(DistillerEntry, name, "").entry.paper
    except KdError:  # its plugin is not here: the student does not need it
        paper = None
    return text if paper is None else f"{text}: [{markdown(paper.title)}]({paper.url}) ({paper.year})"


def _results(student: RunStudent) -> str:
    rows: list[tuple[str, Any, Mapping[str, Any]]] = [
        (f"{label} {model}", about.get("parameters"), about)
        for label, model, about in _teachers(student)
        if about
    ]
    rows.append((f"student {markdown(student.name)} (this one)", student.parameters, student.scores))
    split = student.eval_split
    of = (
        f"split {markdown_code(split)} of {markdown(dataset_name(student.spec.data.dataset))}"
        if split
        else "the training images"
    )
    columns = {"top1": "top-1", "top5": "top-5", "agreement": "agrees with the teacher"}
    if student.num_classes == 0:
        columns = dict(ENCODER_MEASURES)
    if student.opened.thresholds is not None:
        columns = {name: measure_label(name) for name in ("map", "micro_f1", "macro_f1", "agreement")}
    known = any(scores.get("top5") is not None for *_, scores in rows)
    if not known or not has_top_5(student.num_classes):
        columns.pop("top5", None)
    heads = ["model", "parameters", *columns.values()]
    lines = [f"On {of}, in percent:", "", f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for name, parameters, scores in rows:
        cells = [_percent(scores.get(key)) for key in columns]
        lines.append(f"| {name} | {parameters:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _usage(student: RunStudent, recipe: BuildRecipe, repository: str) -> str:
    shape = ", ".join(map(str, (student.in_chans, *student.input.image_size)))
    if not recipe.changed:
        build = [
            "import timm",
            "import torch",
            "",
            f'model = timm.create_model("hf-hub:{repository}", pretrained=True).eval()',
        ]
        note: list[str] = []
    else:
        build = [
            "import timm",
            "import torch",
            "from huggingface_hub import hf_hub_download",
            "from safetensors.torch import load_file",
            "",
            *recipe.lines,
            f'model.load_state_dict(load_file(hf_hub_download("{repository}", "model.safetensors")))',
            "model.eval()",
        ]
        note = [
            "timm has no arguments for this network's stem, which is the one for small images: "
            "`timm.create_model` refuses it, and these lines build it.",
            "",
        ]
    code = [*build, f"{student.output[0]} = model(torch.zeros(1, {shape}))  # prepared as config.json says"]
    return "\n".join([*note, "```python", *code, "```"])


def _taught(student: RunStudent) -> str:
    models = [model for _, model, _ in _teachers(student)]
    if len(models) == 1:
        return f"a larger teacher ({models[0]})"
    return f"{len(models)} teachers ({', '.join(models)})"


def _teachers(student: RunStudent) -> list[tuple[str, str, dict[str, Any]]]:
    """Label, model and summary of each teacher; the summary is empty if the run has none yet."""
    known = teachers_of(student.run.summary() or {})
    members = student.spec.members
    found = []
    for member in members:
        label = "teacher" if len(members) == 1 else f"teacher '{member.name}'"
        about = known.get(label, {})
        found.append((label, markdown(about.get("model") or member.spec.model or "of another run"), about))
    return found


def _named(name: str, options: Mapping[str, Any], small_input: bool) -> str:
    more = [f"{key}={json.dumps(value)}" for key, value in options.items()]
    more += ["variant for small images"] if small_input else []
    return markdown(name + (f" ({', '.join(more)})" if more else ""))


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _what(student: RunStudent) -> str:
    return "for image classification" if student.num_classes else "without a classifier, an image encoder"

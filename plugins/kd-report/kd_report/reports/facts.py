"""What was run, from the files of the run directory, as rows of name and value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdcore import DistillerEntry, KdError, RunDirectory, UserError
from kdcore.inspect import find_model, teachers_of
from kdcore.plugin import byte_size, dataset_name, duration, sides

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kdcore.plugin import Plugins

Rows = list[tuple[str, str]]


@dataclass(frozen=True)
class Facts:
    """The files of one run.

    Attributes:
        run: the directory.
        spec: the resolved spec.
        summary: what there is of it; its `status` is 'unfinished' where the run wrote none.
        records: one for each epoch.
        environment: versions and device.
    """

    run: RunDirectory
    spec: dict[str, Any]
    summary: dict[str, Any]
    records: list[dict[str, Any]]
    environment: dict[str, Any]

    @classmethod
    def read(cls, run: RunDirectory) -> Facts:
        """Raises UserError where the spec or the summary is damaged."""
        return cls(
            run, run.spec(), run.summary() or {"status": "unfinished"}, run.metrics(), run.environment()
        )

    @property
    def student(self) -> dict[str, Any]:
        """The summary's part on the student."""
        return self.summary.get("student") or {}

    @property
    def teachers(self) -> dict[str, dict[str, Any]]:
        """The summary's part on each teacher, by `teacher`, or `teacher 'a'` for each of several."""
        return teachers_of(self.summary)

    @property
    def teacher(self) -> dict[str, Any]:
        """The summary's part on the only teacher; empty without one, and with several."""
        found = list(self.teachers.values())
        return found[0] if len(found) == 1 else {}

    @property
    def teacher_specs(self) -> dict[str, dict[str, Any]]:
        """The spec's part on each teacher, with the same keys as `teachers`."""
        given = self.spec.get("teacher")
        if isinstance(given, list):
            return {f"teacher '{item.get('name')}'": item for item in given}
        return {} if given is None else {"teacher": given}

    @property
    def distillers(self) -> list[dict[str, Any]]:
        """The spec's distillers, with their options."""
        given = self.spec.get("distiller")
        given = given if isinstance(given, list) else [given]
        return [item if isinstance(item, dict) else {"name": str(item)} for item in given]

    @property
    def method(self) -> str:
        """The distillers' names."""
        return " + ".join(str(item.get("name")) for item in self.distillers)

    @property
    def epochs(self) -> int:
        """The completed epochs; also of a run that is in progress or was killed, and so has no summary."""
        found = self.summary.get("epochs")
        return (
            found if isinstance(found, int) else max((int(one["epoch"]) for one in self.records), default=0)
        )

    @property
    def num_classes(self) -> int | None:
        """K, where the run wrote it down."""
        found = (self.summary.get("data") or {}).get("num_classes")
        return found if isinstance(found, int) else None

    def part(self, name: str) -> dict[str, Any]:
        """A section of the spec."""
        found = self.spec.get(name)
        return found if isinstance(found, dict) else {}


def model_rows(about: dict[str, Any], given: dict[str, Any], classes: bool = True) -> Rows:
    """A model: `about` from the summary, `given` from the spec."""
    rows: Rows = [("model", str(about.get("model") or given.get("model") or "?"))]
    if about.get("parameters"):
        rows.append(("parameters", f"{about['parameters']:,}"))
    source = _source(given)
    if source:
        rows.append(("weights", source))
    if given.get("small_input"):
        rows.append(("variant", "for small images"))
    if given.get("image_size"):
        rows.append(("input", _pixels(given["image_size"])))
    rows += [(name, value_text(value)) for name, value in (given.get("options") or {}).items()]
    return rows


def _source(given: dict[str, Any]) -> str:
    if given.get("of") == "student-ema":
        return "the average of the student's"
    if given.get("run"):
        return f"trained by {Path(given['run']).name}"
    if given.get("checkpoint"):
        return str(Path(given["checkpoint"]).name)
    if given.get("pretrained"):
        return "timm's pretrained"
    if "pretrained" not in given:  # of a student from a user's own training loop
        return ""
    return "random at the start" if _is_of_timm(given.get("model")) else ""


def _is_of_timm(model: str | None) -> bool:
    """Whether it is timm's: a model of a plugin, or one from Python, may have weights of its own."""
    try:
        return model is not None and find_model(model) is not None
    except UserError:  # from Python, or of a plugin that is not installed here
        return False


def _pixels(size: int | Sequence[int]) -> str:
    """An image size: height and width."""
    return "{} × {} px".format(*sides(size))  # noqa: RUF001  # as people write it


def data_rows(facts: Facts) -> Rows:
    """The images."""
    data, sizes = facts.part("data"), facts.summary.get("data") or {}
    rows: Rows = [("dataset", dataset_name(str(data.get("dataset"))))]
    for name, split in (("train", "train_split"), ("eval", "eval_split")):
        size = sizes.get(f"{name}_size") or data.get(f"{name}_samples")
        where = (
            None if data.get(split) is None else sizes.get(split) or data[split]
        )  # what it is called on disk
        label = "training" if name == "train" else "evaluation"
        if where is None:
            rows.append((label, "none"))
        else:
            rows.append((label, f"{size:,} images of '{where}'" if size else f"'{where}'"))
    test = facts.summary.get("test") or {}
    if test.get("split") is not None and test.get("size"):
        rows.append(("test", f"{test['size']:,} images of '{test['split']}'"))
    if sizes.get("num_classes"):
        rows.append(("classes", f"{sizes['num_classes']:,}"))
    if sizes.get("image_size"):
        rows.append(("input", _pixels(sizes["image_size"])))
    elif data.get("image_size"):
        rows.append(("input", _pixels(data["image_size"])))
    rows += [(name, value_text(data[name])) for name in ("mixup", "cutmix") if data.get(name)]
    policy = (data.get("augment") or {}).get("auto_augment")
    return [*rows, ("augmentation", policy)] if policy else rows


def training_rows(facts: Facts) -> Rows:
    """How it was trained."""
    if facts.run.own_loop:
        return _own_loop_rows(facts)
    train, optimizer, scheduler = (facts.part(name) for name in ("train", "optimizer", "scheduler"))
    done, wanted = facts.epochs, train.get("epochs")
    rows: Rows = [("epochs", f"{wanted}" if done == wanted else f"{done} of {wanted}")]
    rows.append(("batch", f"{train.get('batch_size')}"))
    rows.append(("optimizer", f"{optimizer.get('name')}, lr {value_text(optimizer.get('lr'))}"))
    rows.append(("weight decay", value_text(optimizer.get("weight_decay"))))
    rows.append(("schedule", str(scheduler.get("name"))))
    weight = facts.part("task").get("weight")
    if weight is not None:
        rows.append(("task loss", f"weight {value_text(weight)}"))
    if train.get("ema"):
        rows.append(("average", f"EMA, decay {value_text(train['ema'])}"))
    if facts.spec.get("teacher_cache"):
        cache = facts.part("teacher_cache")
        rows.append(("teacher cache", f"{cache.get('augmentations')} augmentations"))
    rows.append(("precision", str(train.get("precision"))))
    rows.append(("seed", str(facts.spec.get("seed"))))
    return rows


def _own_loop_rows(facts: Facts) -> Rows:
    """How it was trained outside of kd, as far as it was given."""
    given = {
        "epochs": facts.part("train").get("epochs") or facts.summary.get("epochs"),
        "batch": facts.part("train").get("batch_size"),
        "optimizer": facts.part("optimizer").get("name"),
        "learning rate": facts.part("optimizer").get("lr"),
        "weight decay": facts.part("optimizer").get("weight_decay"),
        "schedule": facts.part("scheduler").get("name"),
        "task loss": facts.part("task").get("weight"),
        "precision": facts.part("train").get("precision"),
        "seed": facts.spec.get("seed"),
    }
    rows: Rows = [("loop", "outside of kd: the results are those that were given")]
    for name, value in given.items():
        if value is not None:
            rows.append((name, f"weight {value_text(value)}" if name == "task loss" else value_text(value)))
    return rows


def machine_rows(facts: Facts) -> Rows:
    """What it ran on, and how fast."""
    about, packages = facts.environment, facts.environment.get("packages") or {}
    device = about.get("device") or {}
    rows: Rows = []
    if device:
        rows.append(("device", f"{device.get('type')}, {device.get('name')}"))
    if (about.get("processes") or 1) > 1:
        rows.append(("processes", str(about["processes"])))
    rows += [(name, str(packages[name])) for name in ("torch", "timm") if packages.get(name)]
    if about.get("kdcore"):
        rows.append(("kdcore", str(about["kdcore"])))
    if facts.summary.get("wall_seconds"):
        rows.append(("time", duration(facts.summary["wall_seconds"])))
    if facts.summary.get("images_per_second"):
        rows.append(("speed", f"{facts.summary['images_per_second']:,.0f} images/s"))
    if facts.summary.get("peak_memory_bytes"):
        rows.append(("peak memory", byte_size(facts.summary["peak_memory_bytes"])))
    if about.get("git"):
        rows.append(("git", str(about["git"])[:10] + ("-dirty" if "dirty" in str(about["git"]) else "")))
    return rows


@dataclass(frozen=True)
class DistillerFact:
    """A distiller of the run: its name, summary and paper where its plugin is installed, and its options."""

    name: str
    summary: str
    paper: str
    url: str
    options: Rows


def distiller_facts(facts: Facts, plugins: Plugins) -> list[DistillerFact]:
    """The run's distillers."""
    found = []
    for item in facts.distillers:
        name = str(item.get("name"))
        summary = paper = url = ""
        try:
            entry = plugins.find(DistillerEntry, name, "distiller").entry
            summary = entry.summary
            if entry.paper is not None:
                paper, url = f"{entry.paper.title}, {entry.paper.year}", entry.paper.url
        except KdError:  # its plugin is not installed here: the run is reported all the same
            pass
        options = [(key, value_text(value)) for key, value in item.items() if key != "name"]
        found.append(DistillerFact(name, summary, paper, url, options))
    return found


def value_text(value: Any) -> str:
    """A value of a spec, for people."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(value_text(item) for item in value)
    return str(value)

"""docs/results/papers.md and examples/papers: the page is that of the records, and every row can be run."""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from dataclasses import replace

import pytest
from PIL import Image

from kdcore import RunDirectory, validate
from kdcore.inspect import load_spec, paper_settings, resolved_dict
from kdcore.plugins import get_plugins

NETWORKS = "kd-cifar-models"
ROW = ("compare-cifar100-resnet56-to-resnet20", "crd")


@pytest.fixture(scope="module")
def papers(docs_script):
    """docs/paper_tables, as the script imports it."""
    return docs_script("paper_tables", "main", "page", "published", "records")


@pytest.fixture(scope="module")
def published(papers):
    return papers.published.read_published()


@pytest.fixture(scope="module", autouse=True)
def _networks(root, tmp_path_factory):
    """kd-cifar-models is found as if it were installed."""
    with pytest.MonkeyPatch.context() as patch:
        try:
            importlib.metadata.distribution(NETWORKS)
        except importlib.metadata.PackageNotFoundError:
            site = tmp_path_factory.mktemp("site")
            folder = site / "kd_cifar_models-0.1.0.dist-info"
            folder.mkdir()
            (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NETWORKS}\nVersion: 0.1.0\n")
            (folder / "entry_points.txt").write_text(f"[kdcore]\n{NETWORKS} = kd_cifar_models.plugin\n")
            patch.syspath_prepend(root / "examples" / "plugins" / NETWORKS)
            patch.syspath_prepend(site)
        get_plugins.cache_clear()
        yield
    get_plugins.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "kd_cifar_models"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def rows(papers, published):
    """The checked spec of each row, by pair and method."""
    return {
        (name, label): papers.published.load_row(pair, label)
        for name, pair in published.pairs.items()
        for label in pair.rows
    }


def test_the_page_is_what_the_records_say(root, papers, published):
    results = root / "docs" / "results"
    records = papers.records.read_records(results / "papers.json")
    assert (results / "papers.md").read_text("utf-8") == papers.page.page(published, records)


def test_every_row_has_a_method_every_method_a_row_and_every_file_is_used(root, papers, published):
    folder = root / "examples" / "papers"
    used = {folder / "published.toml", folder / "README.md"}
    for pair in published.pairs.values():
        assert list(papers.published.methods(pair)) != []
        assert set(papers.published.methods(pair)) == set(pair.rows), pair.file
        used |= {folder / pair.file, (folder / pair.file).with_suffix(".json")}
        teacher = json.loads((folder / pair.file).with_suffix(".json").read_text())["teacher"]
        if "run" in teacher:
            used.add((folder / pair.file).parent / teacher["run"])
    assert used == {path for path in folder.rglob("*") if path.is_file()}
    sources = {row.source for pair in published.pairs.values() for row in pair.rows.values()}
    assert sources - {None} == set(published.sources)
    assert len(published.pairs) == sum(len(section.pairs) for section in published.sections)


def test_rows_have_the_options_that_plugins_know_for_their_models(rows):
    checked = 0
    for (pair, label), loaded in rows.items():
        (provided,) = [item.provided for item in loaded.distillers]
        spec = loaded.spec
        if not spec.members or provided.entry.kind == "baseline":
            continue
        teacher = loaded.teachers["teacher"].spec.student if loaded.teachers else spec.members[0].spec
        for known in paper_settings(provided, "").pairs:
            recipe = spec.recipe and spec.recipe.applied
            if known.matches(teacher.model, spec.student.model) and known.recipe in (None, recipe):
                options = spec.distiller[0].options
                assert {name: options[name] for name in known.options} == dict(known.options), (pair, label)
                checked += 1
    assert checked > 40


def stand_in(loaded, images):
    """The same spec with a few images of the right number of classes."""
    data = loaded.spec.data.model_copy(update={"dataset": str(images), "root": None, "workers": 0})
    teachers = {name: stand_in(teacher, images) for name, teacher in loaded.teachers.items()}
    return replace(loaded, spec=loaded.spec.model_copy(update={"data": data}), teachers=teachers)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder with an image of each of 100, and one of each of 1,000 classes."""
    folders = {}
    for classes in (100, 1000):
        folders[classes] = tmp_path_factory.mktemp(f"images{classes}")
        for number, split in enumerate(("train", "val" if classes == 1000 else "test")):
            for label in range(classes):
                path = folders[classes] / split / f"{label:04}" / "image.png"
                path.parent.mkdir(parents=True)
                Image.new("RGB", (2, 2), (label % 256, label // 256, number)).save(path, compress_level=0)
    return folders


# pairs with networks of each kind; KD_PAPERS=all checks all pairs, which takes minutes
BUILT = (
    "cifar100/wrn-40-2-to-wrn-16-2",
    "cifar100/vgg13-to-mobilenetv2",
    "cifar100/resnet50-to-vgg8",
    "cifar100/resnet32x4-to-shufflenetv2",
    "cifar100-224/swin-tiny-to-resnet18",
    "cifar100-224/convnext-tiny-to-resmlp-12",
    "imagenet/dkd-resnet50-to-mobilenetv1",
    "imagenet/dist-resnet34-to-resnet18",
    "imagenet/ofa-resnet50-to-swin-nano",
    "imagenet/deit-regnety-160-to-deit-tiny",
)


def test_models_are_built_with_the_heads_of_all_methods(papers, published, rows, images):
    names = [pair.file.removesuffix(".toml") for pair in published.pairs.values()]
    assert set(BUILT) <= set(names)
    built = names if os.environ.get("KD_PAPERS") == "all" else BUILT
    for name, pair in published.pairs.items():
        if pair.file.removesuffix(".toml") not in built:
            continue
        methods = {}
        for label in pair.rows:
            (item,) = rows[name, label].spec.distiller
            methods[item.name] = {"name": item.name, "weight": item.weight, **item.options}
        methods.pop("vanilla")
        if "crd" in methods:
            methods["crd"]["negatives"] = 16  # the stand-ins have no more images
        base = (papers.published.PAPERS / pair.file).with_suffix(".json")
        everything = (f"distiller={json.dumps(list(methods.values()))}", "task.weight=1.0")
        loaded = load_spec(base, overrides=(*everything, "data.dataset=torch/cifar100"))
        classes = 1000 if pair.file.startswith("imagenet") else 100
        found = validate(stand_in(loaded, images[classes]))
        assert found.num_classes == classes, name
        assert set(found.heads) <= set(methods), name


@pytest.fixture
def finished(papers, published, rows, tmp_path):
    """Makes the directory of a finished run of a row, as a comparison does."""

    def make(pair=ROW[0], label=ROW[1], seed=0, status="finished", top1=71.0, **changes):
        spec = resolved_dict(rows.get((pair, label)) or rows[ROW])
        spec["seed"] = seed
        for place, value in changes.items():
            part, key = place.split("__")
            spec[part][key] = value
        path = tmp_path / "runs" / pair / "runs" / f"{label}-seed{seed}"
        path.mkdir(parents=True)
        summary = {
            "status": status,
            "student": {"top1": top1, "best_top1": top1 + 0.5},
            "teacher": {"top1": 72.5},
            "epochs": spec["train"]["epochs"],
            "wall_seconds": 3600.4,
        }
        environment = {
            "device": {"name": "a GPU"},
            "processes": 1,
            "kdcore": "0.1.0",
            "packages": {"torch": "2.9"},
        }
        for file, content in (
            ("spec.json", spec),
            ("summary.json", summary),
            ("environment.json", environment),
        ):
            (path / file).write_text(json.dumps(content))
        assert RunDirectory(path).summary() == summary
        return path

    return make


def table_row(output, label):
    text = (output / "papers.md").read_text("utf-8").partition("### ResNet-56 → ResNet-20")[2]
    return next(line for line in text.splitlines() if line.startswith(f"| {label} "))


def test_finished_runs_fill_a_row(papers, finished, tmp_path, capsys):
    comparison = finished(top1=71.0).parent.parent
    finished(seed=1, top1=72.0, train__precision="bf16", data__root="/elsewhere")
    finished(seed=2, status="interrupted")
    assert papers.main.main([str(comparison), "--output", str(tmp_path)]) == 0
    assert "crd-seed2 is not finished: left out" in capsys.readouterr().err
    assert table_row(tmp_path, "crd") == "| crd | 71.16 | 71.50 ± 0.71 | +0.34 | 72.00 | 2 | repdistiller |"
    assert table_row(tmp_path, "*teacher*") == "| *teacher* | 72.34 | 72.50 | +0.16 | | | |"
    page = (tmp_path / "papers.md").read_text("utf-8")
    assert "2 runs are recorded." in page
    assert "Changed: `crd`: `train.precision` bf16" in page
    written = papers.records.read_records(tmp_path / "papers.json")
    assert written[ROW[0]]["crd"]["0"]["wall_seconds"] == 3600
    # other runs are added to those that are there
    assert papers.main.main([str(finished(label="kd")), "--output", str(tmp_path)]) == 0
    assert set(papers.records.read_records(tmp_path / "papers.json")[ROW[0]]) == {"crd", "kd"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"optimizer__lr": 0.1}, "crd-seed0: optimizer.lr: the table's spec has 0.05, this run has 0.1"),
        ({"train__epochs": 24}, "train.epochs: the table's spec has 240, this run has 24"),
        ({"label": "crx"}, "the tables have no row for this method"),
        (
            {"pair": "compare-cifar100-resnet56-to-resnet21"},
            "this is not a run of a comparison of examples/papers",
        ),
    ],
)
def test_a_run_of_another_spec_is_refused_and_nothing_is_written(
    papers, finished, tmp_path, capsys, change, told
):
    run = finished(**change)
    assert papers.main.main([str(run), "--output", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count(told) == 1
    assert not (tmp_path / "papers.json").exists()


def test_a_folder_without_runs_is_an_error(papers, tmp_path, capsys):
    assert papers.main.main([str(tmp_path / "nothing"), "--output", str(tmp_path)]) == 2
    assert "there is no run of a comparison in this folder" in capsys.readouterr().err

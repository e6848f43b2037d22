import json
from pathlib import Path

import jsonschema
import pytest

import kdcore
from kdcore.plugins import Candidate, Plugins
from kdcore.spec.schema import spec_schema

ROOT = Path(__file__).parents[2] / "examples"
# those of examples/plugins name what these plugins have, which are not installed here
EXAMPLES = sorted(set(ROOT.glob("**/*.json")) - set(ROOT.glob("plugins/**/*.json")))


@pytest.fixture
def schema(plugins):
    return spec_schema(plugins, warn=lambda line: None)


def accepts(schema, spec):
    return jsonschema.Draft202012Validator(schema).is_valid(spec)


def test_it_is_a_schema(schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:kdcore:run-spec:{kdcore.__version__}"
    assert json.loads(json.dumps(schema)) == schema


def test_every_reference_leads_somewhere(schema):
    text = json.dumps(schema)
    for part in text.split('"$ref": "#/$defs/')[1:]:
        assert part.split('"')[0] in schema["$defs"]


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"distiller": "kd-toys/toy"},
        {"distiller": {"name": "toy", "alpha": 2, "sizes": [1, 2], "inner": {"depth": 3}, "scale": "auto"}},
        {"distiller": ["still", {"name": "toy", "mode": "hard"}], "task": {"weight": 0}},
        {"optimizer": {"name": "LookAhead_AdamW"}, "scheduler": {"name": "wsd"}},
        {"data": {"dataset": "torch/cifar100", "mean": [0.5, 0.5, 0.5]}},
        {"student": {"model": "resnet18", "adapter": "toylayers"}, "teacher": None},
        {"student": {"model": "wide", "options": {"width": 3}}, "data": {"dataset": "drawn"}},
        {"student": {"model": "toynet", "options": {"widht": 3}}},
        {"$schema": "kd.schema.json"},
    ],
)
def test_good_specs(schema, good, sections):
    assert accepts(schema, good(**sections))


@pytest.mark.parametrize(
    "sections",
    [
        {"distiller": "toyy"},
        {"distiller": []},
        {"distiller": {"alpha": 1}},
        {"distiller": {"name": "toy", "alpa": 1}},
        {"distiller": {"name": "toy", "alpha": -1}},
        {"distiller": {"name": "still", "alpha": 1}},
        {"distiller": {"name": "toy", "inner": {"depth": 0}}},
        {"distiller": ["toy", 3]},
        {"optimizer": {"name": "sgdd"}},
        {"scheduler": {"name": "cosin"}},
        {"student": {"model": "resnet18", "adapter": "no"}},
        {"student": {"model": "wide", "options": {"widht": 3}}},
        {"teacher": {"model": "kd-toys/wide", "options": {"width": 0}}},
        {"data": {"dataset": "drawn", "options": {"shape": "oval"}}},
        {"student": None},
        {"student": {}},
        {"train": {"epochs": "3"}},
        {"train": {"epochs": 0}},
        {"lr": 0.1},
        {"name": "../x"},
        {"data": {"augment": {"scale": [1]}}},
        {"teacher_cache": {}},
    ],
)
def test_wrong_specs(schema, good, sections):
    assert not accepts(schema, good(**sections))


def test_resolved_specs_are_valid(schema, plugins, good, write):
    from kdcore.spec.load import load_spec, resolved_dict

    spec = good(distiller=["toy", "still"], task={"weight": 1}, data={"augment": {"crop": "none"}})
    assert accepts(schema, resolved_dict(load_spec(write(spec), plugins=plugins)))


def test_editors_find_options_with_their_meaning(schema):
    (toy,) = [branch for branch in schema["$defs"]["Distiller"]["anyOf"] if branch.get("title") == "toy"]
    assert toy["properties"]["alpha"]["default"] == 1.0
    assert toy["properties"]["alpha"]["description"] == "The first factor."
    assert toy["properties"]["name"]["enum"] == ["toy", "kd-toys/toy"]
    assert toy["description"] == "A toy. On Toys (2020)."


def test_editors_complete_the_names_of_every_role_that_a_spec_names(schema):
    defs = schema["$defs"]
    metrics = schema["properties"]["metrics"]["anyOf"]
    assert metrics[0]["items"]["enum"] == ["closeness", "kd-toys/closeness"]
    dataset = defs["DataSpec"]["properties"]["dataset"]["anyOf"]
    assert {"digits", "kd-toys/pictures"} <= set(dataset[0]["enum"])
    assert dataset[1] == {"type": "string", "minLength": 1}  # a folder, or a name of timm's
    for section in ("ModelSpec", "TeacherSpec"):
        adapter = defs[section]["properties"]["adapter"]["anyOf"]
        assert "kd-toys/toylayers" in adapter[0]["enum"]
        assert adapter[1:] == [{"type": "null"}]
    accepts = jsonschema.Draft202012Validator(schema).is_valid
    spec = {"student": {"model": "resnet18"}, "distiller": "toy"}
    assert accepts({**spec, "metrics": ["closeness"]})
    assert accepts({**spec, "metrics": None})
    assert not accepts({**spec, "metrics": ["closenes"]})


def test_what_cannot_be_described_is_left_out(plugins):
    lines = []
    schema = spec_schema(plugins, warn=lines.append)
    names = schema["$defs"]["Distiller"]["anyOf"][0]["enum"]
    assert "toy" in names
    assert "unloadable" not in names
    assert len(lines) == 3
    assert lines[1].startswith("the options of model kd-toys/lax are left out of the schema: model 'lax' of")
    assert lines[2].startswith(
        "the options of model kd-toys/lost are left out of the schema: model 'lost' of"
    )
    assert "kd-toys/unloadable" in lines[0]
    assert "kd-toys 1.2.3" in lines[0]


def test_without_a_listener_warnings_go_to_stderr(plugins, capsys):
    spec_schema(plugins)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("warning: distiller kd-toys/unloadable is left out of the schema: ")


def test_names_that_two_plugins_have_need_the_plugin(toys_folder, monkeypatch):
    monkeypatch.syspath_prepend(toys_folder)
    both = [Candidate(name, "spec_toys.plugin", name, "1", "x") for name in ("kd-toys", "kd-more")]
    source = (toys_folder / "spec_toys" / "plugin.py").read_text()
    (toys_folder / "spec_toys" / "plugin2.py").write_text(source)
    both[1] = Candidate("kd-more", "spec_toys.plugin2", "kd-more", "1", "x")
    plugins = Plugins.discover(both, disabled=(), strict=True)
    names = spec_schema(plugins, warn=lambda line: None)["$defs"]["Distiller"]["anyOf"][0]["enum"]
    assert "toy" not in names
    assert {"kd-toys/toy", "kd-more/toy", "vanilla", "kdcore/vanilla"} <= set(names)


@pytest.fixture(scope="module")
def of_what_is_installed():
    schema = spec_schema(Plugins.discover(disabled=(), strict=False))
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_the_examples_are_valid(path, of_what_is_installed):
    of_what_is_installed.validate(json.loads(path.read_text()))

"""Whatever a file holds, it loads or is told wrong in problems: no other exception comes out."""

import copy
import json

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdcore.errors import UserError
from kdcore.spec.load import load_spec, resolved_dict
from kdcore.spec.models import RunSpec
from kdcore.spec.overrides import Overrides
from kdcore.spec.value_sources import Origins

WHOLE = RunSpec(
    student={"model": "resnet34"}, teacher={"model": "resnet50"}, distiller=["toy", "still"]
).model_dump(mode="json")
SETTINGS = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
words = st.sampled_from(
    ["", "toy", "resnet34", "name", "model", "..", "~", "\0", "a/b", "5e-2", "\ud800", "x" * 300]
)
scalars = (
    st.none() | st.booleans() | st.integers() | st.integers(-5, 5) | st.floats() | words | st.text(max_size=5)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(words | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)


def paths(node, path=()):
    yield path
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, item in items:
        yield from paths(item, (*path, key))


PLACES = st.sampled_from([path for path in paths(WHOLE) if path])


def changed(changes):
    spec = copy.deepcopy(WHOLE)
    for path, value in changes:
        node = spec
        try:
            for step in path[:-1]:
                node = node[step]
            node[path[-1]] = value
        except (KeyError, TypeError, IndexError):
            continue
    return spec


def attempt(file, plugins, **arguments):
    problems = None
    try:
        loaded = load_spec(file, plugins=plugins, **arguments)
    except UserError as error:
        problems = error.problems
    if problems is None:
        json.dumps(resolved_dict(loaded), allow_nan=False)
        return
    assert len(problems) > 0
    for problem in problems:
        str(problem).encode()
        json.dumps(problem.as_dict())


@SETTINGS
@given(changes=st.lists(st.tuples(PLACES, values), min_size=1, max_size=4))
def test_any_value_at_any_place(plugins, tmp_path, changes):
    file = tmp_path / "a.json"
    file.write_text(json.dumps(changed(changes)))
    attempt(file, plugins)


@SETTINGS
@given(
    text=st.text(max_size=80)
    | st.lists(st.sampled_from("{}[]\":,&*!<?|- \n\t#ab01.='%@"), max_size=60).map("".join)
)
def test_any_text(plugins, tmp_path, text):
    for suffix in (".json", ".toml", ".yaml"):
        file = tmp_path / f"a{suffix}"
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        attempt(file, plugins)


@SETTINGS
@given(changes=st.lists(st.tuples(PLACES, scalars.filter(lambda value: value != "\ud800")), max_size=3))
def test_any_yaml(plugins, tmp_path, changes):
    file = tmp_path / "a.yaml"
    file.write_text(yaml.safe_dump(changed(changes)))
    attempt(file, plugins)


@SETTINGS
@given(
    keys=st.lists(
        st.sampled_from(["distiller", "0", "1", "student", "model", "train", "x", "[0]", ""]), max_size=4
    ),
    value=values.map(json.dumps) | st.text(max_size=5),
)
def test_any_flag(plugins, tmp_path, keys, value):
    file = tmp_path / "a.json"
    file.write_text(json.dumps(WHOLE))
    attempt(file, plugins, overrides=[f"{'.'.join(keys)}={value}"])
    Overrides([f"{'.'.join(keys)}={value}"], Origins()).apply({})

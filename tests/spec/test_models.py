import pytest
from pydantic import ValidationError

from kdcore.spec.models import RunSpec
from kdcore.spec.validation import run_spec_schema
from kdcore.spec.wording import resolved


def spec(**sections):
    return RunSpec(**{"student": {"model": "resnet18"}, "distiller": "kd", **sections})


def test_distillers_in_every_form():
    assert [item.name for item in spec(distiller="kd").distiller] == ["kd"]
    assert spec(distiller={"name": "kd", "temperature": 2}).distiller[0].options == {"temperature": 2}
    assert [item.name for item in spec(distiller=["kd", {"name": "dkd"}]).distiller] == ["kd", "dkd"]
    assert spec(distiller="kd").model_dump()["distiller"] == {"name": "kd"}
    assert spec(distiller=["kd", "dkd"]).model_dump(mode="json")["distiller"] == [
        {"name": "kd"},
        {"name": "dkd"},
    ]


def test_specs_cannot_be_changed():
    with pytest.raises(ValidationError):
        spec().seed = 3


def test_whole_numbers_are_numbers():
    assert spec(optimizer={"lr": 1}).optimizer.lr == 1.0


def test_every_field_is_described():
    schema = run_spec_schema()
    for name, section in {"RunSpec": schema, **schema["$defs"]}.items():
        for field, node in section["properties"].items():
            assert resolved(schema, node).get("description"), f"{name}.{field}"

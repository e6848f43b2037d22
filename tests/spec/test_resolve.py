import pytest

from kdcore.errors import UserError
from kdcore.spec.resolve import resolve_distiller


def test_names_and_options(plugins):
    found = resolve_distiller("kd-toys/toy", {"alpha": 0.5, "sizes": (1, 2)}, plugins, "distiller")
    assert (found.name, found.provided.entry.name) == ("kd-toys/toy", "toy")
    assert (found.options.alpha, found.options.sizes, found.options.weight) == (0.5, (1, 2), 1.0)


def test_values_that_only_python_has(plugins):
    class Number(float):
        pass

    assert resolve_distiller("toy", {"alpha": Number(2)}, plugins, "x").options.alpha == 2
    with pytest.raises(UserError, match=r"x\.alpha: a number is wanted, not object"):
        resolve_distiller("toy", {"alpha": object()}, plugins, "x")


def test_all_wrong_options_at_once(plugins):
    with pytest.raises(UserError) as caught:
        resolve_distiller("toy", {"alpha": -1, "beta": 1, "sizes": [1]}, plugins, "distiller[2]")
    assert [problem.where for problem in caught.value.problems] == [
        "distiller[2].alpha",
        "distiller[2].sizes",
        "distiller[2].beta",
    ]


def test_the_place_of_the_name(plugins):
    with pytest.raises(UserError) as caught:
        resolve_distiller("toyy", {}, plugins, "distiller", name_where="distiller.name")
    assert [problem.where for problem in caught.value.problems] == ["distiller.name"]


@pytest.mark.parametrize(("given", "found"), [([3, 4], (3, 4)), (5, (5,)), ([], ())])
def test_a_validator_that_runs_first_may_hand_on_a_list(plugins, given, found):
    resolved = resolve_distiller("toy", {"stages": given, "alpha": 2}, plugins, "distiller")
    assert resolved.options.stages == found
    again = resolved.options.model_dump(mode="json")
    assert resolve_distiller("toy", again, plugins, "distiller").options == resolved.options


@pytest.mark.parametrize(("name", "value"), [("alpha", "2"), ("alpha", True), ("flag", "yes"), ("flag", 1)])
def test_beside_it_nothing_becomes_a_number_that_was_none(plugins, name, value):
    with pytest.raises(UserError, match=name):
        resolve_distiller("toy", {"stages": [3], name: value}, plugins, "distiller")

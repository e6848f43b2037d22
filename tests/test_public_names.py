"""`import kdcore`: each public name is listed once, and everything that a public function returns is public."""

from __future__ import annotations

import ast
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

import kdcore

# types of other libraries, and names that are no types
FOREIGN = {
    "AbstractContextManager",
    "Any",
    "Callable",
    "Image",
    "Iterator",
    "Literal",
    "Module",
    "NDArray",
    "None",
    "Path",
    "Self",
    "Sequence",
    "Tensor",
}
LISTED = [
    (module, name)
    for modules in kdcore.PUBLIC.values()
    for module, names in modules.items()
    for name in names
]


def stub_names():
    """What type checkers see: (module, name) of every import, and `__all__`."""
    tree = ast.parse(Path(kdcore.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module != "typing"]
    (exported,) = [node.value for node in tree.body if isinstance(node, ast.Assign)]
    return {(node.module, alias.name) for node in imports for alias in node.names}, ast.literal_eval(exported)


def returned_types(value):
    """The names of types in what a function, or a method or property of a class, returns."""
    functions = [value]
    if inspect.isclass(value):
        public = [member for name, member in vars(value).items() if not name.startswith("_")]
        functions = [getattr(member, "fget", getattr(member, "__func__", member)) for member in public]
    annotations = [one.__annotations__.get("return", "") for one in functions if inspect.isfunction(one)]
    return {name for text in annotations for name in re.findall(r"\b[A-Z]\w*", str(text))}


def test_each_name_is_listed_once():
    names = [name for _, name in LISTED]
    assert len(names) == len(set(names))
    assert sorted(names) == kdcore.__all__


def test_type_checkers_see_the_same_names():
    imports, exported = stub_names()
    assert imports == set(LISTED)
    assert sorted(exported) == kdcore.__all__


@pytest.mark.parametrize(("module", "name"), LISTED)
def test_each_name_is_what_its_module_has(module, name):
    expected = getattr(import_module(module), name)
    if name == "run":  # also a package, which calls the function
        assert callable(kdcore.run)
    else:
        assert getattr(kdcore, name) is expected
    assert name in dir(kdcore)


@pytest.mark.parametrize("name", kdcore.__all__)
def test_what_public_functions_and_methods_return_is_public(name):
    value = import_module("kdcore.run.run").run if name == "run" else getattr(kdcore, name)
    # any of the records that are public; a step of the discovery of plugins
    internal = {"AnyEntry", "EntryT", "Candidate"}
    assert returned_types(value) - FOREIGN - internal <= set(kdcore.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'kdcore' has no attribute 'open_runs'"):
        kdcore.open_runs  # noqa: B018


PACKAGES = {
    "compare": "kd_compare",
    "evaluate": "kd_report",
    "export": "kd_export",
    "init": "kd_init",
    "new_plugin": "kd_dev",
    "push": "kd_export",
    "report": "kd_report",
}


@pytest.mark.parametrize("name", PACKAGES)
def test_functions_of_the_installed_packages_are_found_here_too(name):
    package = pytest.importorskip(PACKAGES[name])
    assert getattr(kdcore, name) is getattr(package, name)


def test_a_function_whose_package_is_missing_is_an_attribute_error(monkeypatch):
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: ())
    monkeypatch.delitem(vars(kdcore), "compare", raising=False)
    with pytest.raises(AttributeError, match="module 'kdcore' has no attribute 'compare'"):
        kdcore.compare  # noqa: B018


# -- the checks themselves ---------------------------------------------------------------------------------------


def test_a_private_type_is_noticed():
    class Result:
        @property
        def one(self) -> Hidden:  # noqa: F821
            ...

        @classmethod
        def two(cls) -> list[Secret]:  # noqa: F821
            ...

        def _three(self) -> Inner:  # noqa: F821
            ...

    assert returned_types(Result) == {"Hidden", "Secret"}


def test_run_is_a_package_and_can_be_called_and_pickled():
    import pickle

    import kdcore.run.loop

    assert callable(kdcore.run)
    assert pickle.loads(pickle.dumps(kdcore.run)) is kdcore.run
    with pytest.raises(kdcore.UserError, match="student"):
        kdcore.run({"distiller": "vanilla"}, quiet=True)


# -- the names for plugins ---------------------------------------------------------------------------------------


FACADES = {
    module.__name__: module for module in (import_module("kdcore.plugin"), import_module("kdcore.inspect"))
}
OFFERED = [
    (facade, module, name)
    for facade, offers in FACADES.items()
    for module, names in offers.NAMES.items()
    for name in names
]


@pytest.mark.parametrize(("facade", "module", "name"), OFFERED)
def test_each_name_for_plugins_is_what_its_module_has(facade, module, name):
    assert getattr(FACADES[facade], name) is getattr(import_module(module), name)


def test_a_name_is_offered_in_one_place():
    names = [*kdcore.__all__, *(name for _, _, name in OFFERED)]
    assert [name for name in names if names.count(name) > 1] == []

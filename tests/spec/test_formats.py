from importlib.metadata import version

import pytest

from kdcore.errors import UserError
from kdcore.spec import formats
from kdcore.spec.formats import parse

LONG_KEY = "a key in line 1 has more parts than any field"
MANY_KEYS = "the file has more dotted keys than any spec"


def broken(text, suffix):
    with pytest.raises(UserError) as caught:
        parse(text, suffix, "spec")
    (problem,) = caught.value.problems
    assert problem.where == "spec"
    return problem


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".json", '{"train": {"epochs": 3, "clip_grad": 0.05}, "names": ["a", "b"], "on": true}'),
        (".toml", 'names = ["a", "b"]\non = true\n[train]\nepochs = 3\nclip_grad = 5e-2'),
        (".yaml", "train:\n  epochs: 3\n  clip_grad: 5e-2\nnames: [a, b]\n'on': true"),
        (".yml", "{train: {epochs: 3, clip_grad: 0.05}, names: [a, b], 'on': yes}"),
    ],
)
def test_formats_give_the_same(suffix, text):
    assert parse(text, suffix, "spec") == {
        "train": {"epochs": 3, "clip_grad": 0.05},
        "names": ["a", "b"],
        "on": True,
    }


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5e-2", 0.05),
        ("1E3", 1000.0),
        ("-2e+1", -20.0),
        (".5e1", 5.0),
        ("1.e2", 100.0),
        ("0.5", 0.5),
        ("7", 7),
    ],
)
def test_yaml_numbers(text, number):
    value = parse(f"x: {text}", ".yaml", "spec")["x"]
    assert value == number
    assert type(value) is type(number)


@pytest.mark.parametrize("text", ["e5", "1e", "rand-m9-mstd0.5", "1e5x", "2e-3e"])
def test_yaml_text_stays_text(text):
    assert parse(f"x: {text}", ".yaml", "spec")["x"] == text


@pytest.mark.parametrize(
    ("suffix", "text", "words"),
    [
        (".json", '{\n  "a": 1,\n}', ["broken JSON in line", "comma too many"]),
        (".json", '{"a": 1 "b": 2}', ["line 1, column 9", "comma missing"]),
        (".json", '{\n// why\n"a": 1}', ["line 2", "no comments"]),
        (".json", "{'a': 1}", ["double quotes"]),
        (".json", '{"a": None}', ["null, true and false"]),
        (".json", '{"a": [1, 2', ["ends too early"]),
        (".json", '{"a": 1} {}', ["line 1, column 10"]),
        (".toml", "[train]\nepochs == 3", ["broken TOML in line 2, column 9"]),
        (".toml", "a = 1\na = 2", ["line 2"]),
        (".toml", 'a = "x', ["broken TOML in line 1"]),
        (".yaml", "a: 1\n b: 2", ["broken YAML in line 2, column 3"]),
        (".yaml", "a:\n\t- 1", ["line 2", "spaces"]),
        (".yaml", "a: 1\n---\nb: 2", ["line 2"]),
        (".yaml", "a: *nothing", ["line 1", "nothing"]),
        (".yaml", "a: \x07", ["broken YAML in line 1"]),
        (".yaml", "a: !!python/object/apply:os.system [exit]", ["line 1", "a spec is data"]),
        (".yaml", "? [1, 2]\n: 3\n", ["broken YAML in line 1"]),
        (".yaml", "a: 2024-13-45", ["cannot be read"]),
        (".json", "[" * 100_000, ["nested too deeply"]),
        (".yaml", "[" * 3_000, ["nested too deeply"]),
        (".json", '{"a": ' + "9" * 5000 + "}", ["cannot be read"]),
    ],
)
def test_broken(suffix, text, words):
    told = str(broken(text, suffix))
    for word in words:
        assert word in told


def test_broken_shows_the_line():
    assert broken('{\n  "epochs": 3,,\n}', ".json").value == '"epochs": 3,,'


def test_yaml_executes_nothing(tmp_path):
    mark = tmp_path / "executed"
    broken(
        f"a: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{mark}']]",
        ".yaml",
    )
    assert not mark.exists()


def test_duplicates_are_kept_for_the_report():
    for suffix, text in ((".json", '{"a": {"b": 1, "b": 2}}'), (".yaml", "a:\n  b: 1\n  b: 2")):
        assert parse(text, suffix, "spec")["a"].duplicates == ("b",)


def test_yaml_anchors_and_merges():
    text = "base: &base {lr: 1, name: sgd}\nmine: {<<: *base, lr: 2}\nsame: *base"
    value = parse(text, ".yaml", "spec")
    assert value == {
        "base": {"lr": 1, "name": "sgd"},
        "mine": {"lr": 2, "name": "sgd"},
        "same": {"lr": 1, "name": "sgd"},
    }
    assert value["mine"].duplicates == ()


def test_yaml_merges_do_not_explode():
    lines = ["a0: &a0 {" + ", ".join(f"k{i}: 1" for i in range(10)) + "}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 12)]
    text = "\n".join(lines)
    if tuple(map(int, version("PyYAML").split(".")[:3])) < (6, 0, 4):
        assert "more keys than any spec has" in str(broken(text, ".yaml"))
    else:  # it merges a key once
        assert parse(text, ".yaml", "spec")["a11"] == {f"k{i}": 1 for i in range(10)}


def test_yaml_aliases_are_limited():
    text = "a: &a 1\nb: [" + ", ".join(["*a"] * 1001) + "]"
    assert "more aliases" in str(broken(text, ".yaml"))


@pytest.mark.parametrize(("number", "words"), [
    ("010", "octal"), ("-0644", "octal"), ("0_7", "octal"), ("1:30", "base 60"), ("12:30:00", "base 60"),
    ("1:30.5", "base 60"), ("[1, 010]", "octal"),
])  # fmt: skip
def test_yaml_numbers_that_mean_another_number(number, words):
    text = str(broken(f"seed: 3\nx: {number}", ".yaml"))
    assert words in text
    assert "line 2" in text
    assert "quote it" in text


def test_yaml_numbers_that_mean_what_they_say():
    text = "[0, 0.5, 0x10, 1_000, '010', '1:30', 00.5]"
    assert parse(f"x: {text}", ".yaml", "spec")["x"] == [0, 0.5, 16, 1000, "010", "1:30", 0.5]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (".".join(["a"] * 5000) + " = 1", LONG_KEY),
        (".".join(["a1"] * 5000) + " = 1", LONG_KEY),
        (" . ".join(['"a"'] * 5000) + " = 1", LONG_KEY),
        (f"[{'.'.join(['a'] * 5000)}]", LONG_KEY),
        ("x = {" + ".".join(["a"] * 5000) + " = 1}", LONG_KEY),
        ("\n".join(f"k{i}." + ".".join("a" * 150) + " = 1" for i in range(200)), MANY_KEYS),
    ],
)
def test_dotted_keys_without_end_are_refused_before_they_are_parsed(monkeypatch, text: str, problem: str):
    monkeypatch.setattr(formats.tomllib, "loads", lambda text: pytest.fail("it was parsed"))
    with pytest.raises(UserError, match=problem):
        formats.parse(text, ".toml", "spec")


def test_dots_in_values_are_no_keys():
    text = (
        "a = ["
        + ", ".join(["-0.5", "1.5e3"] * 300)
        + ']\nb = "'
        + "." * 500
        + '"\nc = "\\"'
        + "." * 500
        + '"'
    )
    found = formats.parse(text + " # " + "." * 500, ".toml", "spec")
    assert len(found["a"]) == 600
    assert found["c"] == '"' + "." * 500


@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_keys_that_stand_twice_are_found_at_once_among_many(suffix: str):
    keys = ", ".join(f'"k{number}": 1' for number in range(20_000 if suffix == ".json" else 2000))
    found = formats.parse(f'{{{keys}, "k7": 2}}', suffix, "spec")
    assert found.duplicates == ("k7",)

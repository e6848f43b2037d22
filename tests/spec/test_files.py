import os

import pytest

from kdcore.errors import UserError
from kdcore.spec.files import find_file, read_file


def problem(call):
    with pytest.raises(UserError) as caught:
        call()
    (found,) = caught.value.problems
    assert found.where == "here"
    return found


def test_finds_files_and_run_directories(tmp_path):
    file = tmp_path / "a.JSON"
    file.write_text("{}")
    assert find_file(file, "here") == file
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "spec.json").write_text("{}")
    assert find_file(tmp_path / "run", "here") == tmp_path / "run" / "spec.json"


def test_other_folders_are_no_specs(tmp_path):
    (tmp_path / "quick.toml").write_text("")
    found = problem(lambda: find_file(tmp_path, "here"))
    assert "spec.json" in found.message
    assert "quick.toml" in found.allowed


@pytest.mark.parametrize("name", ["spec.txt", "spec"])
def test_other_suffixes(tmp_path, name):
    (tmp_path / name).write_text("{}")
    found = problem(lambda: find_file(tmp_path / name, "here"))
    assert found.allowed == ".json, .toml, .yaml, .yml"


def test_missing_files_have_a_nearest_name(tmp_path):
    (tmp_path / "quickstart.json").write_text("{}")
    assert problem(lambda: find_file(tmp_path / "quikstart.json", "here")).nearest == str(
        tmp_path / "quickstart.json"
    )
    assert problem(lambda: find_file(tmp_path / "quickstart.yaml", "here")).nearest == str(
        tmp_path / "quickstart.json"
    )
    assert "quickstart.json" in problem(lambda: find_file(tmp_path / "zzz.json", "here")).hint
    assert str(tmp_path / "no") in problem(lambda: find_file(tmp_path / "no" / "x.json", "here")).hint


@pytest.mark.parametrize("name", ["\0.json", "x" * 5000 + ".json"])
def test_names_that_no_file_can_have(tmp_path, name):
    assert "no such file" in problem(lambda: find_file(tmp_path / name, "here")).message


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"[]", "a list"),
        (b"3", "a single value"),
        (b"null", "nothing"),
        (b'{"a":\n "\xff"}', "not UTF-8 (line 2)"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        (b'{"a": "' + b"x" * 2**20 + b'"}', "larger"),
    ],
)
def test_what_is_no_spec(tmp_path, data, words):
    (tmp_path / "a.json").write_bytes(data)
    assert words in problem(lambda: read_file(tmp_path / "a.json", "here")).message


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_file(tmp_path / "a.json", "here") == {"a": 1}


def test_unreadable_files(tmp_path, monkeypatch):
    (tmp_path / "a.json").write_text("{}")
    monkeypatch.setattr(
        "pathlib.Path.open", lambda *_: (_ for _ in ()).throw(PermissionError(13, os.strerror(13)))
    )
    assert "Permission denied" in problem(lambda: read_file(tmp_path / "a.json", "here")).message

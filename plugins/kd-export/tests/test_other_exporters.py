"""Exporters of other plugins: good ones, and one that breaks each rule. An earlier export always stays whole."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from kd_export import export
from PIL import Image

from kdcore import KdError, RunFailed, UserError
from kdcore.plugin import pip_install

DECLARED = """
from kdcore import ExporterEntry, hookimpl

@hookimpl
def kd_exporters():
    return [ExporterEntry(name="npz", summary="NumPy \\\\ \\"\\"\\" arrays", target="kd_npz_code:write"{more})]
"""
SAVE = """
import numpy as np
from kdcore import ExportedFiles

def save(student, folder, name="weights.npz"):
    np.savez(folder / name, **{key: value.numpy() for key, value in student.model.state_dict().items()})

"""
# a network of one matrix, which NumPy can run
EARLIER = '{"files": ["kd.json", "weights.npz"]}'
LINEAR = """
from torch import nn

def build(num_classes, in_chans):
    return nn.Sequential(nn.Flatten(), nn.Linear(in_chans * 256, num_classes))
"""
GOOD = """
def write(student, folder, about):
    save(student, folder)
    return ExportedFiles(
        files=["weights.npz"],
        load='''
            import math  # a line of its own may be here too
            weights = numpy.load(folder / "weights.npz")
            weight, bias = weights["1.weight"], weights["1.bias"]
            return lambda images: images.reshape(len(images), -1) @ weight.T + bias
        ''',
        imports=["import numpy"],
        warnings=["it is big"],
        about={"classes_known": about["classes"] is not None},
    )
"""


@pytest.fixture
def npz(add_plugin):
    """Installs `kd-npz` 1.0 with an exporter `npz`, whose function `write` is in this code."""

    def add(code, more="", distribution="kd-npz"):
        add_plugin(distribution, DECLARED.replace("{more}", more), kd_npz_code=SAVE + textwrap.dedent(code))

    return add


@pytest.fixture
def linear_run(add_plugin, make_run):
    """A run whose student is a plugin's matrix."""
    add_plugin(
        "kd-linear",
        """
        from kdcore import ModelEntry, hookimpl

        @hookimpl
        def kd_models():
            return [ModelEntry(name="matrix", summary="x", target="kd_linear_net:build")]
        """,
        kd_linear_net=LINEAR,
    )
    return make_run("linear", {"model": "matrix"})


@pytest.fixture
def earlier(a_run):
    """A run that has an export of this format already, and what is in it."""
    run = a_run()
    folder = run / "export" / "npz"
    folder.mkdir(parents=True)
    (folder / "kd.json").write_text(EARLIER)
    (folder / "weights.npz").write_text("old")
    yield run
    # whatever went wrong: the earlier export is whole, and nothing else is left
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "kd.json": EARLIER,
        "weights.npz": "old",
    }
    assert [path.name for path in folder.parent.iterdir()] == ["npz"]


# -- what works -----------------------------------------------------------------------------------------------------


def test_one_that_says_how_it_is_loaded_is_compared_with_the_student(npz, linear_run):
    npz(GOOD)
    result = export(linear_run, "npz", samples=20)
    assert result.check.images == result.check.same_top1 == 20
    assert list(result.files) == ["weights.npz", "kd.json", "load.py"]
    assert result.warnings == ("it is big",)
    about = json.loads((result.path / "kd.json").read_text())
    assert about["classes_known"] is True
    assert about["made_with"]["kd-npz"] == "1.0"
    image = linear_run.parent / "image.png"
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(image)
    script = [sys.executable, str(result.path / "load.py"), str(image)]
    done = subprocess.run(script, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.count("%") == 5


@pytest.mark.parametrize(
    "returned", ["['weights.npz']", "[folder / 'weights.npz']", "(x for x in ['weights.npz'])"]
)
def test_one_that_returns_only_paths_is_checked_for_its_files(npz, a_run, returned):
    npz(f"def write(student, folder, about):\n    save(student, folder)\n    return {returned}\n")
    result = export(a_run(), "npz")
    assert result.check is None
    assert list(result.files) == ["weights.npz", "kd.json"]  # without a script: nobody knows how it is loaded
    assert result.warnings == (
        "its logits were not compared with the student's: npz of kd-npz 1.0 does not say how it is loaded",
    )
    weights = np.load(result.path / "weights.npz")
    assert weights["fc.bias"].shape == (10,)


def test_the_command_says_that_it_did_not_compare(npz, a_run, kd):
    npz("def write(student, folder, about):\n    save(student, folder)\n    return ['weights.npz']\n")
    done = kd("export", a_run(), "--to", "kd-npz/npz")
    assert done.code == 0
    assert done.out.splitlines()[1] == "not checked"
    assert "npz of kd-npz 1.0 does not say how it is loaded" in done.err


def test_files_may_be_folders(npz, a_run):
    npz("""
        def write(student, folder, about):
            (folder / "model").mkdir()
            save(student, folder / "model")
            return ["model"]
    """)
    assert list(export(a_run(), "npz").files) == ["model/weights.npz", "kd.json"]


def test_logits_that_are_meant_to_differ_are_only_measured(npz, linear_run):
    npz(
        GOOD.replace("+ bias", "+ bias + (0.5 if about_int8 else 0)")
        .replace("import math", "about_int8 = ABOUT['eight']")
        .replace("folder, about)", "folder, about, int8=False)")
        .replace("about={", "exact=not int8, about={'eight': int8, "),
        more=", int8=True",
    )
    result = export(linear_run, "npz", int8=True)
    assert result.path.name == "npz-int8"
    assert result.check.images == 120  # all
    assert result.check.largest_difference == pytest.approx(0.5, abs=1e-3)
    assert export(linear_run, "npz").check.largest_difference < 1e-3


def test_an_exporter_may_change_the_network_that_it_gets(npz, linear_run):
    npz(
        GOOD.replace("return ExportedFiles", "student.model[1].weight.data.zero_()\n    return ExportedFiles")
    )
    assert export(linear_run, "npz", samples=4).check.largest_difference < 1e-3


def test_prints_of_an_exporter_do_not_spoil_the_result(npz, a_run, kd):
    npz(
        "def write(student, folder, about):\n"
        "    print('hello')\n    save(student, folder)\n    return ['weights.npz']\n"
    )
    done = kd("export", a_run(), "--to", "npz", "--json")
    assert json.loads(done.out)["target"] == "npz"
    assert "hello" in done.err


def test_an_error_of_kdcore_is_the_exporters_own_message(npz, earlier):
    npz("""
        from kdcore import Problem, UserError

        def write(student, folder, about):
            raise UserError(Problem("--to", "npz cannot hold batch norms"))
    """)
    with pytest.raises(UserError, match="npz cannot hold batch norms"):
        export(earlier, "npz", force=True)


# -- what is wrong --------------------------------------------------------------------------------------------------

WRONG = {
    "nothing": ("return None", "returned NoneType; it must return the paths of its files"),
    "one path": ("return 'weights.npz'", "returned str; it must return the paths"),
    "no path": (
        "return [3]",
        "returned something else than the paths of its files: ExportedFiles: files has 3",
    ),
    "no files": ("return []", "returned something else .*: files must have at least one path"),
    "missing": ("return ['weights.npy']", "names 'weights.npy', which it did not write"),
    "outside": ("return ['../kd.json']", r"names '\.\./kd\.json', which is outside of the folder"),
    "absolute": ("return [__file__]", "names '.*py', which is outside of the folder that it was given"),
    "folder": ("return ['.']", r"names '\.', which is outside"),
    "link": (
        "(folder / 'more').symlink_to(__file__)\n    return ['weights.npz']",
        "wrote 'more' as a link",
    ),
    "kd.json": (
        "(folder / 'kd.json').write_text('{}')\n    return ['weights.npz']",
        "wrote 'kd.json', which kd export writes itself",
    ),
    "next to it": (
        "np.savez(folder, one=np.ones(1))\n    return ['weights.npz']",
        r"wrote '.*\.npz' next to the folder that it was given",
    ),
    "gone": ("import shutil; shutil.rmtree(folder)\n    return ['weights.npz']", "removed the folder"),
    "code": (
        "return ExportedFiles(files=['weights.npz'], load='return (')",
        "has no valid Python as 'imports' and 'load': '\\(' was never closed",
    ),
    "about": (
        "return ExportedFiles(files=['weights.npz'], about={'x': {1}})",
        "has something in 'about' that is not JSON",
    ),
    "about taken": (
        "return ExportedFiles(files=['weights.npz'], about={'model': 1})",
        "has 'model' in 'about', which kd.json has already",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_answer_names_the_plugin(npz, earlier, name):
    code, message = WRONG[name]
    npz(f"def write(student, folder, about):\n    save(student, folder)\n    {code}\n")
    with pytest.raises(
        UserError, match=f"npz of kd-npz 1.0 {message}" if name != "absolute" else message
    ) as caught:
        export(earlier, "npz", force=True)
    assert caught.value.problems[0].hint == "this is a mistake in the plugin"


RAISED = {
    "wrong value": (
        "return ExportedFiles(files='weights.npz')",
        "failed: ValueError: ExportedFiles: files must be a sequence of paths, not 'weights.npz'",
    ),
    "error": ("raise KeyError('weight')", r"failed: KeyError: 'weight' \(kd_npz_code\.py, line \d+\)"),
    "exit": ("raise SystemExit(3)", "failed: SystemExit: 3"),
    "file of its own": ("open('/no/such/template')", "failed: FileNotFoundError"),
}


@pytest.mark.parametrize("name", RAISED)
def test_what_an_exporter_raises_names_the_plugin(npz, earlier, name):
    code, message = RAISED[name]
    npz(f"def write(student, folder, about):\n    save(student, folder)\n    {code}\n")
    with pytest.raises(RunFailed, match=f"npz of kd-npz 1.0 {message}"):
        export(earlier, "npz", force=True)


def test_a_file_may_have_any_name(npz, a_run):
    npz("""
        def write(student, folder, about):
            save(student, folder)
            (folder / folder.name).write_text("x")
            return ["weights.npz"]
    """)
    assert len(export(a_run(), "npz").files) == 3


def test_a_full_disk_is_not_the_plugins(npz, earlier):
    npz(
        "def write(student, folder, about):\n    import errno\n    raise OSError(errno.ENOSPC, 'No space left')\n"
    )
    with pytest.raises(UserError, match="cannot be written: No space left"):
        export(earlier, "npz", force=True)


LOADED = {
    "other logits": (
        "return lambda images: np.zeros((len(images), 10), np.float32)",
        "gives other logits than the student",
    ),
    "nan": (
        "return lambda images: np.full((len(images), 10), np.nan, np.float32)",
        "gives logits that are NaN or infinite",
    ),
    "shape": (
        "return lambda images: np.zeros((len(images), 9), np.float32)",
        r"gives logits of another shape: \[1, 9\]",
    ),
    "no logits": ("return lambda images: object()", "was written and cannot be used on one image: TypeError"),
    "raises": (
        "raise OSError('no runtime')",
        "was written, and its load.py cannot load it: OSError: no runtime",
    ),
    "no function": ("pass", "was written and cannot be used on one image: TypeError: 'NoneType'"),
}


@pytest.mark.parametrize("name", LOADED)
def test_an_export_that_is_not_the_student_names_the_plugin(npz, earlier, name):
    code, message = LOADED[name]
    npz(f"""
def write(student, folder, about):
    save(student, folder)
    return ExportedFiles(files=["weights.npz"], load={code!r})
""")
    with pytest.raises(RunFailed, match=f"npz of kd-npz 1.0 {message}"):
        export(earlier, "npz", force=True, samples=4)


def test_code_that_cannot_be_imported(npz, earlier):
    npz("import kd_no_such_module\n")
    with pytest.raises(UserError, match=r"kd-npz 1\.0.*needs the module 'kd_no_such_module'"):
        export(earlier, "npz", force=True)


def test_what_it_requires_is_missing(npz, earlier):
    npz(
        GOOD,
        more=", requires=('kd-no-such-thing>=2', 'kd-nor-this', 'numpy>=99', 'torch>=1', 'x; python_version < \"3\"')",
    )
    with pytest.raises(UserError) as caught:
        export(earlier, "npz", force=True)
    (problem,) = caught.value.problems
    assert problem.message.startswith("the format npz needs numpy>=99 (version ")
    assert problem.message.endswith(" is installed) and kd-no-such-thing and kd-nor-this, which are missing")
    assert problem.hint == pip_install("numpy>=99", "kd-no-such-thing>=2", "kd-nor-this")


def test_what_it_requires_is_no_requirement(npz, earlier):
    npz(GOOD, more=", requires=('numpy or so',)")
    with pytest.raises(
        UserError, match=r"npz of kd-npz 1\.0 requires 'numpy or so', which is not a requirement"
    ):
        export(earlier, "npz", force=True)


def test_8_bits_are_not_offered(npz, earlier):
    npz(GOOD)
    with pytest.raises(UserError, match="npz is exported with its weights as they are") as caught:
        export(earlier, "npz", int8=True)
    assert caught.value.problems[0].allowed == "--to executorch or --to onnx or --to openvino"


def test_two_plugins_with_one_format(npz, earlier):
    npz(GOOD)
    npz(GOOD, distribution="kd-other")
    with pytest.raises(KdError) as caught:
        export(earlier, "npz", force=True)
    assert "kd-npz" in str(caught.value)
    assert "kd-other" in str(caught.value)


def test_a_broken_plugin_is_named(add_plugin, a_run, kd):
    add_plugin("kd-half", "import kd_no_such_module\n")
    done = kd("export", a_run(), "--to", "timm", "--samples", 0)
    assert done.code == 0
    assert "kd-half 1.0 is broken" in done.err

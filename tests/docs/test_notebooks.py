"""docs/notebooks: the code of both runs in one process, with fewer epochs; their outputs are small."""

from __future__ import annotations

import json
import re

import pytest

SMALLER = {r'"epochs": \d+': '"epochs": 1', r'"train_samples": 900': '"train_samples": 90', "300": "100"}
_MOST_CHARACTERS = 30_000  # of the outputs of a cell: a small picture


def cells(root, name):
    found = json.loads((root / "docs" / "notebooks" / f"{name}.ipynb").read_text("utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == "code"]


@pytest.fixture
def in_a_folder(tmp_path_factory, monkeypatch):
    """One folder for both: what the first one has trained, the second one finds."""
    for module in ("sklearn", "matplotlib", "onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(module, reason=f"the notebooks need {module}")
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setattr("kd_report.reports.maps.can_tsne", lambda: False)  # it takes seconds
    monkeypatch.chdir(tmp_path_factory.mktemp("notebooks"))


@pytest.mark.filterwarnings("ignore")  # of matplotlib's agg, which shows nothing
def test_they_run(root, in_a_folder):
    for name in ("distillation", "export"):
        names = {"__name__": "__main__"}
        for number, cell in enumerate(cells(root, name)):
            code = "".join(cell["source"])
            for pattern, smaller in SMALLER.items():
                code = re.sub(pattern, smaller, code)
            exec(compile(code, f"{name}.ipynb, code cell {number}", "exec", dont_inherit=True), names)
    assert names["exported"].check.same_top1 > 0.9 * 100
    assert names["logits"].shape == (1, 10)


@pytest.mark.parametrize("name", ["distillation", "export"])
def test_their_outputs_are_small_and_of_one_run(name, root):
    found = cells(root, name)
    assert [cell["execution_count"] for cell in found] == list(range(1, len(found) + 1))
    for cell in found:
        assert cell["outputs"], "run it before you keep it"
        assert len(json.dumps(cell["outputs"])) < _MOST_CHARACTERS
        assert not [output for output in cell["outputs"] if output["output_type"] == "error"]

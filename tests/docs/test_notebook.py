"""examples/notebook.ipynb runs from top to bottom, and its outputs are small."""

from __future__ import annotations

import json

import pytest

_MOST_CHARACTERS = 4000  # of the outputs of a cell


@pytest.fixture
def path(root):
    return root / "examples" / "notebook.ipynb"


@pytest.mark.filterwarnings("ignore")  # of Jupyter's own libraries
def test_it_runs(path, tmp_path, monkeypatch):
    pytest.importorskip("sklearn", reason="the digits need scikit-learn")
    client = pytest.importorskip("nbclient", reason="needs nbclient and ipykernel")
    nbformat = pytest.importorskip("nbformat")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(path, as_version=4)
    client.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    progress = [
        output for output in outputs[2] if "display_id" in output.get("transient", {}) or "data" in output
    ]
    assert "epoch 8/8" in progress[0]["data"]["text/plain"]
    assert "<table>" in outputs[2][-1]["data"]["text/html"]
    assert "did you mean 'resnet18'?" in outputs[-1][0]["text"]
    assert (tmp_path / "runs" / "student" / "student").is_dir()


def test_its_outputs_are_small(path):
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"], "run it before you keep it"
            assert len(json.dumps(cell["outputs"])) < _MOST_CHARACTERS

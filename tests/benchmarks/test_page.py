"""A page's tables come from the results, and what was not measured stays."""

from benchmarks.page import fill

RESULTS = {
    "command": ["python", "-m", "benchmarks", "steps"],
    "environment": {
        "python": "3.11",
        "packages": {"torch": "2.15", "torchvision": "0.29", "timm": "1.0"},
        "device": {"type": "cpu", "name": "x86_64", "threads": 2},
        "cpus": 2,
    },
    "groups": {
        "steps": [
            {
                "name": "pair",
                "base": "bare",
                "values": {"bare": [0.1, 0.1], "kd": [0.2, 0.4]},
                "cpu": {},
                "images": None,
                "notes": {},
                "unit": "ms",
                "differences": False,
            }
        ]
    },
}
PAGE = """# Page
<!-- measured: steps/pair -->
old
<!-- end -->
between
<!-- measured: steps/other -->
kept
<!-- end -->
<!-- measured: environment -->
<!-- end -->
"""


def test_tables_are_filled_in_place_and_again():
    once = fill(PAGE, RESULTS)
    assert "| kd | 300 | 3.000 | 2.500 to 3.500 |" in once
    assert "old" not in once
    assert "kept" in once
    assert "between" in once
    assert "2 CPUs, 2 threads; Python 3.11, torch 2.15" in once
    assert fill(once, RESULTS) == once


def _loss(name, unit, ours):
    values = {"theirs": [2.0, 2.0], "kd": [ours, ours]}
    return {
        **RESULTS["groups"]["steps"][0],
        "name": name,
        "base": "theirs",
        "values": values,
        "unit": unit,
    }


def test_a_summary_has_time_and_memory_of_a_case_in_one_row():
    cases = [_loss("kd, 10 classes", "MiB", 1.0)]
    cases += [
        _loss("kd, 1,000 classes", "MiB", 1.0),
        _loss("kd, 1,000 classes, peak extra memory", "MiB", 3.0),
    ]
    page = "<!-- summary: losses/, 1,000 classes -->\n<!-- end -->\n"
    filled = fill(page, {**RESULTS, "groups": {"losses": cases}})
    assert "|  | theirs | kd | memory: theirs | memory: kd |" in filled
    assert "| kd, 1,000 classes | 2 MiB | 0.500 | 2 MiB | 1.500 |" in filled
    assert "10 classes" not in filled

"""The tables of a page, by their names, from the results of `python -m benchmarks gpu`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.gpu.crd import Time, choose, fitted, slower
from benchmarks.gpu.parts import PARTS
from benchmarks.rounds import Measured
from benchmarks.table import markdown, rounds

Data = dict[str, Any]
Row = Sequence[str]


def tables(results: Data) -> dict[str, str]:
    """`gpu/parts`, and `gpu/NAME` for each part that has found something."""
    found = {"gpu/parts": _parts(results)}
    makers = {
        "correctness": _tests,
        "methods": _tests,
        "steps": _steps,
        "loader": lambda items: _loader(items, _needed(_items(results, "steps"))),
        "crd": _crd,
        "comparison": _comparison,
    }
    for name, make in makers.items():
        items = _items(results, name)
        if any("value" in item for item in items.values()):
            found[f"gpu/{name}"] = "\n\n".join([make(items), *_failures(items)])
        elif items:
            found[f"gpu/{name}"] = "\n\n".join(_failures(items))
    return found


def _items(results: Data, name: str) -> dict[str, Data]:
    items: dict[str, Data] = results["parts"].get(name, {}).get("items", {})
    return items


def _values(items: dict[str, Data]) -> dict[str, Any]:
    return {name: item["value"] for name, item in items.items() if "value" in item}


def _parts(results: Data) -> str:
    rows: list[Row] = [("part", "status", "items", "seconds")]
    for part in PARTS:
        kept = results["parts"].get(part.name)
        if kept is None:
            rows.append((f"{part.name}: {part.summary}", "not begun", "", ""))
            continue
        planned = kept.get("planned")
        count = f"{len(_values(kept['items']))} of {'?' if planned is None else len(planned)}"
        status = kept["status"]
        if "error" in kept:
            status += f": {_said(kept['error'])}"
        rows.append((f"{part.name}: {part.summary}", status, count, f"{kept['seconds']:,.0f}"))
    return _table(rows)


def _tests(items: dict[str, Data]) -> str:
    outcomes = [value["outcome"] for value in _values(items).values()]
    failed = sum("error" in item and "cut" not in item for item in items.values())
    text = f"{outcomes.count('passed')} passed, {outcomes.count('skipped')} skipped, {failed} failed."
    reasons = [
        f"- `{_short(name)}`: skipped: {value['why']}"
        for name, value in _values(items).items()
        if value["outcome"] == "skipped"
    ]
    return "\n".join([text, *(["", *reasons] if reasons else [])])


def _steps(items: dict[str, Data]) -> str:
    parts = []
    for value in _values(items).values():
        case = Measured(**value["case"])
        parts.append(f"**{case.name}**\n\n{markdown(case)}\n\n{rounds(case)} rounds.")
        peaks = value["peak_mib"]
        if peaks:
            texts = ", ".join(f"{name} {size:,.0f} MiB" for name, size in peaks.items())
            parts.append(
                f"Peak memory in a step, beyond weights, batches and the optimizer's state: {texts}."
            )
    return "\n\n".join(parts)


def _needed(items: dict[str, Data]) -> dict[str, float]:
    """The largest number of images per second of each of kd's contenders, with the name of the case."""
    found: dict[str, float] = {}
    for value in _values(items).values():
        case = Measured(**value["case"])
        for name, seconds in case.values.items():
            if name.startswith("kd ") and case.images and seconds:
                key = f"{name}: {case.name}"
                found[key] = case.images / statistics.median(seconds)
    return found


def _loader(items: dict[str, Data], needed: dict[str, float]) -> str:
    rows: list[Row] = [("loader, 224 px", "images/s")]
    rows += [(name, f"{value['images_per_second']:,.0f}") for name, value in _values(items).items()]
    parts = [_table(rows)]
    given = {
        value["workers"]: value["images_per_second"]
        for value in _values(items).values()
        if not value["kept"] and value["workers"]
    }
    if needed and given:
        each = given[min(given)] / min(given)
        most = max(given, key=lambda count: given[count])
        best = given[most]
        wanted: list[Row] = [("step", "needs images/s", "processes, if each gives as one does", "measured")]
        for name, rate in needed.items():
            enough = [count for count in sorted(given) if given[count] >= rate]
            text = f"{enough[0]} are enough" if enough else f"{most} give {best / rate:.0%}"
            wanted.append((name, f"{rate:,.0f}", str(math.ceil(rate / each)), text))
        parts.append(_table(wanted))
    return "\n\n".join(parts)


def _crd(items: dict[str, Data]) -> str:
    times = [Time(*one) for value in _values(items).values() for one in value]
    costs = fitted(times)
    now = [slower(one, one.takes_all) for one in times]
    then = [slower(one, choose(costs, one)) for one in times]
    rows: list[Row] = [("constants", "faster way taken", "at worst slower by")]
    for name, found in (("those in the code", now), ("fitted to these times", then)):
        rows.append(
            (name, f"{sum(one <= 1 for one in found)} of {len(found)}", f"{max(1.0, *found):.2f} times")
        )
    names = ("row", "score", "term", "pick", "chosen", "fetch")
    text = ", ".join(f"{costs[name]:.3g}" for name in names)
    starts = f"{costs['start'] / 1000:.0f} and {costs['start of chosen'] / 1000:.0f} µs"
    return f"{_table(rows)}\n\nFitted: `Costs({text})` ns; the two ways take {starts} to begin."


def _comparison(items: dict[str, Data]) -> str:
    # an item has the runs of the seeds before it too
    runs = {(run["method"], run["seed"]): run for value in _values(items).values() for run in value["runs"]}
    lacks: list[str] = next((value["missing"] for value in _values(items).values() if value["missing"]), [])
    rows: list[Row] = [("method", "seeds", "top-1 %", "images/s", "seconds of a run")]
    for method in dict.fromkeys(name for name, _ in runs):
        own = [run for (name, _), run in runs.items() if name == method]
        scores = [run["top1"] for run in own if run["top1"] is not None]
        spread = f" ± {statistics.stdev(scores):.2f}" if len(scores) > 1 else ""
        rows.append(
            (
                method,
                str(len(own)),
                f"{statistics.mean(scores):.2f}{spread}" if scores else "",
                _median(run["images_per_second"] for run in own),
                _median(run["seconds"] for run in own),
            )
        )
    what = next(iter(_values(items))).partition(",")[0]
    note = f"On {what}." + (f" For CIFAR-10, this was missing: {', '.join(lacks)}." if lacks else "")
    return f"{note}\n\n{_table(rows)}"


def _median(values: Any) -> str:
    known = [value for value in values if value is not None]
    return f"{statistics.median(known):,.0f}" if known else ""


def _failures(items: dict[str, Data]) -> list[str]:
    lines = [
        f"- {'cut by time' if 'cut' in item else 'failed'}: `{_short(name)}`: {_said(item['error'])}"
        for name, item in items.items()
        if "error" in item
    ]
    return ["\n".join(lines)] if lines else []


def _short(name: str) -> str:
    """A test's name without its folder."""
    return name.rpartition("/")[2]


def _said(error: str) -> str:
    lines = error.strip().splitlines()
    # pytest marks the lines of the error; the first one says what it is
    said = next((line for line in lines if line.startswith("E  ")), lines[-1])
    return said.removeprefix("E").strip()[:300].replace("|", "/").replace("<!--", "")


def _table(rows: Sequence[Row]) -> str:
    first, *others = rows
    lines = [first, ["---", *("---:" for _ in first[1:])], *others]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)

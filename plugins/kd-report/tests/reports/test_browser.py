"""The page in a real browser: headless chromium, on a phone and on a desk, light and dark."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from kd_report.reports import paper
from kd_report.reports.report import report, write_report

from kdcore.plugin import get_plugins

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no chromium (Debian: apt-get install chromium)"
)

# a frame of the wanted width, since a headless window has a least one; what is inside is measured from outside
PROBE = """<!doctype html><pre id="found"></pre><script>
const page = PAGE, widths = [390, 1280], found = {};
for (const width of widths) {
  const frame = document.createElement("iframe");
  frame.style = `width:${width}px;height:800px;border:0`;
  frame.srcdoc = page;
  frame.onload = () => {
    const inside = frame.contentDocument, root = inside.documentElement, over = [];
    for (const one of inside.querySelectorAll("details")) one.open = true;
    for (const one of inside.querySelectorAll("body *")) {
      const box = one.getBoundingClientRect();
      if (box.width && (box.right > width + 1 || box.left < -1) && !one.closest(".scroll, pre, .hidden"))
        over.push(one.tagName + " " + (one.textContent || "").slice(0, 40));
    }
    const style = frame.contentWindow.getComputedStyle(inside.body);
    found[width] = {scroll: root.scrollWidth, over, background: style.backgroundColor, colour: style.color,
      charts: [...inside.querySelectorAll("svg.chart")].map((one) => one.getBoundingClientRect().height)};
    document.getElementById("found").textContent = JSON.stringify(found);
  };
  document.body.append(frame);
}
</script>"""


def _looked_at(page: Path, folder: Path, *, dark: bool) -> tuple[dict[str, Any], str]:
    """What the browser makes of a page, and what it writes to its console."""
    text = json.dumps(page.read_text("utf-8")).replace("</", "<\\/")
    probe = folder / "probe.html"
    probe.write_text(PROBE.replace("PAGE", text, 1), "utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    options += [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=5000"]
    options.append(f"--blink-settings=preferredColorScheme={0 if dark else 1}")
    done = subprocess.run(
        [str(CHROMIUM), *options, probe.as_uri()], capture_output=True, text=True, timeout=240, check=False
    )
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None, done.stderr[-2000:]
    console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    return json.loads(html.unescape(found[1])), console


def _brightness(colour: str) -> float:
    return sum(float(value) for value in re.findall(r"[\d.]+", colour)[:3]) / 3


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_page_renders_and_nothing_overflows(
    make_run, make_opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dark: bool
):
    monkeypatch.setattr(paper, "find_spec", lambda name: None)
    run = make_run("a-name-that-is-so-long-that-it-has-to-be-broken-somewhere-on-a-phone")
    names = (
        "a name without any space that is far longer than the room for it".replace(" ", ""),
        *"bcdefghij",
    )
    opened = make_opened(run, names=names)
    page = write_report(run, opened, plugins=get_plugins(), tsne=False).path
    found, console = _looked_at(page, tmp_path, dark=dark)
    assert console == ""
    for width in ("390", "1280"):
        assert found[width]["over"] == []
        assert found[width]["scroll"] <= int(width)
        assert len(found[width]["charts"]) >= 9
        assert min(found[width]["charts"]) > 50
        assert (_brightness(found[width]["background"]) < 128) == dark
        assert (_brightness(found[width]["colour"]) > 128) == dark


def test_the_page_that_compares_runs_does_not_overflow(make_run, tmp_path: Path):
    runs = [make_run(f"run-{number}", top1=60.0 + number) for number in range(9)]
    page = report(*(run.path for run in runs)).path
    found, console = _looked_at(page, tmp_path, dark=False)
    assert console == ""
    for width in ("390", "1280"):
        assert found[width]["over"] == []
        assert found[width]["scroll"] <= int(width)

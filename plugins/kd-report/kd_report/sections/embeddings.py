"""The section on embeddings: maps by PCA, and by t-SNE if scikit-learn is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kd_report.charts import Cloud, figure, scatter
from kd_report.charts.scatter import SHAPES
from kd_report.reports.look import findings_of
from kdcore import ReportSection

if TYPE_CHECKING:
    from markupsafe import Markup

    from kd_report.reports.findings import Findings
    from kd_report.reports.maps import EmbeddingMap
    from kdcore import OpenedRun

COLOURS: Final = 5


def embeddings(run: OpenedRun) -> ReportSection | None:
    """Embeddings in the plane."""
    findings = findings_of(run)
    return None if findings is None else embeddings_section(findings)


def embeddings_section(findings: Findings) -> ReportSection | None:
    """The section, from measures; None if the images are too few for a map."""
    figures = []
    text = ""
    for kind in ("tsne", "pca"):
        for name, model in findings.models:
            if model.map is None or (kind == "tsne" and model.map.tsne is None):
                continue
            figures.append(_map(name, model.map, kind, findings))
            text = _map_text(model.map, findings)
    return ReportSection("embeddings", "Embeddings", text, tuple(figures)) if figures else None


def _map(name: str, drawn: EmbeddingMap, kind: str, findings: Findings) -> Markup:
    places = drawn.pca if kind == "pca" or drawn.tsne is None else drawn.tsne
    clouds = []
    others = places[drawn.group < 0]
    if len(others):
        clouds.append(Cloud("other classes", [(float(a), float(b)) for a, b in others], "rest"))
    for number, k in enumerate(drawn.groups):
        chosen = places[drawn.group == k]
        points = [(float(a), float(b)) for a, b in chosen]
        shape = SHAPES[number // COLOURS % len(SHAPES)]
        clouds.append(Cloud(findings.names[k], points, f"m{number % COLOURS}", shape))
    title = f"{name.capitalize()}, {'PCA' if kind == 'pca' else 't-SNE'}"
    note = f"The two components hold {drawn.explained:.0f} % of the variance." if kind == "pca" else None
    if drawn.of == "logits":
        note = f"{note or ''} Of the logits: no adapter knows the model's embedding.".strip()
    return figure(
        title,
        scatter(clouds, label=f"map of the {name}'s {drawn.of}: {len(places)} images, {title}"),
        legend=[(f"{cloud.class_} dot {cloud.shape}", cloud.name) for cloud in clouds],
        note=note,
    )


def _map_text(drawn: EmbeddingMap, findings: Findings) -> str:
    by = "true class" if findings.labelled else "teacher's class" if findings.teacher else "student's class"
    text = f"{len(drawn.group)} images as each model sees them, marked by their {by}: what lies together looks alike."
    if len(findings.names) > len(drawn.groups):
        text += f" {len(drawn.groups)} of {len(findings.names)} classes have a mark of their own; the others are grey."
    return text

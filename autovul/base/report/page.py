"""The report as one HTML page; its templates escape whatever comes from a record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autovul.base.report import catalogue, figures, wording
from autovul.base.report.sections import Section
from autovul.base.report.totals import Totals
from autovul.base.result import Result

RECORD_PARTS = ("options", "counts", "seconds", "environment", "files")
MARKERS = {"manual": "circle", "nas": "diamond", "mitigated": "triangle", "yours": "square"}


def render(results: Sequence[Result], refused: Sequence[tuple[Path, str]], sections: Sequence[Section]) -> str:
    """Fill the templates."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        words=wording, catalogue=catalogue, readable=catalogue.readable, markers=MARKERS, record_parts=RECORD_PARTS
    )
    return environment.get_template("page.html").render(
        totals=Totals.of(results, refused, sections),
        refused=refused,
        sections=sections,
        plots={section.number: figures.dot_plot(section) for section in sections},
        curves={section.number: figures.learning_curves(section) for section in sections},
    )

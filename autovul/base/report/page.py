"""The report as one HTML page; its templates escape whatever comes from a record."""

from __future__ import annotations

from pathlib import Path

from autovul.base import cell_graph
from autovul.base.report import (
    advice,
    catalogue,
    cells,
    claim_figure,
    claim_words,
    coverage,
    figures,
    formats,
    pictures,
    standing,
    wording,
)
from autovul.base.report.contents import Contents
from autovul.base.report.line_figure import line_figures

RECORD_PARTS = ("options", "counts", "seconds", "environment", "files")


def render(contents: Contents) -> str:
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
        words=wording,
        formats=formats,
        claim_words=claim_words,
        advice=advice,
        coverage=coverage,
        catalogue=catalogue,
        readable=catalogue.readable,
        standing=standing,
        look=catalogue.look,
        kinds=cells.KINDS,
        box=cell_graph.BOX,
        state_box=cell_graph.STATE,
        radius=cell_graph.RADIUS,
        record_parts=RECORD_PARTS,
    )
    found = contents.findings
    return environment.get_template("page.html").render(
        contents=contents,
        totals=contents.totals,
        refused=contents.refused,
        sections=contents.sections,
        plots={
            section.number: figures.dot_plot(section.networks, section.main, section.unit(section.main))
            for section in contents.sections
        },
        contours={section.number: pictures.contours(section) for section in contents.sections},
        rocs={section.number: pictures.rocs(section) for section in contents.sections},
        curves={section.number: figures.learning_curves(section) for section in contents.sections},
        forests={each.number: claim_figure.forest(each, contents.controls[each.number]) for each in found},
        lines={each.number: line_figures(each, contents.controls[each.number]) for each in found},
        claim_plots={each.number: claim_figure.networks(each) for each in found},
    )

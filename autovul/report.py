"""``autovul report``: tables, figures and a page from result records alone."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from autovul.base.atomic import whole_file
from autovul.base.cli import command
from autovul.base.experiments import Experiment, load_experiments
from autovul.base.report import build
from autovul.base.report.formats import listed
from autovul.base.result import read_results
from autovul.vision import commands
from autovul.vision.models.darts import is_file
from autovul.vision.models.registry import by_group, networks

FIGURE = re.compile(r"\d{2,}_.+_(difference|networks|equal-[a-z-]+|against-[a-z0-9-]+)\.(png|pdf)")


def canonical(experiment: Experiment) -> Experiment:
    """With the networks of its claims by the names that records have: a definition may use other ones."""

    def known(side: Sequence[str]) -> tuple[str, ...]:
        plain = (Path(name).stem if is_file(name) else name for name in side)
        return tuple(networks.canonical(name) if name in networks else name for name in plain)

    claims = {
        name: claim.model_copy(update={"first": known(claim.first), "second": known(claim.second)})
        for name, claim in experiment.claims.items()
    }
    return experiment.model_copy(update={"claims": claims})


def left_over(folder: Path, written: Collection[Path]) -> list[Path]:
    """LaTeX tables and figures that another report has left in the folder: what they say may hold no longer."""
    figures = (path for path in sorted((folder / "figures").glob("*")) if FIGURE.fullmatch(path.name))
    return [path for path in (folder / "claims.tex", *figures) if path.is_file() and path not in written]


@command("report")
def main(argv: Sequence[str] | None = None) -> int:
    """Read the records, print the findings, and write page, texts and tables."""
    options = commands.read("report", argv).report
    experiments = {name: canonical(each) for name, each in load_experiments(options.experiments).items()}
    # Before the first run there is nothing, and a page that says so.
    nothing_yet = not options.results and options.result_dir == type(options)().result_dir
    places = [Path(place) for place in options.results or [options.result_dir]]
    results, refused = read_results([place for place in places if place.exists() or not nothing_yet])
    report = build(results, refused, experiments, by_group())
    folder, text = Path(options.output_dir), report.text()
    forms = {
        "report.html": report.html(),
        "report.txt": text,
        "report.md": report.markdown(),
        "report.csv": report.csv(),
        "claims.csv": report.claims_csv(),
        **report.tables(),
        **({"claims.tex": report.latex()} if options.latex else {}),
    }
    for name, content in forms.items():
        with whole_file(folder / name) as file:
            file.write(content.encode())
    figures = report.write_figures(folder / "figures", options.figures) if options.figures else []
    print(text)
    print(f"page: {folder / 'report.html'}")
    if older := left_over(folder, {folder / name for name in forms} | {*figures}):
        print(f"of an earlier report: {listed([str(path) for path in older], 4)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

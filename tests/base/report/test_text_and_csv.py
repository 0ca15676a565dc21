"""The text for the console, the table for other programs, and what an import costs."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from statistics import fmean

import pytest
from scipy import stats

from autovul.base.report import build, formats
from autovul.base.result import Metric, Result
from tests.base.report.records import MANUAL, NAS, campaign, make, study


def rows(*results):
    return list(csv.DictReader(io.StringIO(build(list(results)).csv())))


def test_runs_are_counted_by_kind_which_several_experiments_share():
    """A sweep of these two says 2 experiments."""
    (line,) = [line for line in build(campaign(1, ["fig2", "distance"])).text().splitlines() if " results of " in line]
    assert "results of 1 kind of run on cifar10" in line


def test_the_text_shows_the_same_figures_as_the_page():
    report = build([make("a", "nas", 1, 61.0), make("b", "manual", 1, 40.0)], [(Path("x.json"), "not valid JSON")])
    text, page = report.text(), report.html()
    for fact in (
        "Searched is 21.00 points higher",
        "One network of each group",
        "61.00 / 40.00",
        "3.35 M",
        "not valid JSON",
    ):
        assert fact in text and fact in page


def test_prose_of_the_text_keeps_within_its_width_and_tables_stay_aligned():
    text = build(study()).text()
    prose = [line for line in text.splitlines() if line.endswith(".") and "  " not in line.strip()]
    assert prose and max(map(len, prose)) <= 100
    lines = [line for line in text.splitlines() if " Searched  " in line or " Manual  " in line]
    assert len({line.index("Searched  " if "Searched  " in line else "Manual  ") for line in lines[:17]}) == 1


def test_without_results_the_text_says_what_to_run():
    assert "autovul train" in build([]).text()


def test_a_name_cannot_steer_the_terminal():
    assert "\x1b" not in build([make("\x1b[2Jx", message="\x1b]0;y\x07", status="failed")]).text()


def test_every_metric_of_every_record_is_a_line_with_its_exact_value():
    value = 84.123456789012345
    found = rows(make(value=value), make(seed=2, status="diverged", metrics={}, message="not, finite\n"))
    assert len(found) == len(make().metrics) + 1
    first = found[0]
    assert (first["metric"], float(first["value"]), first["unit"], first["count"]) == (
        "success_rate",
        value,
        "%",
        "1000",
    )
    assert json.loads(first["options"])["iteration"] == 7
    assert (found[-1]["status"], found[-1]["metric"], found[-1]["message"]) == ("diverged", "", "not, finite\n")


def test_a_value_that_was_not_measured_is_empty():
    assert rows(make(metrics={"success_rate": Metric(None, "%")}))[0]["value"] == ""


def test_a_spreadsheet_takes_no_text_for_a_formula():
    formula = "=HYPERLINK(1)"
    record = make(formula, formula, dataset=formula, metrics={formula: Metric(-1.5, formula)}, weights_sha256=formula)
    (found,) = rows(record.replace(facts={"parameters": formula}))
    assert not [cell for cell in found.values() if cell.startswith("=")]
    assert found["value"] == "-1.5", "a negative number is no formula"


def test_a_report_from_records_that_were_written_and_read_is_the_same():
    results = study(1)
    again = [Result.from_json(result.to_json()) for result in results]
    assert build(again).html() == build(results).html()


def test_latex_and_markdown_are_escaped():
    evil = "a_b%$&#{}\\\\~^|<b>*`"
    records = [r.replace(dataset=evil, model=evil if r.model == "darts" else r.model) for r in campaign(2, ["fig2"])]
    report = build(records)
    tables, markdown = report.latex(), report.markdown()
    assert r"a\_b\%\$\&\#\{\}\textbackslash{}" in tables
    assert tables.count("{table}") == 2 * 4, "all claims, the networks, the controls, the relations"
    bare = re.sub(r"\\[{}]", "", tables)
    assert bare.count("{") == bare.count("}")
    for line in tables.split(r"\begin{tabular}{llrr}")[1].split(r"\end{tabular}")[0].splitlines():
        if line.endswith(r" \\"):
            assert len(re.findall(r"(?<!\\)&", line)) == 3, line
    assert "<b>" not in markdown and "&lt;b&gt;" in markdown
    for line in markdown.splitlines():
        if line.startswith(("| darts", "| a")):
            assert len(re.findall(r"(?<!\\)\|", line)) in (5, 7, 9), line


def test_latex_tells_relations_as_they_are():
    report = build(campaign(2, ["fig2"]))
    depth, _ = report.relations[1]
    table = report.latex().split(r"\begin{table}")[-1]
    assert "fig2: Success rate, \\%, against facts of the networks" in table
    lines = [line for line in table.splitlines() if line.endswith(r" \\")]
    assert len(lines) == 1 + 2 * 3, "a head; of depth and skips all networks and both groups"
    ends = depth.correlation.estimate, depth.correlation.low, depth.correlation.high
    texts = [f"{end:+.2f}".replace("-", "$-$") for end in ends]
    assert lines[1] == rf"depth & all & 17 & {texts[0]} ({texts[1]} to {texts[2]}) \\"
    assert [line.split(" & ")[1:3] for line in lines[2:4]] == [["Manual", "7"], ["Searched", "10"]]


def test_latex_tells_what_its_numbers_are():
    report = build(campaign(3, ["fig2"]))
    overall, networks, controls, _ = report.latex().split(r"\begin{table}")[1:]
    assert "nothing is corrected for the number of claims and controls" in overall and "permutation test" in overall
    p = formats.p_text(report.findings[0].reading.difference.permutation.p_value).replace("<", r"\textless{}")
    header, row = (line.removesuffix(r" \\").split(" & ") for line in overall.splitlines() if line.endswith(r" \\"))
    assert dict(zip(header, row, strict=True))["p, in general"] == p
    assert r"$\pm$ is half of a 95 \% interval over seeds" in networks
    equal = next(line for line in controls.splitlines() if line.startswith("equal clean accuracy"))
    assert equal.split(" & ")[4] == "--" and "has no p" in controls
    (networks,) = [t for t in build(campaign(1, ["fig2"])).latex().split(r"\begin{table}") if "Success rate" in t][:1]
    assert r"$\pm$" not in networks


def test_importing_the_report_loads_nothing_heavy():
    code = (
        "import sys, autovul.base.report, autovul.base.statistics;"
        "print([m for m in ('torch', 'scipy', 'jinja2', 'matplotlib', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def lines(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_networks_comparisons_and_relations_for_other_programs():
    results = campaign(3, ["fig2", "fig12"])
    tables = {name: lines(text) for name, text in build(results).tables().items()}

    values = [r.metrics["success_rate"].value for r in results if r.model == "drnas" and "success_rate" in r.metrics]
    (row,) = [r for r in tables["networks.csv"] if r["network"] == "drnas" and r["metric"] == "success_rate"]
    assert (row["group"], row["seeds"], row["over"]) == ("nas", "3", "seeds")
    assert [float(pair.split(":")[1]) for pair in row["seed_values"].split()] == values
    margin = stats.t.ppf(0.975, 2) * stats.tstd(values) / 3**0.5
    ends = [float(row[name]) for name in ("low", "mean", "high")]
    assert ends == pytest.approx([fmean(values) - margin, fmean(values), fmean(values) + margin])

    by_group = {
        group: {
            m: fmean(r.metrics["success_rate"].value for r in results if r.model == m and "success_rate" in r.metrics)
            for m in members
        }
        for group, members in (("nas", NAS), ("manual", MANUAL))
    }
    (row,) = [r for r in tables["comparisons.csv"] if r["metric"] == "success_rate"]
    assert (row["first"], row["second"], row["first_networks"], row["second_networks"]) == ("nas", "manual", "10", "7")
    means = [fmean(by_group[group].values()) for group in ("nas", "manual")]
    assert [float(row[name]) for name in ("first_mean", "second_mean")] == pytest.approx(means)
    assert float(row["difference"]) == pytest.approx(means[0] - means[1])
    assert float(row["these_low"]) < float(row["difference"]) < float(row["these_high"])
    assert row["same_conditions"] == "True"

    depth = {r.model: r.facts["depth"] for r in results}
    found = {r["within"]: r for r in tables["relations.csv"] if r["claim"] == "fig2" and r["fact"] == "depth"}
    assert {group: row["networks"] for group, row in found.items()} == {"": "17", "nas": "10", "manual": "7"}
    for group, members in (("nas", NAS), ("manual", MANUAL)):
        expected = stats.spearmanr([depth[m] for m in members], [by_group[group][m] for m in members]).statistic
        assert float(found[group]["correlation"]) == pytest.approx(expected)
        assert float(found[group]["low"]) < expected < float(found[group]["high"])


def test_the_tables_of_nothing_are_headers():
    assert all(len(text.splitlines()) == 1 for text in build([]).tables().values())


def test_a_network_with_one_seed_has_the_interval_over_images_if_any():
    tables = build([make("darts", value=60.0)]).tables()
    over = {row["metric"]: row["over"] for row in lines(tables["networks.csv"])}
    assert over["success_rate"] == "images" and over["mean_iterations"] == ""


@pytest.mark.parametrize("value", [-0.1, 100.1])
def test_a_rate_that_none_can_be_has_no_interval_over_images(value):
    (row,) = lines(build([make(metrics={"success_rate": Metric(value, "%", 1000)})]).tables()["networks.csv"])
    assert (float(row["mean"]), row["over"], row["low"], row["high"]) == (value, "", "", "")

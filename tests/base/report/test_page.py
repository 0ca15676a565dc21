"""The page: well formed, self-contained, escaped, and its numbers are the records' numbers."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from statistics import fmean

import pytest

from autovul.base.report import build
from autovul.base.result import Metric
from autovul.base.statistics import mean_interval
from tests.base.report.records import make, study, training

VOID = {"meta", "link", "br", "img", "hr", "input"}
EVIL = "<script>alert('1')</script>\"><b onclick=x>"


class Page(HTMLParser):
    """Reads a page: refuses unbalanced tags, keeps elements with attributes and the rows of tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data):
        if "style" in self.open or "script" in self.open:
            return
        self.words.append(data)
        if self.rows and {"td", "th"} & set(self.open):
            self.rows[-1][-1] = " ".join((self.rows[-1][-1] + data).split())

    def attributes(self, name):
        return [found[name] for _, found in self.elements if name in found]

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def row(self, first: str) -> list[str]:
        return next(row for row in self.rows if row[0] == first)


def page(*results, refused=()):
    return Page(build(list(results), list(refused)).html())


@pytest.fixture(scope="module")
def full():
    narrow = make("darts", value=61.5, options={"width": 0.25})
    return page(*study(), narrow, make("mine", "yours"), refused=[(Path("a/b.json"), "not valid JSON")])


def test_every_reference_leads_somewhere_and_ids_are_unique(full):
    ids = full.attributes("id")
    assert len(ids) == len(set(ids))
    links = [link.removeprefix("#") for link in full.attributes("href")]
    labels = [label for labels in full.attributes("aria-labelledby") for label in labels.split()]
    assert set(links + labels) <= set(ids)
    assert len(links) > 100


def test_nothing_comes_from_elsewhere(full):
    assert all(link.startswith("#") for link in full.attributes("href"))
    assert not full.attributes("src")
    source = build(study(1)).html()
    assert not re.search(r"https?://|//[a-z]|url\(|@import", source)
    assert "default-src 'none'" in source


def test_figures_have_a_text_alternative(full):
    figures = [found for tag, found in full.elements if tag == "svg" and found.get("role") == "img"]
    assert figures and all(found["aria-labelledby"] for found in figures)
    decoration = [found for tag, found in full.elements if tag == "svg" and found.get("class", "").startswith("marker")]
    assert all(found["aria-hidden"] == "true" for found in decoration)
    assert "Manual, mean" in full.text, "the description tells the values"


def test_whatever_a_record_says_is_escaped():
    record = make(EVIL, EVIL, dataset=EVIL, algorithm=EVIL, message=EVIL, data_sha256=EVIL, weights_sha256=EVIL)
    record = record.replace(
        experiment=EVIL,
        metrics={EVIL: Metric(1.0, EVIL, 5)},
        options={EVIL: EVIL, "width": EVIL},
        facts={"parameters": EVIL, "skips": EVIL},
        environment={EVIL: {EVIL: EVIL}, "created": EVIL, "code_version": EVIL},
        files={EVIL: EVIL},
    )
    curve = training(EVIL, EVIL, 1, 90.0, dataset=EVIL)
    twin = record.replace(data_sha256="other", options={EVIL: "2"}, seed=2, status="failed")
    found = page(record, curve, twin, refused=[(Path(EVIL), EVIL)])
    assert [tag for tag, _ in found.elements].count("script") == 1
    assert not found.attributes("onclick")
    assert found.text.count("alert('1')") > 20


def test_the_tables_show_the_means_and_intervals_of_the_records():
    values = [84.1, 85.3, 82.6]
    found = page(*(make("drnas", seed=seed, value=value) for seed, value in enumerate(values)))
    row = found.row("drnas")
    margin = mean_interval(values).margin
    assert row[1:3] == ["Searched", f"{fmean(values):.2f} ± {margin:.2f}"]
    assert row[3] == f"{fmean(values) + 6:.2f} ± {margin:.2f}"
    assert str(fmean(values)) in found.attributes("data-sort"), "sorted by the exact value"
    assert row[-6:] == ["3", "1,000", "3.35 M", "528 M", "61", "14"]


def test_group_means_and_difference_count_each_network_once():
    seeds = [make("a", "nas", seed, 90.0) for seed in range(5)] + [make("b", "nas", 1, 80.0)]
    found = page(*seeds, make("c", "manual", 1, 70.0), make("c", "manual", 2, 74.0))
    row = next(row for row in found.rows if row[:2] == ["Success rate, %", "Searched \N{MINUS SIGN} Manual"])
    assert row[2:4] == ["85.00 / 72.00", "+13.00"]
    glance = next(row for row in found.rows if row[0].startswith("Adversarial attack"))
    assert glance[2:5] == ["72.00", "85.00", "+13.00"]


def test_networks_stand_by_group():
    groups = ["yours", "nas", "robots", "mitigated", "manual"]
    found = page(*(make(f"net_{group}", group) for group in groups))
    names = [row[0] for row in found.rows if row[0].startswith("net_")]
    assert names == ["net_manual", "net_nas", "net_mitigated", "net_yours", "net_robots"]


def test_a_diverged_run_is_shown_and_counted_but_in_no_mean():
    good = make("darts", seed=1, value=80.0)
    bad = make("darts", seed=2, value=100.0, status="diverged", message="loss not finite in epoch 3")
    found = page(good, bad, make("enas", status="failed", metrics={}))
    assert found.row("darts")[2] == "80.00"
    assert "1 of 2" in found.row("darts")
    assert found.row("darts")[-1] == "1 diverged"
    assert found.row("enas")[2] == "\N{EN DASH}"
    assert "loss not finite in epoch 3" in found.text
    assert "darts: 1 diverged and enas: 1 failed" in found.text


def test_without_results_the_page_says_what_to_run():
    found = page(refused=[(Path("a/b.json"), "schema version 9")])
    assert "autovul train" in found.text
    assert "a/b.json: schema version 9" in found.text
    assert not found.rows


def test_an_unknown_experiment_shows_all_its_metrics():
    metrics = {"auc": Metric(0.61, "", 100), "strange_thing": Metric(3.0, "apples")}
    found = page(make(experiment="new_attack", algorithm="", metrics=metrics))
    assert "New attack" in found.text
    assert found.row("darts")[2:4] == ["0.6100", "3.000"]
    assert "Strange thing, apples" in found.text


def test_a_record_with_no_value_at_all_is_still_a_page():
    found = page(make(metrics={"success_rate": Metric(None, "%")}), make("x", metrics={}, experiment="y", facts={}))
    assert "there is nothing to compare" in found.text


def test_learning_curves_leave_out_what_was_not_measured():
    found = page(training("darts", "nas", 1, 95.0), training("enas", "nas", 1, 94.0, series=()))
    assert "1 network has no curve" in found.text
    assert "validation accuracy from 12.0 %" in found.text


def test_a_thousand_records_are_quick_enough():
    results = study(50)[:1000]
    assert len(results) == 1000
    assert page(*results).text.count("seed 1270") > 5


@pytest.mark.slow
def test_a_thousand_networks_are_quick_enough():
    results = [result.replace(model=f"net{number}") for number, result in enumerate(study(25))]
    assert len(page(*results).rows) > 1000

"""Whatever lies in the result folder, there is a page, and what is left out of it is named and counted."""

from __future__ import annotations

import json
import sys

import pytest

from autovul.base import result as result_module
from autovul.base.report import build, claim_words
from autovul.base.result import Metric, read_results
from tests.base.report.records import campaign, make
from tests.base.report.test_page import Page


@pytest.fixture
def folder(tmp_path):
    for result in campaign(2, ["fig2"]):
        result.write(tmp_path)
    return tmp_path


def forms(report):
    Page(report.html())
    return report.html(), report.text(), report.markdown()


def broken(folder, change):
    path = next(iter(sorted((folder / "adv_attack").glob("*.json"))))
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: text[: len(text) // 2], "not valid JSON"),
        (lambda text: "", "not valid JSON"),
        (lambda text: "null", "not a result record"),
        (lambda text: text.replace('"schema_version": 1', '"schema_version": 2'), "schema version 2"),
        (
            lambda text: json.dumps(
                {**json.loads(text), "metrics": {"a": {"value": float("nan"), "unit": "", "count": 1}}}
            ),
            "NaN",
        ),  # fmt: skip
        (lambda text: text.replace('"seed": 1228,', '"seed": "x",', 1), "seed must be a whole number"),
        (lambda text: "[" * 100_000, "not valid JSON"),
        (
            lambda text: json.dumps({**json.loads(text), "metrics": {"a": {"value": 10**400, "unit": "", "count": 1}}}),
            "not a result record",
        ),  # fmt: skip
        (lambda text: json.dumps({**json.loads(text), "facts": {"parameters": 10**400}}), "facts: parameters must be"),
        (
            lambda text: json.dumps({**json.loads(text), "options": {"data_dir": "caf\udce9"}}),
            "must be text in Unicode",
        ),
        (lambda text: text.replace('"success_rate": {', '"a": {"value": 1e999}, "success_rate": {', 1), "got inf"),
    ],
)
def test_a_broken_file_is_named_with_its_reason_and_counted(folder, change, reason):
    path = broken(folder, change)
    results, refused = read_results([folder])
    report = build(results, refused)
    assert len(results) == 33
    page, text, markdown = forms(report)
    assert str(path) in page and reason in page and "1 file was refused" in page
    assert path.name in text.replace("\n", "").replace(" ", "") and "Refused files" in text
    assert path.name.split("_")[0] in markdown and "Files refused" in markdown


def test_a_file_that_is_no_text_is_named(folder):
    (folder / "adv_attack" / "x.json").write_bytes(b"\xff\xfe\x00")
    _, refused = read_results([folder])
    assert [path.name for path, _ in refused] == ["x.json"]


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are Unicode there")
def test_a_refused_file_whose_name_is_no_unicode_is_named(folder):
    (folder / "caf\udce9").mkdir()
    (folder / "caf\udce9" / "x.json").write_text("{")
    report = build(*read_results([folder]))
    for form in forms(report):
        assert "caf\\" in form and "udce9" in form
        form.encode()


def test_a_record_of_another_version_is_left_out_and_counted(folder, monkeypatch):
    broken(folder, lambda text: json.dumps({**json.loads(text), "version": 2}))
    assert len(read_results([folder])[0]) == 33
    monkeypatch.setattr(result_module, "VERSIONS", {"adv_attack": 2})
    results, refused = read_results([folder])
    assert len(results) == 1
    page, text, markdown = forms(build(results, refused))
    assert "33 files were refused" in page
    assert "a record of adv_attack of version 1; only version 2 counts" in page
    assert all("onlyversion2counts" in "".join(form.split()) for form in (text, markdown))


def test_records_of_other_data_stand_apart_in_a_claim_of_their_own():
    results = campaign(2, ["fig2"])
    other = [r.replace(data_sha256="ee" * 32) for r in results if r.model in ("darts", "resnet18_comp")]
    report = build(results + other)
    found = [each for each in report.findings if each.name == "fig2"]
    assert [len(each.reading.networks) for each in found] == [17, 2]
    assert all("data " in each.conditions[0] for each in found)
    assert "several different data" in report.html()


def test_a_record_without_the_claims_metric_is_named():
    results = [r.replace(metrics={"strange": Metric(1.0)}) if r.model == "darts" else r for r in campaign(2, ["fig2"])]
    for form in forms(build(results)):
        assert "In no mean: darts (its records have no Success rate" in form.replace("\n", " ").replace("  ", " ")


def test_no_record_with_the_metric_at_all_gives_no_verdict():
    results = [r.replace(metrics={"strange": Metric(1.0)}) for r in campaign(2, ["fig2"])]
    report = build(results)
    (finding,) = report.findings
    assert claim_words.label(finding) == "no verdict"
    assert "have Success rate (success_rate): no verdict is possible" in claim_words.sentences(finding)[0]
    forms(report)


def test_no_result_gives_a_valid_page_that_says_what_to_run():
    report = build([])
    page = Page(report.html())
    assert "autovul train" in page.text and "autovul reproduce table1 fig2 distance" in page.text
    assert "14 claims were not measured" in page.text
    assert "autovul train" in report.text() and "autovul train" in report.markdown()


def test_failed_runs_without_data_are_counted_where_they_belong_and_named():
    results = campaign(2, ["fig2"])
    lost = results[0]
    gone = lost.replace(status="failed", message="out of memory", seed=9, options={"seed": 9}, metrics={}, facts={})
    gone = gone.replace(data_sha256="", weights_sha256="", environment={})
    report = build([*results, gone])
    (section,) = report.sections
    assert sum(len(n.runs) - len(n.good) for n in section.networks) == 1
    for form in forms(report):
        flat = " ".join(form.replace("\\_", "_").split())
        assert "on cifar10, seed 9, failed: out of memory" in flat
    page, text, _ = forms(report)
    assert "1 failed" in page and "out of memory" in page and "1 failed" in text


def test_failed_runs_alone_are_a_page_too():
    gone = [r.replace(status="failed", message="no GPU", metrics={}, data_sha256="") for r in campaign(1, ["fig2"])]
    page, text, _ = forms(build(gone))
    assert "no GPU" in page and "17 failed" in text


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"attack": None},
        {"attack": ["pgd"]},
        {"suffix": 3, "width": [1], "seed": {}},
        {"model": 7, "model_arch": []},
        {"iteration": "9" * 400, "pgd_eps": -1.7e308},
    ],
)
def test_odd_options_are_no_crash(options):
    record = campaign(1, ["fig2", "fig10"])[0]
    strange = [r.replace(options={**r.options, **options}) for r in campaign(2, ["fig10"])]
    forms(build([record.replace(options=options), make(options=options), *strange]))


def test_odd_facts_times_and_hashes_are_no_crash():
    results = [
        r.replace(
            facts={"parameters": "many", "depth": None, "skips": True}, seconds={}, weights_sha256="", environment={}
        )
        for r in campaign(2, ["fig2"])
    ]
    forms(build(results))


def test_extreme_values_are_no_crash():
    values = (0.0, 1e100, -1e100, 5e-324)
    options = campaign(1, ["fig2"])[0].options
    forms(
        build(
            [
                make(f"n{i}", group, seed, options=options, metrics={"success_rate": Metric(value, "%", 0)})
                for i, value in enumerate(values)
                for group in ("nas", "manual")
                for seed in (1, 2)
            ]
        )
    )


@pytest.mark.parametrize("value", [150.0, -3.0])
def test_a_rate_that_cannot_be_is_shown_as_it_is(value):
    results = [r.replace(metrics={"valid_accuracy": Metric(value, "%", 9)}) for r in campaign(2, ["table1"])]
    forms(build(results))
    forms(build([r if i else results[0] for i, r in enumerate(campaign(2, ["table1"]))]))


def test_a_record_is_read_once_however_often_its_place_is_named(tmp_path):
    path = campaign(1, ["table1"])[0].write(tmp_path / "inner")
    results, refused = read_results([tmp_path, tmp_path / "inner", path])
    assert (len(results), refused) == (1, [])

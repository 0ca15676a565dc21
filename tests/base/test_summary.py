"""The few lines that end a run."""

from __future__ import annotations

import pytest

from autovul.base.result import Metric, Result
from autovul.base.summary import figure, summary

RESULT = Result(
    experiment="adv_attack",
    algorithm="pgd",
    dataset="digits",
    model="drnas",
    group="nas",
    seed=7,
    metrics={"success_rate": Metric(12.345, "%", 1000), "mean_queries": Metric(None, "queries")},
    counts={"forward": 12345, "queries": 0},
    seconds={"total": 3.21},
    peak_memory=3 * 2**30,
    options={"pgd_eps": 0.1},
    data_sha256="abc",
)


@pytest.mark.parametrize(
    "metric,text",
    [
        (Metric(97.216, "%", 360), "97.22 %  (n = 360)"),
        (Metric(0.0001234, "nats", 5), "0.0001234 nats  (n = 5)"),
        (Metric(12345.6, "images/s"), "12,346 images/s"),
        (Metric(None, "%", 3), "not measured"),
        (Metric(0.0, "%", 1000), "0.00 %  (n = 1,000)"),
    ],
)
def test_figures(metric, text):
    assert figure(metric) == text


def test_what_is_shown():
    text = summary(RESULT)
    for part in ("adv_attack pgd: drnas (nas) on digits, seed 7", "success rate", "12.35 %", "12,345 forward",
                 "3.2 s, peak memory 3.00 GiB", "not measured"):  # fmt: skip
        assert part in text
    assert "queries" in text and "0 queries" not in text
    assert "abc" not in text
    assert "\033" not in text
    assert all(part in summary(RESULT, verbose=True) for part in ("data SHA-256 abc", "pgd_eps 0.1"))
    assert "\033[1m" in summary(RESULT, color=True)


def test_a_run_that_diverged_says_so_first():
    lines = summary(RESULT.replace(status="diverged", message="at epoch 3")).splitlines()
    assert "diverged: at epoch 3" in lines[1]

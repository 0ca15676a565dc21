"""The report that a sweep makes at its end, also while another sweep makes one."""

from __future__ import annotations

import pytest

from autovul.base.sweep import reproduce
from autovul.base.sweep.options import SweepOptions
from autovul.base.sweep.task import BUSY
from tests.base.sweep.world import InTurn


@pytest.mark.parametrize(
    ("answers", "printed", "complaint"),
    [
        ([(0, "")], "report: out/report.html", ""),
        ([(BUSY, "runs elsewhere"), (BUSY, "runs elsewhere"), (0, "")], "report: out/report.html", ""),
        ([(BUSY, "runs elsewhere"), (1, "no space")], "", "autovul reproduce: no report: no space"),
    ],
)
def test_a_report_that_another_sweep_makes_is_waited_for(tmp_path, monkeypatch, capsys, answers, printed, complaint):
    launcher = InTurn(lambda task: answers.pop(0))
    monkeypatch.setattr(reproduce, "LocalLauncher", lambda places: launcher)
    monkeypatch.setattr(reproduce, "POLL", 0.0)
    reproduce._report(tmp_path, tmp_path / "logs", SweepOptions(report_dir="out"), None)
    out, err = capsys.readouterr()
    assert (out.strip(), err.strip(), answers) == (printed, complaint, [])
    assert launcher.stopped


def test_a_report_that_never_comes_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(reproduce, "LocalLauncher", lambda places: InTurn(lambda task: (BUSY, "runs elsewhere")))
    monkeypatch.setattr(reproduce, "POLL", 0.0)
    monkeypatch.setattr(reproduce, "REPORT_SECONDS", 0.1)
    reproduce._report(tmp_path, tmp_path / "logs", SweepOptions(report_dir="out"), None)
    assert capsys.readouterr().err == "autovul reproduce: no report: it took too long\n"

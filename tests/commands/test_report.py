"""``autovul report``: from nothing, from records, with experiments of one's own, as LaTeX and as figure files."""

from __future__ import annotations

import pytest

from autovul.base.experiments import Claim, Experiment
from autovul.report import canonical, left_over, main
from tests.base.report.records import campaign

OWN = """
title: My attack
command: adv_attack
networks: [nas, manual]
options: {attack: pgd}
claims:
  mine:
    says: searched networks fall more often to me
    metric: targeted_success_rate
    first: [nas]
    second: [manual]
    expected: 9
    tolerance: 3
"""

KINDS = ("against-depth", "against-skip-connections", "difference", "equal-size", "networks")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def test_before_the_first_run_the_page_says_what_to_run(folder, capsys):
    assert main([]) == 0
    assert "autovul reproduce table1 fig2" in (folder / "data/report/report.html").read_text(encoding="utf-8")
    assert "No result was found" in capsys.readouterr().out
    assert sorted(path.name for path in (folder / "data/report").iterdir()) == [
        *("claims.csv", "comparisons.csv", "networks.csv", "relations.csv"),
        *("report.csv", "report.html", "report.md", "report.txt"),
    ]


def test_experiments_of_ones_own_latex_and_figures(folder, capsys):
    for result in campaign(2, ["fig2"]):
        result.write(folder / "data/result")
    (folder / "own.yaml").write_text(OWN, encoding="utf-8")
    assert main(["--experiments", "own.yaml", "--latex", "--figures", "pdf"]) == 0
    assert "Claim mine: direction holds" in capsys.readouterr().out
    report = folder / "data/report"
    tables = (report / "claims.tex").read_text(encoding="utf-8")
    assert "mine & cifar10" in tables
    assert [path.name for path in sorted((report / "figures").iterdir())] == [
        f"{stem}_{kind}.pdf" for stem in ("01_fig2", "02_mine") for kind in KINDS
    ]
    assert all(path.read_bytes().startswith(b"%PDF") for path in (report / "figures").iterdir())


def test_what_an_earlier_report_left_is_named(folder, capsys):
    for result in campaign(2, ["fig2"]):
        result.write(folder / "data/result")
    assert main(["--latex", "--figures", "png"]) == 0
    assert "of an earlier report" not in capsys.readouterr().out
    assert main(["--latex", "--figures", "png"]) == 0
    assert "of an earlier report" not in capsys.readouterr().out, "what was written anew is of this one"
    (folder / "data/report/figures/2026_my_talk.png").write_bytes(b"mine")
    assert main(["--figures", "pdf"]) == 0
    told = capsys.readouterr().out.splitlines()[-1]
    assert "talk" not in told and told.startswith("of an earlier report: ")
    names = ["claims.tex", *(f"figures/01_fig2_{kind}.png" for kind in KINDS)]
    found = left_over(folder / "data/report", ())
    assert {path.relative_to(folder / "data/report").as_posix() for path in found if path.suffix != ".pdf"} == {*names}
    assert f"data/report/{names[1]}" in told


def test_an_experiment_that_is_none_ends_in_one_line(folder, capsys):
    (folder / "own.yaml").write_text(OWN.replace("title:", "titel:"), encoding="utf-8")
    assert main(["--experiments", "own.yaml"]) == 2
    error = capsys.readouterr().err
    assert "own.yaml" in error and "titel" in error and "Traceback" not in error


def test_claims_know_networks_by_every_name():
    claim = Claim(says="x", metric="m", first=("densenet_comp", "nas"), second=("bit_comp", "a/mine.yaml"), expected=1)
    own = Experiment(name="own", title="Own", command="train", networks=("nas",), claims={"own": claim})
    found = canonical(own).claims["own"]
    assert (found.first, found.second) == (("densenet121_comp", "nas"), ("bit-m-r50x1_comp", "mine"))


def test_records_are_looked_for_where_the_configuration_says(folder, capsys):
    for result in campaign(1, ["table1"]):
        result.write(folder / "elsewhere")
    (folder / "configs/base").mkdir(parents=True)
    (folder / "configs/base/mine.yaml").write_text("result_dir: ./elsewhere\n", encoding="utf-8")
    assert main([]) == 0
    assert "17 results of 1 kind of run on" in capsys.readouterr().out
    assert main(["--result_dir", "elsewhre"]) == 1
    assert capsys.readouterr().err == "autovul report: elsewhre: no such file or folder\n"

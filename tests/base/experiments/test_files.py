"""Experiments and scales from files: what the package ships is whole, and a wrong file is named with its line."""

from __future__ import annotations

import textwrap

import pytest

from autovul.base.errors import UsageError
from autovul.base.experiments import Claim, Scale, load_experiments, load_scale, scale_names
from autovul.base.options import OptionError

# id: (metric, difference, tolerance), as the appendix of the artifact states them.
EXPECTED = {
    "fig2": ("success_rate", 10, 4),
    "fig6": ("accuracy_drop", -5, 2),
    "fig7-success": ("success_rate_all", 2, 1),
    "fig7-drop": ("accuracy_drop", -1, 1),
    "fig9": ("cross_entropy", -0.3, 0.1),
    "fig10": ("boundary_auc", 0.04, 0.01),
    "fig12": ("log10_gradient_variance", -2.2, 0.5),
    "fig16": ("cross_entropy", 0.5, None),
    "fig17": ("accuracy_drop_40pct", 7, 3),
}


def claims() -> dict[str, Claim]:
    return {name: claim for each in load_experiments().values() for name, claim in each.claims.items()}


def test_every_claim_of_the_appendix_is_there():
    found = {name: (each.metric, each.expected, each.tolerance) for name, each in claims().items() if each.expected}
    assert found == EXPECTED
    assert claims()["table1"].range == (96, 97)


@pytest.mark.parametrize("name", scale_names())
def test_scales_change_no_experiment_into_another(name):
    scale = load_scale(name)
    for experiment in load_experiments().values():
        scaled = scale.apply(experiment)
        assert scaled.options == experiment.options
        assert scaled.claims == experiment.claims
        assert set(scaled.grid) == set(experiment.grid)
    assert set(scale.grids) <= set(load_experiments())


def test_a_scale_cannot_change_what_makes_an_experiment():
    scale = Scale(name="s", about="a", dataset="digits", options={"backdoor": {"poison_percent": 0.5}})
    with pytest.raises(OptionError, match="poison_percent makes fig7 what it is"):
        scale.apply(load_experiments()["fig7"])


def write(folder, name: str, text: str) -> str:
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return str(path)


GOOD = """
title: Mine
command: adv_attack
networks: [manual, nas]
after: [table1]
options: {pgd_eps: 4/255}
grid: {iteration: [7, 20]}
claims:
  mine:
    says: more steps succeed more often
    metric: success_rate
    first: [nas]
    second: [manual]
    where: {iteration: largest}
    expected: 5
"""


def test_an_own_experiment_joins_those_of_the_package(tmp_path):
    path = write(tmp_path, "mine.yaml", GOOD)
    found = load_experiments([path])
    assert found["mine"].grid == {"iteration": (7, 20)}
    assert found["mine"].claims["mine"].where == {"iteration": "largest"}
    assert "table1" in found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("after: [table1]", "after: [table9]"), "mine: after: no experiment 'table9'"),
        (("after: [table1]", "after: [mine]"), "experiments wait for each other: mine after mine"),
        (("grid: {", "gird: {"), r"mine.yaml:7: unknown entry 'gird' \(nearest: grid"),
        (("title: Mine", "name: other\ntitle: Mine"), "mine.yaml:2: name: is the file's own, mine"),
        (("iteration: largest", "iteration: 9"), "where: iteration 9 is not in the grid"),
        (("iteration: largest", "sigma: 1"), "where: sigma is not in the grid"),
        (("expected: 5", "expected: 0"), "expected must not be 0"),
        (("expected: 5", "expected: 5\n    direction: lower"), "gives one of expected, direction and range"),
        (("expected: 5", "direction: less"), "direction must be 'higher' or 'lower', got 'less'"),
        (("    second: [manual]\n", ""), "a claim needs one of second"),
        (("    second: [manual]\n", "    second: [manual]\n    halves: depth\n"), "a claim needs one of second"),
        (("    second: [manual]\n", "    second: [manual]\n    data: digits\n"), "data goes with a range"),
        (("    second: [manual]\n", "    halves: colour\n"), "halves must be"),
        (("options: {pgd_eps: 4/255}", "options: {iteration: 3}"), "iteration stands twice"),
        (("networks: [manual, nas]", "networks: []"), "mine.yaml:4: networks"),
        (("networks: [manual, nas]", "networks: manual"), "mine.yaml:4: networks"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path, change, message):
    path = write(tmp_path, "mine.yaml", GOOD.replace(*change))
    with pytest.raises(UsageError, match=message):
        load_experiments([path])


def test_a_cycle_over_several_files(tmp_path):
    first = write(tmp_path, "first.yaml", GOOD.replace("after: [table1]", "after: [second]"))
    second = write(tmp_path, "second.yaml", GOOD.replace("after: [table1]", "after: [first]"))
    with pytest.raises(UsageError, match="first after second after first"):
        load_experiments([first, second])


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(UsageError, match=r"unknown experiment 'fig3' \(nearest: fig"):
        load_experiments(["fig3"])
    with pytest.raises(UsageError, match=r"unknown scale 'smok' \(nearest: smoke"):
        load_scale("smok")


def test_a_file_cannot_take_the_name_of_a_shipped_experiment(tmp_path):
    with pytest.raises(UsageError, match="fig2 is the name of an experiment of the package"):
        load_experiments([write(tmp_path, "fig2.yaml", GOOD)])


def test_two_files_of_one_name_are_refused(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = write(tmp_path / "a", "mine.yaml", GOOD), write(tmp_path / "b", "mine.yaml", GOOD + "    unit: x\n")
    assert "mine" in load_experiments([first, first])
    with pytest.raises(UsageError, match="there is another file of this name"):
        load_experiments([first, second])

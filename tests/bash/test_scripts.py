"""The scripts, run as a user would, from a folder of their own; none runs more than a plan."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BASH = shutil.which("bash")
SCRIPTS = {
    "train": "table1",
    "adv_attack": "fig2",
    "distance": "distance",
    "poison": "fig6",
    "backdoor": "fig7",
    "extraction": "fig9",
    "membership": "fig10",
    "grad_var": "fig12",
    "loss_contour": "loss_contour",
    "neuron_number": "neuron_number",
    "mitigation_train": "table4",
    "mitigation_backdoor": "mitigation_backdoor",
    "mitigation_extraction": "fig16",
    "mitigation_poison": "fig17",
    "sampled": "sampled sampled_attack sampled_distance sampled_variance",
}
pytestmark = pytest.mark.skipif(BASH is None, reason="no bash")


@pytest.fixture
def words(tmp_path):
    """What a script hands to Python, told by a stand-in that prints each argument in a line of its own."""
    stand_in = tmp_path / "python of mine"
    stand_in.write_text('#!/bin/sh\nprintf "%s\\n" "$PWD" "$PYTHONPATH" "$@"\nexit 3\n')
    stand_in.chmod(0o755)
    folder = tmp_path / "a folder"
    folder.mkdir()

    def run(script, *arguments, **variables):
        kept = {name: value for name, value in os.environ.items() if name not in ("MODELS", "SEEDS", "SCALE")}
        surroundings = {"AUTOVUL_VENV": str(tmp_path / "none"), "PYTHON": str(stand_in), "PYTHONPATH": "mine"}
        done = subprocess.run(
            [BASH, ROOT / "bash" / f"{script}.sh", *arguments],
            cwd=folder,
            env={**kept, **surroundings, **variables},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 3, done.stderr
        where, path, *found = done.stdout.splitlines()
        assert (where, path) == (str(folder), f"{ROOT}:mine")
        assert found[:3] == ["-m", "autovul", "reproduce"]
        return found[3:]

    return run


def test_there_is_a_script_for_every_experiment():
    found = {path.stem for path in (ROOT / "bash").glob("*.sh")}
    assert found == {*SCRIPTS, "_environment", "_experiment", "quickstart", "test"}
    assert {*" ".join(SCRIPTS.values()).split()} == {
        path.stem for path in (ROOT / "autovul/base/experiments").glob("*.yaml")
    }


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_runs_its_experiment(words, script):
    assert words(script, "--dry_run") == [*SCRIPTS[script].split(), "--dry_run"]


@pytest.mark.parametrize(
    "arguments,expected",
    [
        (["--download --lr 0.1"], ["--download", "--lr", "0.1"]),
        (["--download", "--lr", "0.1"], ["--download", "--lr", "0.1"]),
        (["  --lr 0.1\n --epoch=3 ", "--seeds 2"], ["--lr", "0.1", "--epoch=3", "--seeds", "2"]),
        (["--data_dir", "/my data/*"], ["--data_dir", "/my data/*"]),
        (["--data_dir /*"], ["--data_dir", "/*"]),
        (["--lr", "-1"], ["--lr", "-1"]),
        ([], []),
    ],
)
def test_arguments_as_one_string_or_several(words, arguments, expected):
    assert words("train", *arguments) == ["table1", *expected]


def test_variables_choose_a_part(words):
    found = words("train", "--lr 1", MODELS=" drnas  resnet18_comp,darts", SEEDS="3", SCALE="fast")
    assert found == ["table1", "--models=drnas,resnet18_comp,darts", "--seeds=3", "--scale=fast", "--lr", "1"]
    assert words("train", MODELS="", SEEDS="") == ["table1"]


def real(folder, *arguments, **variables):
    surroundings = {"AUTOVUL_VENV": str(folder / "none"), "PYTHON": sys.executable, "HOME": str(folder)}
    command = [BASH, str(ROOT / "bash" / "adv_attack.sh"), *arguments]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **surroundings, **variables}, capture_output=True, text=True
    )


def test_a_plan_from_elsewhere(tmp_path):
    done = real(tmp_path, "--dry_run --pgd_eps 4", MODELS="drnas resnet18_comp", SEEDS="1", SCALE="smoke")
    assert (done.returncode, done.stderr) == (0, "")
    plan = [line.split() for line in done.stdout.splitlines() if line.startswith("autovul ")]
    assert [(line[1], line[2]) for line in plan] == [
        ("train", "--model=resnet18_comp"),
        ("adv_attack", "--model=resnet18_comp"),
        ("train", "--model=drnas"),
        ("adv_attack", "--model=drnas"),
    ]
    assert [any(word.startswith("--pgd_eps") for word in line) for line in plan] == [False, True, False, True]


def test_a_mistake_has_its_status_and_its_line(tmp_path):
    done = real(tmp_path, "--dry_run", MODELS="drnax")
    assert done.returncode == 2
    assert re.fullmatch(r"autovul reproduce: .*drnax.*drnas.*\n", done.stderr)


def test_shellcheck_has_nothing_to_say():
    beside = Path(sys.executable).with_name("shellcheck")
    shellcheck = str(beside) if beside.exists() else shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("no shellcheck")
    scripts = [*(ROOT / "bash").glob("*.sh"), ROOT / ".ci" / "run"]
    done = subprocess.run([shellcheck, "-x", *scripts], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == ""

"""``autovul reproduce`` on real images with networks that train in seconds: once, again, after changes, and killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autovul import reproduce
from autovul.base.result import read_results
from autovul.base.sweep.sweep import Sweep

ROOT = Path(__file__).parents[2]
SCALE = """
about: A test's.
dataset: digits
seeds: 1
suffix: _tiny
networks: [resnet18_comp, darts]
manual: {width: 0.0625}
cells: {layers: 3, init_channels: 4, dropout: 0.0}
options:
  train: {epoch: 1, batch_size: 64, lr: 0.05}
  adv_attack: {test_num: 3}
  poison: {epoch: 1, batch_size: 64}
"""


@pytest.fixture
def world(workspace):
    (workspace / "tiny.yaml").write_text(SCALE)
    return workspace


def go(*arguments: str) -> int:
    return reproduce.main([*arguments, "--scale", "tiny.yaml", "--jobs", "2", "--device", "cpu", "--no-tqdm"])


def records(folder: Path) -> dict:
    results, refused = read_results([folder / "data" / "result"])
    assert not refused
    return {(each.experiment, each.model): each for each in results}


def test_a_sweep_from_nothing_to_the_report_and_nothing_twice(world, capsys):
    assert go("fig2", "--dry_run") == 0
    out = capsys.readouterr().out
    assert "4 runs: 0 have a result, 4 to do" in out
    assert out.count("\nautovul train ") == 2
    assert out.count("\nautovul adv_attack ") == 2
    assert not (world / "data").exists(), "nothing is written or read for a plan"

    assert go("fig2") == 0
    first = records(world)
    assert set(first) == {(kind, model) for kind in ("train", "adv_attack") for model in ("resnet18_comp", "darts")}
    assert {each.status for each in first.values()} == {"ok"}
    for model in ("resnet18_comp", "darts"):
        assert first["adv_attack", model].weights_sha256 == first["train", model].weights_sha256
    assert (world / "data" / "report" / "report.html").stat().st_size > 1000
    assert (world / "data" / "model" / "image" / "digits" / "darts_tiny.pth").exists()
    assert "4 ok" in capsys.readouterr().out

    assert go("fig2", "--no_report") == 0
    assert "4 have a result, 0 to do" in capsys.readouterr().out
    assert {name: each.environment["created"] for name, each in records(world).items()} == {
        name: each.environment["created"] for name, each in first.items()
    }

    # Another option is another run; the trained networks serve it as they are.
    assert go("fig2", "--no_report", "--dry_run", "--iteration", "3") == 0
    assert "4 runs: 2 have a result, 2 to do" in capsys.readouterr().out


def test_a_configuration_file_holds_for_the_sweep_and_for_its_runs(world, capsys):
    (world / "mine file.yaml").write_text("reproduce: {models: [darts]}\nquery_num: 20\nreport: {latex: true}\n")
    assert go("fig2", "--config", "mine file.yaml") == 0
    assert "2 runs: 0 have a result, 2 to do" in capsys.readouterr().out
    assert records(world)["adv_attack", "darts"].options["query_num"] == 20
    assert (world / "data" / "report" / "claims.tex").exists()
    assert go("fig2", "--config", "mine file.yaml", "--no_report") == 0
    assert "2 runs: 2 have a result, 0 to do" in capsys.readouterr().out
    assert go("fig2", "--models", "darts", "--no_report", "--dry_run") == 0
    assert "2 runs: 1 have a result, 1 to do" in capsys.readouterr().out


def test_the_sweep_is_told_what_each_run_gets(world, monkeypatch):
    told = {}
    monkeypatch.setattr(
        "autovul.base.sweep.reproduce.Sweep", lambda *plan, **options: told.update(options) or Sweep(*plan, **options)
    )
    assert go("fig2", "--dry_run", "--threads", "2", "--retries", "5") == 0
    assert (told["threads"], told["retries"], told["deadline"]) == (2, 5, None)


def test_a_run_that_fails_is_named_with_its_reason(world, capsys):
    arguments = ["--models", "darts", "--test_num", "100000", "--no_report", "--retries", "0", "--log_dir", "logs"]
    assert go("fig2", *arguments) == 1
    out = capsys.readouterr().out
    assert any("digits: 100000" in log.read_text() for log in (world / "logs" / "sweep").iterdir())
    assert not (world / "data" / "log").exists()
    assert "1 ok, 1 failed" in out
    assert "failed: fig2 darts s1228: autovul adv_attack: digits: 100000" in out
    assert records(world)["adv_attack", "darts"].status == "failed"


def test_weights_that_are_given_have_to_be_there_when_they_are_measured(world, capsys):
    for given in (["--given_weights", "darts"], ["--published_weights"]):
        assert go("fig2", "--models", "darts", *given, "--dry_run") == 0
        assert "autovul validate --model=darts" in capsys.readouterr().out
        assert go("fig2", "--models", "darts", *given) == 1
        name = "darts_tiny.pth" if given[0] == "--given_weights" else "darts.pth"
        assert f"no weights at data/model/image/digits/{name}: put them there" in capsys.readouterr().err
    assert go("fig2", "--models", "darts", "--no_report") == 0
    (made,) = (world / "data" / "model").rglob("darts_tiny.pth")
    (world / "mine.py").write_text("from torch import nn\ndef build(num_classes):\n    raise NotImplementedError\n")
    made.with_name("mine.build.pth").write_bytes(made.read_bytes())
    capsys.readouterr()
    assert go("fig2", "--models", "mine:build", "--dry_run") == 0
    aside = "left aside: data/model/image/digits/mine.build.pth; to measure it, copy it to mine.build_tiny.pth"
    assert f"{aside} beside it and add --given_weights=mine:build" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fig99"], "unknown experiment 'fig99'"),
        (["--models", "darst"], "unknown model 'darst'"),
        (["--lr", "fast"], "--lr"),
        (["--pgd_epsilon", "3"], "--pgd_epsilon: unknown flag"),
        (["--dataset", "digts"], "unknown data set 'digts'"),
    ],
)
def test_mistakes_are_one_line(world, capsys, arguments, message):
    assert go(*arguments) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_help_names_the_options(workspace, capsys):
    with pytest.raises(SystemExit):
        reproduce.main(["-h"])
    out = capsys.readouterr().out
    for flag in ("--scale", "--seeds", "--models", "--dry_run", "--jobs", "--time_limit", "--published_weights"):
        assert flag in out


def measured(record) -> dict:
    """The metrics, without the one that tells how fast the machine was."""
    return {name: metric for name, metric in record.metrics.items() if name != "images_per_second"}


COMMAND = [
    *(sys.executable, "-m", "autovul.reproduce", "fig2", "fig6", "--scale", "tiny.yaml", "--jobs", "2"),
    *("--device", "cpu", "--no-tqdm", "--no_report"),
]


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_sweep_that_is_asked_to_end_says_how_to_go_on(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    (tmp_path / "tiny.yaml").write_text(SCALE.replace("epoch: 1", "epoch: 500"))
    log = tmp_path / "sweep.log"
    with log.open("w") as output:
        sweep = subprocess.Popen(COMMAND, cwd=tmp_path, env=environment, stdout=output, stderr=output)
        while not list(tmp_path.glob("data/log/image/digits/*.jsonl")):
            assert sweep.poll() is None, log.read_text()
            time.sleep(0.1)
        sweep.terminate()
        assert sweep.wait() == 128 + signal.SIGTERM
    assert "6 to do; the same command goes on from here" in log.read_text()
    assert "Traceback" not in log.read_text()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_sweep_killed_ten_times_finds_the_metrics_of_an_undisturbed_one(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    folders = [tmp_path / name for name in ("undisturbed", "killed")]
    for folder in folders:
        folder.mkdir()
        (folder / "tiny.yaml").write_text(SCALE)
    start = time.monotonic()
    subprocess.run(COMMAND, cwd=folders[0], env=environment, check=True, capture_output=True)
    whole = time.monotonic() - start
    generator = random.Random(1228)
    for _ in range(10):
        sweep = subprocess.Popen(
            COMMAND, cwd=folders[1], env=environment, start_new_session=True, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(generator.uniform(0, whole))
        # Half the time only the sweep itself, so that its runs find out by themselves; else everything at once.
        if generator.random() < 0.5:
            sweep.kill()
        else:
            os.killpg(sweep.pid, signal.SIGKILL)
        sweep.wait()
    subprocess.run(COMMAND, cwd=folders[1], env=environment, check=True, capture_output=True)
    expected, found = (records(folder) for folder in folders)
    assert len(expected) == 6
    assert set(found) == set(expected)
    for name, record in expected.items():
        assert measured(found[name]) == measured(record), name
        assert found[name].weights_sha256 == record.weights_sha256


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_two_sweeps_on_one_folder_share_the_work(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    (tmp_path / "tiny.yaml").write_text(SCALE)
    sweeps = [subprocess.Popen(COMMAND, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL) for _ in range(2)]  # fmt: skip
    assert [sweep.wait() for sweep in sweeps] == [0, 0]
    assert len(records(tmp_path)) == 6
    logs = list((tmp_path / "data" / "log" / "sweep").iterdir())
    assert len(logs) == 6
    assert all(log.read_text().count("> autovul ") == 1 for log in logs)
    assert json.loads((tmp_path / "data" / "result" / ".sweep" / ".hashes.json").read_text())

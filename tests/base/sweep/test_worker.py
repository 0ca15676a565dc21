"""What a worker does before it runs a command."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import torch

from autovul.base.sweep.task import Task
from autovul.base.sweep.worker import execute
from tests.base.sweep.world import Files, record, run


def task(folder: Path, key: str, since: float) -> Task:
    argv, records = ("--version",), folder / "result" / "attack"
    return Task(key, key, argv, folder, folder / "log", folder / "lock", records=records, since=since)


def test_what_another_sweep_has_recorded_meanwhile_is_not_run_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = run("one", tmp_path)
    path = record(one, Files()).write(tmp_path / "result")
    os.utime(path, (1000, 1000))
    assert execute(task(tmp_path, one.key, since=1000)).status == 0
    # The clock of the machine that wrote the record may be some seconds behind ours.
    assert execute(task(tmp_path, one.key, since=1003)).status == 0
    assert not (tmp_path / "log").exists()
    # Older than the last look: the sweep knows the record, and has its reasons to run it again.
    assert execute(task(tmp_path, one.key, since=2000)).status == 0
    assert "> autovul --version" in (tmp_path / "log").read_text()


def test_a_record_of_another_run_or_of_a_failure_is_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = run("one", tmp_path)
    record(run("two", tmp_path), Files()).write(tmp_path / "result")
    record(one, Files(), status="failed").write(tmp_path / "result")
    assert execute(task(tmp_path, one.key, since=0)).status == 0
    assert (tmp_path / "log").exists()


def test_a_command_computes_with_the_threads_of_its_task(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = []
    monkeypatch.setattr("autovul.__main__.main", lambda argv: seen.append(torch.get_num_threads()) or 0)
    for threads in (3, 1):  # the last is what all tests run with
        assert execute(replace(task(tmp_path, "one", since=0), threads=threads)).status == 0
    assert seen == [3, 1]

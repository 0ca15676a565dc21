"""The sweep's loop with a launcher that waits for what comes first by itself, as Slurm does."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from autovul.base.sweep.plan import Run
from autovul.base.sweep.subject import Subject
from autovul.base.sweep.sweep import Sweep
from autovul.base.sweep.task import BUSY, Outcome


class Ahead:
    """A launcher that takes everything at once, runs in order, and gives back what waits for a failure."""

    plans_ahead, place, capacity = True, "a queue", 1

    def __init__(self, ends):
        self.ends, self.given, self.held = ends, [], []

    def start(self, tasks):
        for task in tasks:
            known = {each.key for each in self.held}
            assert set(task.after) <= known, f"{task.name} waits for what nobody runs"
            self.held.append(task)
        self.given.append([task.name for task in tasks])

    def poll(self, timeout):
        if not self.held:
            return []
        first, outcomes = self.held.pop(0), []
        status = self.ends[first.name].pop(0)
        outcomes.append(Outcome(first.key, status, "as told"))
        gone = {first.key} if status else set()
        for each in [*self.held]:
            if gone & set(each.after):
                gone.add(each.key)
                self.held.remove(each)
                outcomes.append(Outcome(each.key, BUSY))
        return outcomes

    def running(self):
        return {}

    def stop(self):
        self.held.clear()


def run(name, *after):
    subject = Subject("poison", name, "digits", "darts", "nas", 1, {})
    return Run(name, (), ("poison",), subject, tuple(each.key for each in after), None)


@pytest.fixture
def go(tmp_path, monkeypatch):
    monkeypatch.setattr("autovul.base.sweep.sweep.LOOK_AGAIN", 0.0)

    def start(runs, ends):
        launcher, done = Ahead(ends), set()
        ledger = SimpleNamespace(
            result_dir=tmp_path,
            refresh=lambda kinds: None,
            status=lambda run: "ok" if run.key in done else None,
            diagnosis=lambda run: "",
            forgive=lambda run: None,
            fail=lambda run, message: None,
            data_sha256=lambda run: "",
        )
        poll = launcher.poll

        def recorded(timeout):
            outcomes = poll(timeout)
            done.update(each.key for each in outcomes if each.status == 0)
            return outcomes

        launcher.poll = recorded
        observer = SimpleNamespace(changed=lambda *_: None, waiting=lambda *_: None)
        sweep = Sweep(runs, ledger, launcher, observer, log_dir=Path("log"), retries=1)
        sweep.go()
        return launcher.given, {each.run.name: each.state for each in sweep.progress.values()}

    return start


def test_everything_is_given_at_once(go):
    first = run("first")
    second = run("second", first)
    given, states = go([first, second, run("third", second)], {"first": [0], "second": [0], "third": [0]})
    assert given == [["first", "second", "third"]]
    assert set(states.values()) == {"ok"}


def test_what_waits_is_given_again_with_what_is_tried_again(go):
    first = run("first")
    runs = [first, run("second", first), run("alone")]
    given, states = go(runs, {"first": [1, 0], "second": [0], "alone": [0]})
    assert given[0] == ["first", "second", "alone"]
    assert sorted(name for names in given[1:] for name in names) == ["first", "second"]
    assert set(states.values()) == {"ok"}


def test_what_waits_for_a_failure_is_skipped_and_nothing_hangs(go):
    first = run("first")
    second = run("second", first)
    _, states = go([first, second, run("third", second)], {"first": [1, 1], "second": [], "third": []})
    assert states == {"first": "failed", "second": "skipped", "third": "skipped"}

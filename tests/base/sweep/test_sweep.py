"""The loop of a sweep, in a world where a command only leaves a record."""

from __future__ import annotations

import time

import pytest

from autovul.base import result as result_module
from autovul.base.errors import UserError
from autovul.base.result import read_results
from autovul.base.sweep import sweep as loop
from autovul.base.sweep.display import status_line
from autovul.base.sweep.ledger import Ledger
from autovul.base.sweep.sweep import Sweep
from autovul.base.sweep.task import BUSY, LOST
from tests.base.sweep.world import Files, InTurn, Silent, record, run


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(loop, "POLL", 0.0)
    monkeypatch.setattr(loop, "LOOK_AGAIN", 0.0)


class World:
    """A train run, two attacks on its weights, and one that needs neither."""

    def __init__(self, folder):
        self.folder, self.files = folder, Files()
        self.train = run("victim", folder, trains=True)
        self.first = run("first", folder, after=[self.train])
        self.second = run("second", folder, after=[self.train])
        self.alone = run("alone", folder)
        self.runs = [self.first, self.train, self.second, self.alone]
        self.bad: dict[str, list] = {}
        self.trained = "weights"

    def work(self, task):
        """Do as a command does: leave weights and a record; or what `bad` says for this try."""
        one = next(each for each in self.runs if each.key == task.key)
        for answer in self.bad.get(one.name, [])[:1]:
            self.bad[one.name].pop(0)
            if answer == "diverged":
                record(one, self.files, status="diverged").write(self.folder / "result")
                return 1, "diverged"
            return answer
        if one.subject.trains:
            one.subject.weights.parent.mkdir(exist_ok=True)
            one.subject.weights.write_text(self.trained)
        record(one, self.files).write(self.folder / "result")
        return 0, ""

    def sweep(self, **options) -> Sweep:
        ledger = Ledger(self.folder / "result", self.files)
        launcher = InTurn(self.work, options.pop("capacity", 2))
        return Sweep(self.runs, ledger, launcher, Silent(), log_dir=self.folder / "log", **options)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def states(sweep) -> dict[str, str]:
    return {each.run.name: each.state for each in sweep.progress.values()}


def test_what_comes_first_runs_first_and_nothing_runs_twice(world):
    sweep = world.sweep()
    sweep.go()
    assert set(states(sweep).values()) == {"ok"}
    assert sorted(sweep.launcher.log) == ["alone", "first", "second", "victim"]
    assert sweep.launcher.log.index("victim") < sweep.launcher.log.index("first")
    assert sweep.launcher.most <= 2
    assert sweep.launcher.stopped
    again = world.sweep()
    again.go()
    assert again.launcher.log == []
    assert set(states(again).values()) == {"ok"}


def test_a_failed_run_is_tried_again_and_the_rest_goes_on(world):
    world.bad["first"] = [(1, "no"), (1, "no again")]
    sweep = world.sweep(retries=1)
    sweep.go()
    assert states(sweep) == {"victim": "ok", "first": "failed", "second": "ok", "alone": "ok"}
    assert sweep.launcher.log.count("first") == 2
    assert sweep.progress[world.first.key].message == "no again"
    failed = [each for each in read_results([world.folder / "result"])[0] if each.status == "failed"]
    assert [(each.model, each.message) for each in failed] == [("first", "no again")]
    world.bad["first"] = [(1, "and again")]
    world.sweep(retries=0).go()
    failed = [each for each in read_results([world.folder / "result"])[0] if each.status == "failed"]
    assert [(each.model, each.message) for each in failed] == [("first", "and again")]
    # The next sweep tries again, and the failure is then forgotten.
    world.sweep().go()
    assert [each.status for each in read_results([world.folder / "result"])[0]] == ["ok"] * 4


def test_a_failure_has_the_version_of_its_experiment(world, monkeypatch):
    monkeypatch.setattr(result_module, "VERSIONS", {"attack": 2})
    assert world.alone.subject.failed("no").version == 2
    assert world.train.subject.failed("no").version == 1


def test_a_lost_worker_is_no_failure_of_the_run_unless_it_happens_again_and_again(world):
    world.bad["first"] = [(LOST, "killed")] * 3
    world.bad["second"] = [(LOST, "out of memory?")] * 9
    sweep = world.sweep(retries=0)
    sweep.go()
    assert states(sweep)["first"] == "ok"
    assert states(sweep)["second"] == "failed"
    assert sweep.launcher.log.count("second") == 4


def test_a_wrong_command_line_is_not_tried_again(world):
    world.bad["first"] = [(2, "unknown flag"), (0, "")]
    sweep = world.sweep(retries=5)
    sweep.go()
    assert states(sweep)["first"] == "failed"
    assert sweep.launcher.log.count("first") == 1


def test_an_interruption_from_outside_is_no_failure(world):
    world.bad["first"] = [(143, "interrupted")] * 4
    sweep = world.sweep(retries=0)
    sweep.go()
    assert states(sweep)["first"] == "ok"


def test_what_is_interrupted_again_and_again_fails_in_the_end(world):
    """As by what frees memory with SIGTERM: it would be tried for ever."""
    world.bad["first"] = [(143, "interrupted")] * 1000
    sweep = world.sweep(retries=0)
    sweep.go()
    assert states(sweep)["first"] == "failed"
    assert len(world.bad["first"]) > 900


def test_who_waits_for_a_failed_run_is_skipped(world):
    world.bad["victim"] = [(1, "no")]
    sweep = world.sweep(retries=0)
    sweep.go()
    assert states(sweep) == {"victim": "failed", "first": "skipped", "second": "skipped", "alone": "ok"}
    assert sweep.progress[world.first.key].message == "victim failed"


def test_diverged_is_final(world):
    world.bad["victim"] = ["diverged"]
    sweep = world.sweep(retries=3)
    sweep.go()
    assert states(sweep) == {"victim": "diverged", "first": "skipped", "second": "skipped", "alone": "ok"}
    again = world.sweep(retries=3)
    again.go()
    assert again.launcher.log == []
    assert states(again)["victim"] == "diverged"


def test_a_command_that_leaves_no_record_has_failed(world):
    world.bad["first"] = [(0, "")]
    sweep = world.sweep(retries=0)
    sweep.go()
    assert states(sweep)["first"] == "failed"
    assert "left no record" in sweep.progress[world.first.key].message


def test_new_weights_make_attacks_on_the_old_ones_void(world):
    world.sweep().go()
    world.train.subject.weights.unlink()
    attack = world.folder / "result" / "attack"
    next(path for path in attack.iterdir() if "first" in path.name).unlink()
    world.trained = "other weights"
    sweep = world.sweep()
    sweep.go()
    # Its weights were needed and gone; the second attack was measured on what was there before.
    assert sorted(sweep.launcher.log) == ["first", "second", "victim"]
    assert set(states(sweep).values()) == {"ok"}


def test_weights_that_were_taken_away_are_missed_only_if_somebody_needs_them(world):
    world.runs = [world.train, world.alone]
    world.sweep().go()
    world.train.subject.weights.unlink()
    sweep = world.sweep()
    sweep.go()
    assert sweep.launcher.log == []


def test_the_same_weights_again_void_nothing(world):
    world.sweep().go()
    world.train.subject.weights.unlink()
    next(path for path in (world.folder / "result" / "attack").iterdir() if "first" in path.name).unlink()
    sweep = world.sweep()
    sweep.go()
    assert sorted(sweep.launcher.log) == ["first", "victim"]


def test_other_data_make_everything_void(world):
    world.sweep().go()
    world.files.data = "other data"
    (world.folder / "result" / ".sweep" / ".hashes.json").unlink()
    sweep = world.sweep()
    sweep.look()
    assert set(states(sweep).values()) == {"waiting"}


def test_weights_from_elsewhere_are_not_overwritten(world):
    world.train.subject.weights.parent.mkdir()
    world.train.subject.weights.write_text("published")
    with pytest.raises(UserError, match="training would overwrite them"):
        world.sweep().go()


def test_what_another_sweep_runs_is_waited_for(world):
    looks = []

    def elsewhere(task):
        one = next(each for each in world.runs if each.key == task.key)
        if one.name == "alone" and not looks:
            looks.append(1)
            record(one, world.files).write(world.folder / "result")
            return BUSY, "runs elsewhere"
        return world.work(task)

    sweep = world.sweep()
    sweep.launcher.work = elsewhere
    sweep.go()
    assert states(sweep)["alone"] == "ok"
    assert sweep.launcher.log.count("alone") == 1
    assert sweep.progress[world.alone.key].found


def test_what_runs_elsewhere_is_looked_at_every_five_seconds_only(world, monkeypatch):
    """By a clock that a turn of the loop moves by one second."""
    now, looks = [0.0], []

    def turn(sweep):
        now[0] += 1

    monkeypatch.setattr(loop, "LOOK_AGAIN", 5.0)
    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(loop.lock, "is_held", lambda path: looks.append(now[0]) or len(looks) < 3)
    world.runs, world.bad["alone"] = [world.alone], [(BUSY, "runs elsewhere")]
    sweep = world.sweep()
    sweep.observer.waiting = turn
    sweep.go()
    assert looks == [5, 10, 15]
    assert states(sweep)["alone"] == "ok"


def test_a_task_has_what_each_run_gets(world):
    task = world.sweep(threads=3, gpus=0.5)._task(world.alone, needed=False)
    assert (task.threads, task.gpus) == (3, 0.5)


def test_the_state_of_things_counts_what_runs_elsewhere(world):
    sweep = world.sweep()
    assert status_line(sweep, lambda run: None).endswith("; running: nothing")
    sweep.progress[world.alone.key].state = "elsewhere"
    assert status_line(sweep, lambda run: None).endswith("; running: 1 elsewhere")
    sweep.progress[world.train.key].state = "running"
    sweep.launcher.start([sweep._task(world.train, needed=False)])
    assert status_line(sweep, lambda run: None).endswith("; running: 1 elsewhere, victim 0:00:01")


def test_what_another_sweep_gave_up_is_taken_over(world):
    world.bad["alone"] = [(BUSY, "runs elsewhere")]
    sweep = world.sweep()
    sweep.go()
    assert states(sweep)["alone"] == "ok"
    assert sweep.launcher.log.count("alone") == 2


def test_the_time_limit_stops_and_the_next_sweep_goes_on(world):
    sweep = world.sweep(deadline=time.monotonic() - 1)
    sweep.go()
    assert sweep.out_of_time
    assert sweep.launcher.stopped
    assert set(states(sweep).values()) == {"waiting"}
    world.sweep().go()
    assert len(read_results([world.folder / "result"])[0]) == 4


def test_a_launcher_that_plans_ahead_is_told_what_comes_first(world):
    taken = []
    world.runs = [world.train, world.first, world.second, world.alone]
    sweep = world.sweep(capacity=10)
    sweep.launcher.plans_ahead = True
    start = sweep.launcher.start
    sweep.launcher.start = lambda tasks: (
        taken.extend(tasks),
        start(sorted(tasks, key=lambda task: task.name != "victim")),
    )
    sweep.go()
    after = {task.name: task.after for task in taken}
    assert after == {"victim": (), "first": (world.train.key,), "second": (world.train.key,), "alone": ()}


def test_attacks_on_weights_that_are_to_be_made_anew_are_void(world):
    world.runs = [world.train, world.first]
    world.sweep().go()
    # The training's record no longer holds, but the attack's does, on the weights that are still there.
    world.files.data = "other data"
    (world.folder / "result" / ".sweep" / ".hashes.json").unlink()
    record(world.first, world.files).write(world.folder / "result")
    world.trained = "other weights"
    sweep = world.sweep()
    sweep.go()
    assert sweep.launcher.log == ["victim", "first"]


def test_weights_of_a_training_with_other_options_are_not_overwritten(world):
    world.sweep().go()
    world.train = run("victim", world.folder, trains=True, epoch=60)
    world.runs = [world.train]
    with pytest.raises(UserError, match=r"trained with other options \(epoch None instead of 60\).*--model_dir"):
        world.sweep().go()


def test_a_repeated_training_that_fails_is_not_ok_and_costs_no_record(world):
    world.sweep().go()
    world.train.subject.weights.unlink()
    for path in (world.folder / "result" / "attack").glob("*first*"):
        path.unlink()
    world.bad["victim"] = [(1, "out of memory")] * 2
    again = world.sweep(retries=1)
    again.go()
    assert states(again)["victim"] == "failed" and states(again)["first"] == "skipped"
    assert again.progress[world.train.key].message == "out of memory"
    results, refused = read_results([world.folder / "result"])
    assert sorted((each.model, each.status) for each in results) == [
        ("alone", "ok"), ("second", "ok"), ("victim", "ok")]  # fmt: skip
    assert not refused

"""Which records hold, and how little is read to know it."""

from __future__ import annotations

import os

import pytest

from autovul.base import result as result_module
from autovul.base.sweep.display import time_left
from autovul.base.sweep.ledger import START_SECONDS, Ledger
from autovul.base.sweep.subject import key_of
from tests.base.sweep.world import Files, record, run, sha


@pytest.fixture
def files():
    return Files()


def ledger(tmp_path, files) -> Ledger:
    found = Ledger(tmp_path / "result", files)
    found.refresh(["attack", "train"])
    return found


def test_a_record_holds_for_equal_options_only(tmp_path, files):
    one = run("one", tmp_path, eps=8)
    record(one, files).write(tmp_path / "result")
    found = ledger(tmp_path, files)
    assert found.status(one) == "ok"
    assert found.status(run("one", tmp_path, eps=8.0)) == "ok"
    assert found.status(run("one", tmp_path, eps=8, result_dir="elsewhere", tqdm=False, suffix="_x")) == "ok"
    assert found.status(run("one", tmp_path, eps=4)) is None
    assert found.status(run("one", tmp_path, eps=8, iteration=7)) is None
    assert found.status(run("other", tmp_path, eps=8)) is None


def test_lists_and_tuples_are_alike_and_true_is_not_1():
    def key(value):
        return key_of("attack", "", "digits", "net", 1, {"option": value})

    assert key((1, 2)) == key([1.0, 2])
    assert key(True) != key(1)
    assert key(None) != key(0)


def test_a_version_raised_by_hand_voids_older_records(tmp_path, files, monkeypatch):
    one = run("one", tmp_path)
    record(one, files).write(tmp_path / "result")
    assert ledger(tmp_path, files).status(one) == "ok"
    monkeypatch.setattr(result_module, "VERSIONS", {"attack": 2})
    assert ledger(tmp_path, files).status(one) is None


def test_only_what_is_new_is_read_again(tmp_path, files, monkeypatch):
    one, two = run("one", tmp_path), run("two", tmp_path)
    path = record(one, files).write(tmp_path / "result")
    found = ledger(tmp_path, files)
    reads = []
    original = type(path).read_text
    monkeypatch.setattr(
        type(path), "read_text", lambda self, *a, **k: reads.append(self.name) or original(self, *a, **k)
    )
    new = record(two, files).write(tmp_path / "result")
    found.refresh(["attack"])
    assert reads == [new.name]
    assert found.status(one) == found.status(two) == "ok"
    record(one, files, status="diverged").write(tmp_path / "result")
    found.refresh(["attack"])
    assert found.status(one) == "diverged"


@pytest.mark.parametrize("text", ["", "{", '{"schema_version": 99}', "[]", "\xff"])
def test_a_file_that_is_no_record_is_no_result(tmp_path, files, text):
    one = run("one", tmp_path)
    path = record(one, files).write(tmp_path / "result")
    path.write_bytes(text.encode("latin-1"))
    assert ledger(tmp_path, files).status(one) is None


def test_weights_are_digested_once_until_they_change(tmp_path, files):
    path = tmp_path / "victim.pth"
    path.write_text("weights")
    found = ledger(tmp_path, files)
    assert found.weights_sha256(path) == sha("weights")
    assert ledger(tmp_path, files).weights_sha256(path) == sha("weights")
    assert files.reads == 1
    path.write_text("changed")
    os.utime(path, ns=(1, 1))
    assert ledger(tmp_path, files).weights_sha256(path) == sha("changed")
    path.unlink()
    assert found.weights_sha256(path) is None


def test_a_damaged_cache_is_only_a_cache(tmp_path, files):
    path = tmp_path / "victim.pth"
    path.write_text("weights")
    ledger(tmp_path, files).weights_sha256(path)
    (tmp_path / "result" / ".sweep" / ".hashes.json").write_text("[")
    assert ledger(tmp_path, files).weights_sha256(path) == sha("weights")


def test_time_is_estimated_from_runs_with_the_same_options(tmp_path, files):
    one = run("one", tmp_path)
    record(run("one", tmp_path, epoch=200), files).replace(seconds={"a": 9000.0}).write(tmp_path / "result")
    found = ledger(tmp_path, files)
    assert found.seconds(one) is None
    record(run("two", tmp_path), files).replace(seconds={"a": 30.0}).write(tmp_path / "result")
    assert ledger(tmp_path, files).seconds(one) == 30 + START_SECONDS
    record(one, files).write(tmp_path / "result")
    assert ledger(tmp_path, files).seconds(one) == 10 + START_SECONDS


def test_a_plan_without_records_needs_no_data(tmp_path):
    class NoData(Files):
        def data_sha256(self, data):
            raise AssertionError("read")

    assert ledger(tmp_path, NoData()).status(run("one", tmp_path)) is None


def test_time_left_is_no_less_than_the_longest_run_and_counts_what_has_passed(tmp_path):
    runs = [run(name, tmp_path) for name in "abcd"]
    seconds = dict(zip((each.key for each in runs), (60.0, 60.0, 3600.0, 60.0), strict=True))

    def expected(one):
        return seconds[one.key]

    assert time_left(runs, expected, {}, 4) == "about 1:00:00 left"
    assert time_left(runs, expected, {runs[2].key: 1800.0}, 4) == "about 0:30:00 left"
    assert time_left(runs, expected, {runs[2].key: 9999.0}, 1) == "about 0:03:00 left"


def test_weights_in_a_foreign_form_are_known_by_what_a_network_gets_of_them(tmp_path, files):
    train = run("victim", tmp_path, trains=True)
    attack = run("attack", tmp_path, after=[train])
    path = attack.subject.weights
    path.parent.mkdir()
    path.write_text("module.weights")
    record(attack, files, weights=sha("weights")).write(tmp_path / "result")
    assert ledger(tmp_path, files).status(attack) == "ok"
    path.write_text("module.others")
    assert ledger(tmp_path, files).status(attack) is None


def test_a_record_made_by_other_code_does_not_hold(tmp_path, files):
    one = run("one", tmp_path)
    files.source = sha("def build(): return Net(12)")
    record(one, files).write(tmp_path / "result")
    assert ledger(tmp_path, files).status(one) == "ok"
    files.source = sha("def build(): return Net(24)")
    assert ledger(tmp_path, files).status(one) is None


def test_what_is_said_of_a_run_is_what_its_newest_record_says(tmp_path, files):
    one = run("one", tmp_path)
    found = ledger(tmp_path, files)
    assert found.diagnosis(one) == ""
    for folder, message in (("first", "not finite in epoch 3"), ("second", "not finite in epoch 9")):
        diverged = record(run("one", tmp_path, model_dir=folder), files, status="diverged")
        diverged.replace(message=message).write(tmp_path / "result")
        found.refresh(["attack"])
        assert found.diagnosis(one) == message

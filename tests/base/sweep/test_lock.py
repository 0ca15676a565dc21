"""One holder at a time, on whatever happens to the holder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from autovul.base.sweep import lock


@pytest.fixture
def path(tmp_path):
    return tmp_path / "locks" / "key.lock"


def test_the_second_does_not_get_it_until_the_first_lets_go(path):
    with lock.held(path) as first:
        assert first
        assert lock.is_held(path)
        with lock.held(path) as second:
            assert not second
        assert lock.is_held(path)
    assert not lock.is_held(path)
    with lock.held(path) as third:
        assert third
    assert list(path.parent.iterdir()) == []


def test_an_error_in_the_block_lets_go(path):
    with pytest.raises(ZeroDivisionError), lock.held(path):
        raise ZeroDivisionError
    assert not lock.is_held(path)


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_differs_from_the_folders_takes_no_lock_away(path, monkeypatch, hours):
    path.parent.mkdir()
    path.write_text(json.dumps({"host": "another", "pid": 1}))
    right = time.time
    monkeypatch.setattr(lock.time, "time", lambda: right() + 3600 * hours)
    assert lock.is_held(path)
    long_ago = right() - 2 * lock.STALE
    os.utime(path, (long_ago, long_ago))
    assert not lock.is_held(path)
    assert [found.name for found in path.parent.iterdir()] == [path.name]


@pytest.mark.skipif(os.name == "nt", reason="asks for processes by number")
def test_a_dead_process_of_this_machine_holds_nothing(path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    path.parent.mkdir()
    path.write_text(json.dumps({**lock._here(), "pid": dead.pid}))
    assert not lock.is_held(path)
    with lock.held(path) as ours:
        assert ours


def test_another_machine_holds_it_as_long_as_it_gives_signs_of_life(path):
    path.parent.mkdir()
    path.write_text(json.dumps({"host": "another", "pid": 1}))
    with lock.held(path) as ours:
        assert not ours
    long_ago = time.time() - 2 * lock.STALE
    os.utime(path, (long_ago, long_ago))
    with lock.held(path) as ours:
        assert ours


def test_a_holder_gives_signs_of_life(path, monkeypatch):
    monkeypatch.setattr(lock, "BEAT", 0.01)
    with lock.held(path):
        os.utime(path, (0, 0))
        for _ in range(500):
            if path.stat().st_mtime > 1:
                break
            time.sleep(0.01)
        assert path.stat().st_mtime > 1


@pytest.mark.parametrize("stale", [False, True])
def test_of_many_who_try_at_once_one_gets_it(tmp_path, stale):
    for number in range(100):
        path = tmp_path / str(number) / "key.lock"
        path.parent.mkdir()
        if stale:
            path.write_text(json.dumps({"host": "another", "pid": 1}))
            os.utime(path, (0, 0))
        assert most_at_once(path, tries=32) == 1


def most_at_once(path, tries: int) -> int:
    inside, most = [], []

    def attempt(number: int) -> None:
        with lock.held(path) as ours:
            if ours:
                inside.append(number)
                most.append(len(inside))
                time.sleep(0.002)
                inside.remove(number)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(attempt, range(tries)))
    return max(most)


def test_a_lock_that_others_took_over_meanwhile_is_left_to_them(path, monkeypatch):
    """A holder that stood still, as a sleeping machine does, must neither keep the new lock alive nor take it away."""
    monkeypatch.setattr(lock, "BEAT", 0.01)
    with lock.held(path) as first:
        assert first
        theirs = json.dumps({"host": "another", "pid": 1, "token": "theirs"})
        path.write_text(theirs)
        long_ago = time.time() - 1000
        os.utime(path, (long_ago, long_ago))
        time.sleep(0.1)
        assert path.stat().st_mtime < time.time() - 900, "no sign of life is given for them"
    assert path.read_text() == theirs


def test_numbers_of_processes_mean_nothing_in_another_container(path):
    path.parent.mkdir()
    path.write_text(json.dumps({**lock._here(), "space": -1, "pid": 2**22 + 1}))
    assert lock.is_held(path)

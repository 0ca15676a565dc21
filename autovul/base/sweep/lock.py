"""Locks as files, on any shared folder: whoever made the file runs the task, as long as the file stays fresh."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

BEAT = 5.0  # seconds between two signs of life
STALE = 60.0  # a lock without one for so long belongs to somebody who is gone


@contextlib.contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold a lock for the block, if nobody else does.

    Yields:
        Whether the lock is ours. A lock whose holder is gone is taken over: at once where the holder was a process of
        this machine, else after 60 seconds without a sign of life.
    """
    token = uuid.uuid4().hex
    if not _take(path, token):
        yield False
        return
    ended = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, token, ended), daemon=True)
    beat.start()
    try:
        yield True
    finally:
        ended.set()
        beat.join()
        if not _is_lost(path, token):
            with contextlib.suppress(OSError):
                path.unlink()


def is_held(path: Path) -> bool:
    """Whether somebody who is still there holds the lock."""
    return path.exists() and not _is_stale(path)


def _is_stale(path: Path) -> bool:
    """Whether there is a lock, and its holder is gone. An absent one is not stale: it may be taken at any time."""
    try:
        with open(path) as file:  # time and holder of one and the same lock, whatever becomes of the name meanwhile
            age = _age(os.fstat(file.fileno()).st_mtime, path.parent)
            text = file.read()
    except OSError:
        return False
    if age > STALE:
        return True
    try:
        holder = json.loads(text)
    except ValueError:
        return False
    if {name: holder.get(name) for name in _here()} != _here():
        return False  # its number means nothing here
    return not _is_alive(holder.get("pid", 0))


def _here() -> dict[str, str | int]:
    """Where a process's number tells which one it is: this machine, and on Linux this container."""
    try:
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:  # no Linux
        space = 0
    return {"host": socket.gethostname(), "space": space}


def _is_lost(path: Path, token: str) -> bool:
    """Whether the lock is no longer ours: who stood still for a minute may find that others have taken it over."""
    try:
        return bool(json.loads(path.read_text()).get("token") != token)
    except FileNotFoundError:
        return True
    except (OSError, ValueError):  # a shared folder that does not answer just now
        return False


def _age(changed: float, folder: Path) -> float:
    """Seconds since a file in a folder was changed."""
    age = time.time() - changed
    if abs(age) < STALE:
        return age
    # Ours may be the wrong clock: a shared folder's files have the times of its server, or of other machines.
    probe = folder / f".clock.{uuid.uuid4().hex}"
    try:
        probe.touch()
        return probe.stat().st_mtime - changed
    finally:
        probe.unlink(missing_ok=True)


def _take(path: Path, token: str) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Content and name appear in one step, so that nobody ever reads half a lock.
    mine = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    mine.write_text(json.dumps({**_here(), "pid": os.getpid(), "token": token}))
    try:
        for _ in range(2):
            if _claim(mine, path):
                return True
            if _is_stale(path):
                _clear(path)
        return False
    finally:
        with contextlib.suppress(OSError):
            mine.unlink()


def _clear(path: Path) -> None:
    """Take a stale lock away, one process at a time: what is stale now may be somebody's new lock a moment later."""
    guard = path.with_name(f".{path.name}.clearing")
    try:
        open(guard, "x").close()
    except OSError:
        with contextlib.suppress(OSError):
            if _age(guard.stat().st_mtime, path.parent) > STALE:  # left by a process that was killed just here
                guard.unlink()
        return
    try:
        if _is_stale(path):
            path.unlink(missing_ok=True)
    finally:
        guard.unlink(missing_ok=True)


def _claim(mine: Path, path: Path) -> bool:
    try:
        os.link(mine, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        try:
            with open(path, "x") as file:
                file.write(mine.read_text())
        except FileExistsError:
            return False
    return True


def _beat(path: Path, token: str, ended: threading.Event) -> None:
    while not ended.wait(BEAT) and not _is_lost(path, token):
        with contextlib.suppress(OSError):
            os.utime(path)


def _is_alive(pid: int) -> bool:
    if pid <= 0:
        return False
    if os.name == "nt":  # there os.kill would end the process; the lock's age decides
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

"""What a sweep shows while it runs: a line that is always anew on a terminal, now and then one elsewhere."""

from __future__ import annotations

import io

import pytest

from autovul.base.sweep import display as display_module
from autovul.base.sweep.display import WIDTH, Display, status_line
from autovul.base.sweep.ledger import Ledger
from autovul.base.sweep.sweep import Progress, Sweep
from autovul.base.sweep.task import Outcome
from tests.base.sweep.world import Files, InTurn, Silent, run

NEW_LINE = "\r\033[K"  # back to the line's begin, and clear it


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def unknown(run):
    return None


@pytest.fixture
def sweep(tmp_path):
    ledger = Ledger(tmp_path / "result", Files())
    return Sweep([run("one", tmp_path)], ledger, InTurn(lambda task: (0, "")), Silent(), log_dir=tmp_path / "log")


def test_a_terminal_shows_the_state_of_things_always_anew_in_its_last_line(sweep, tmp_path):
    stream = Terminal()
    display, line = Display(unknown, stream), status_line(sweep, unknown)
    display.waiting(sweep)
    display.waiting(sweep)
    display.changed(Progress(run("two", tmp_path), "failed", "no"), Outcome("two", 1, "no", 61.0))
    display.waiting(sweep)
    display.close()
    assert stream.getvalue() == (
        f"{NEW_LINE}{line}" * 2 + f"{NEW_LINE}two: failed (0:01:01): no\n" + f"{NEW_LINE}{line}{NEW_LINE}"
    )


def test_a_line_that_is_shown_anew_never_wraps(tmp_path):
    stream, long = Terminal(), run("x" * 2 * WIDTH, tmp_path)
    ledger, launcher = Ledger(tmp_path / "result", Files()), InTurn(lambda task: (0, ""))
    sweep = Sweep([long], ledger, launcher, Silent(), log_dir=tmp_path / "log")
    sweep.progress[long.key].state = "running"
    launcher.start([sweep._task(long, needed=False)])
    Display(unknown, stream).waiting(sweep)
    assert len(stream.getvalue()) == len(NEW_LINE) + WIDTH


def test_elsewhere_the_state_of_things_is_a_line_a_minute_after_the_last_one(sweep, tmp_path, monkeypatch):
    now, stream = [0.0], io.StringIO()
    monkeypatch.setattr(display_module.time, "monotonic", lambda: now[0])
    display, shown = Display(unknown, stream), []
    for second in range(0, 300, 10):
        now[0] = second
        if second == 100:
            display.changed(Progress(run("two", tmp_path), "ok"), None)
        before = len(stream.getvalue())
        display.waiting(sweep)
        if len(stream.getvalue()) > before:
            shown.append(second)
    display.close()
    assert shown == [70, 170, 240]
    line = f"{status_line(sweep, unknown)}\n"
    assert stream.getvalue() == f"{line}two: ok\n{line}{line}"

"""How a long run shows that it lives: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any, Literal, TextIO

LINE_SECONDS = 10.0  # between two lines that nobody asked for


class Progress:
    """Shows the course of a run on standard error.

    Args:
        mode: ``bar``, ``lines``, ``off``, or ``auto``: a bar on a terminal, lines elsewhere.
        stream: Where it is shown; standard error unless given.
    """

    def __init__(self, mode: Literal["auto", "bar", "lines", "off"] = "auto", stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        if self._stream is None:  # closed, or a program without a console
            mode = "off"
        self.mode = mode if mode != "auto" else "bar" if self._stream.isatty() else "lines"
        self._bar: Any = None
        self._total = self._done = self._first = 0
        self._started = self._shown = time.monotonic()

    def start(self, total: int, done: int) -> None:
        """Begin a run of ``total`` steps, of which ``done`` were made before."""
        self._total, self._done, self._first = total, done, done
        self._started = time.monotonic()
        if self.mode == "bar":
            from tqdm import tqdm

            self._bar = tqdm(total=total, initial=done, file=self._stream, unit="step", dynamic_ncols=True)

    def advance(self, title: str, **figures: str) -> None:
        """One step more, with figures to show beside it, such as ``loss="0.51"``."""
        self._done += 1
        if self._bar is not None:
            self._bar.set_description(title, refresh=False)
            self._bar.set_postfix(figures, refresh=False)
            self._bar.update()
        elif self.mode == "lines" and self._is_time():
            self.say("  ".join([title, *(f"{name} {value}" for name, value in figures.items()), self._left()]))

    def say(self, line: str, *, important: bool = True) -> None:
        """Show one line; an unimportant one only if there was none shortly before."""
        if self.mode == "off" or not (important or self._is_time()):
            return
        self._shown = time.monotonic()
        if self._bar is not None:
            self._bar.write(line, file=self._stream)
        else:
            print(line, file=self._stream, flush=True)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _is_time(self) -> bool:
        return time.monotonic() - self._shown > LINE_SECONDS

    def _left(self) -> str:
        pace = (time.monotonic() - self._started) / max(1, self._done - self._first)
        return f"{clock(pace * (self._total - self._done))} left"


def clock(seconds: float) -> str:
    """Hours, minutes and seconds as ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"

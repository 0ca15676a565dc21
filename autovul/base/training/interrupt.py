"""Stopping politely: a signal becomes a question that a loop asks between its steps."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from types import FrameType
from typing import Any

NOTICE = b"\nstopping after this step; a second signal leaves at once\n"


class StopRequest:
    """While the block runs, SIGINT and SIGTERM set ``signal`` and do nothing else; a second one ends the process.

    Handlers are installed in the main thread only, elsewhere the block changes nothing, and the former ones return
    afterwards.

    Args:
        patient: A second signal does nothing either: torchrun passes on what the terminal has sent already, and ends
            its processes by other means where they do not stop.
    """

    def __init__(self, *, patient: bool = False) -> None:
        self.patient = patient
        self.signal: int | None = None
        self._former: dict[int, Any] = {}

    @property
    def status(self) -> int:
        """The exit status that says which signal came: 130 for SIGINT, 143 for SIGTERM."""
        return 128 + (self.signal or 0)

    def __bool__(self) -> bool:
        return self.signal is not None

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._former[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            if self.patient:
                return
            os._exit(128 + number)
        self.signal = number
        with contextlib.suppress(OSError):
            os.write(2, NOTICE)  # a print from a signal handler could meet a print that it interrupted

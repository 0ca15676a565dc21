"""Writing files that are either whole or absent."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from autovul.base.errors import UserError

STALE_SECONDS = 3600.0  # a temporary file this old belongs to a run that was killed while writing


@contextlib.contextmanager
def whole_file(path: str | Path) -> Iterator[BinaryIO]:
    """Open a binary file that replaces ``path`` only when the block ends without an exception.

    The bytes go to a temporary file in the same folder, are forced to the disk and take the place of ``path`` in one
    step, so that a reader, a crash or a full disk never meets half a file, and what was there before stays until then.
    Parent folders are made.

    Raises:
        UserError: The file cannot be written; the message names it and the free space.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(path)
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"cannot write {path}: {reason}{_free_space(path.parent)}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _remove_stale(path: Path) -> None:
    for temporary in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with contextlib.suppress(OSError):  # another process may remove it first
            if time.time() - temporary.stat().st_mtime > STALE_SECONDS:
                temporary.unlink()


def _free_space(folder: Path) -> str:
    try:
        return f" ({shutil.disk_usage(folder).free / 2**30:.1f} GiB free there)"
    except OSError:
        return ""

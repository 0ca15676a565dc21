"""Reading ``.npz`` archives of plain arrays: nothing in them is run, and what is wrong is said in our words."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path

import numpy as np


class DamagedArchive(ValueError):
    """A file is no whole ``.npz`` archive of plain arrays; the message is the reason alone."""


def read_arrays(path: str | Path, names: Collection[str]) -> dict[str, np.ndarray]:
    """Those of the named arrays that an archive holds.

    Raises:
        DamagedArchive: The file is cut off, changed or something else, or one of the arrays is not plain.
        FileNotFoundError: There is no such file.
    """
    with Path(path).open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise DamagedArchive("no archive, or one that is cut off")
        file.seek(0)
        try:
            with np.load(file, allow_pickle=False) as archive:
                return {name: archive[name] for name in names if name in archive}
        # NumPy's own word on an array of objects is how to load it unsafely.
        except ValueError as error:
            reason = "an array of objects" if "allow_pickle" in str(error) else " ".join(str(error).split())
            raise DamagedArchive(reason) from None
        except (EOFError, OSError, TypeError, zipfile.BadZipFile, zlib.error) as error:
            raise DamagedArchive(" ".join(str(error).split()) or type(error).__name__) from None

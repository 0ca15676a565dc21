"""Published pickles, read without running what they may say: the checksum first, then arrays and plain values only."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from autovul.vision.datasets.errors import DamagedData


def load_checked(content: bytes, md5: str, source: str) -> Any:
    """Unpickle bytes whose MD5 is known.

    Args:
        content: The whole file.
        md5: In hexadecimal.
        source: Where the bytes come from, for the message.

    Returns:
        Arrays, lists, tuples, dictionaries, numbers, bytes and text, and nothing else. Python 2's byte strings are
        text here (Latin-1).

    Raises:
        DamagedData: The checksum differs, the pickle is broken, or it asks for anything but an array.
    """
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise DamagedData(f"{source}: MD5 {found}, published is {md5}; the file is damaged or another: fetch it again")
    return load_plain(content, source)


def load_plain(content: bytes, source: str) -> Any:
    """As `load_checked`, for bytes of any checksum."""
    try:
        return _PlainUnpickler(io.BytesIO(content), encoding="latin1").load()
    except Exception as error:
        raise DamagedData(f"{source}: not a pickle of plain arrays ({' '.join(str(error).split())})") from None


def _latin1(text: str, encoding: str) -> bytes:
    """What pickles of protocol 2 call to make bytes of text; no other encoding, so that no codec is looked up."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding {encoding!r}")
    return text.encode("latin1")


# NumPy's private function that makes an empty array; this is the way to it that works in NumPy 1 and 2.
_reconstruct: Any = np.empty(0).__reduce__()[0]

_ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _latin1,
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None

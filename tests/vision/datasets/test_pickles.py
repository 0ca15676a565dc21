"""Published pickles: what they hold comes through, and nothing they ask for is called."""

from __future__ import annotations

import hashlib
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from autovul.vision.datasets.errors import DamagedData
from autovul.vision.datasets.pickles import load_checked, load_plain

# Written by Python 2's cPickle, protocol 2, with the class paths of NumPy 1:
# {"data": array([[1, 2, 255]], uint8), "labels": [6, 9]}
PYTHON2 = (
    b"\x80\x02}q\x01(U\x04datacnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85U\x01b\x87Rq"
    b"\x04(K\x01K\x01K\x03\x86cnumpy\ndtype\nq\x05U\x02u1K\x00K\x01\x87Rq\x06(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff"
    b"\xff\xffK\x00tb\x89U\x03\x01\x02\xfftbU\x06labels](K\x06K\teu."
)


@pytest.mark.parametrize("protocol", [2, 4])
def test_arrays_and_plain_values_come_through(protocol: int) -> None:
    value = {"data": np.arange(12, dtype=np.uint8).reshape(2, 6), "labels": [1, 2], "more": (b"\xff", "é", 1.5, None)}
    found = load_plain(pickle.dumps(value, protocol), "x")
    assert (found.pop("data") == value.pop("data")).all()
    assert found == value


def test_python_2_s_pickles_are_read() -> None:
    found = load_plain(PYTHON2, "x")
    assert found["data"].tolist() == [[1, 2, 255]]
    assert found["data"].dtype == np.uint8
    assert found["labels"] == [6, 9]


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_runs_code_is_refused(protocol: int, bomb: tuple[object, Path]) -> None:
    thing, trace = bomb
    with pytest.raises(DamagedData, match=r"x: not a pickle of plain arrays \(it asks for \w+\.open\)"):
        load_plain(pickle.dumps({"data": thing}, protocol), "x")
    assert not trace.exists()


@pytest.mark.parametrize("value", [OrderedDict(a=1), {1, 2}, np.random.RandomState(0), Path("x"), 1j, len])
def test_only_arrays_are_objects(value: object) -> None:
    with pytest.raises(DamagedData, match="it asks for"):
        load_plain(pickle.dumps(value, 2), "x")


@pytest.mark.parametrize(
    "content",
    [
        b"cos\nsystem\n(S'exit 1'\ntR.",
        b"\x80\x04\x8c\x05numpy\x8c\x0bcore.umath\x93.",
        b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__init__\x93.",
        b"c_codecs\nencode\n(S'x'\nS'rot13'\ntR.",
        b"\x80\x02.",
        b"",
        PYTHON2[:-20],
    ],
)
def test_hand_made_and_broken_pickles_are_refused(content: bytes) -> None:
    with pytest.raises(DamagedData, match="x: not a pickle of plain arrays"):
        load_plain(content, "x")


def test_the_checksum_comes_first() -> None:
    content = pickle.dumps([1])
    assert load_checked(content, hashlib.md5(content).hexdigest(), "x") == [1]
    with pytest.raises(DamagedData, match="x: MD5 .* published is 00"):
        load_checked(b"no pickle at all", "00", "x")

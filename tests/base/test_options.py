"""Options: strict, frozen, and wrong in one line."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from autovul.base.options import OptionError, Options, option


class Example(Options):
    count: int = option(3, "A count.", ge=1)
    rate: float = option(0.5, "A rate.", gt=0, le=1)
    limit: int | None = option(None, "A limit.", ge=0)
    mode: Literal["one", "two"] = option("one", "A mode.")
    sizes: tuple[int, ...] = option((1, 2), "Sizes.")


class Places(Options):
    """Where things lie."""

    file: str | None = option(None, "A file.")
    folder: Path | None = option(None, "A folder.")


def test_a_path_is_text_and_text_a_path():
    places = Places(file=Path("a") / "b", folder="c")
    assert (places.file, places.folder) == (str(Path("a") / "b"), Path("c"))


def test_conversions():
    example = Example(count=np.int64(4), rate=1, sizes=[np.int64(3)])
    assert (example.count, example.rate, example.sizes) == (4, 1.0, (3,))
    assert isinstance(example.count, int)
    assert Example(rate=np.float32(0.25)).rate == 0.25
    assert Example(limit=None).limit is None
    for sizes in (range(1, 4), np.arange(1, 4), [np.int64(1), 2, 3], torch.arange(1, 4)):
        found = Example(sizes=sizes).sizes
        assert found == (1, 2, 3) and all(type(size) is int for size in found)
    with pytest.raises(OptionError, match="count"):
        Example(count=np.arange(2))


@pytest.mark.parametrize(
    "values,parts",
    [
        ({"count": 0}, ["count", "1", "0"]),
        ({"count": 1.5}, ["count", "1.5"]),
        ({"count": True}, ["count", "True"]),
        ({"count": "3"}, ["count", "'3'"]),
        ({"rate": 0}, ["rate", "0"]),
        ({"rate": math.nan}, ["rate", "finite", "nan"]),
        ({"rate": math.inf}, ["rate", "inf"]),
        ({"limit": -1}, ["limit", "-1"]),
        ({"mode": "three"}, ["mode", "one", "two", "three"]),
        ({"cuont": 1}, ["cuont", "nearest: count"]),
    ],
)
def test_violations_are_one_line(values, parts):
    with pytest.raises(OptionError) as caught:
        Example(**values)
    message = str(caught.value)
    assert "\n" not in message
    assert all(part in message for part in parts), message


def test_frozen_and_comparable():
    example = Example()
    with pytest.raises(ValueError):
        example.count = 5
    assert example == Example(count=3)
    assert example != Example(count=4)

"""Seeds, devices and versions."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from autovul.base import environ
from autovul.base.errors import UsageError


def test_apply_seeds_every_generator():
    torch.backends.cudnn.allow_tf32 = True
    options = environ.EnvironmentOptions(seed=5, device="cpu")

    def draw():
        assert options.apply() == torch.device("cpu")
        return random.random(), np.random.rand(), torch.rand(1).item()

    first = draw()
    assert draw() == first
    assert not torch.backends.cudnn.allow_tf32, "fp32 is fp32 in convolutions as well"
    assert environ.EnvironmentOptions(seed=6, device="cpu").apply() and torch.rand(1).item() != first[2]


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "cpu:x", "meta", ""])
def test_a_device_that_is_not_here(name):
    with pytest.raises(UsageError, match="device must be auto or one that"):
        environ.choose_device(name)


def test_auto_is_a_device():
    assert environ.choose_device("auto").type in {"cpu", "cuda"}


def test_measure_counts_time_and_memory():
    with environ.measure(torch.device("cpu"), "sleep") as cost:
        torch.rand(1000).sort()
    assert 0 <= cost.seconds["sleep"] < 60
    assert cost.peak_memory is None or cost.peak_memory > 10 * 2**20


def test_code_version_names_the_source():
    version = environ.code_version()
    assert version.startswith("0.")
    assert len(version.split("+")[1]) == 8
    described = environ.describe(torch.device("cpu"))
    assert described["libraries"]["torch"]
    assert described["code_version"] == version

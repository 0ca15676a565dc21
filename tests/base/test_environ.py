"""Seeds, devices and versions."""

from __future__ import annotations

import os
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


@pytest.mark.parametrize("asked", [True, False])
def test_benchmark_and_deterministic_are_what_was_asked_for(asked):
    torch.backends.cudnn.benchmark = not asked
    torch.use_deterministic_algorithms(not asked)
    environ.EnvironmentOptions(device="cpu", benchmark=asked, deterministic=asked).apply()
    assert torch.backends.cudnn.benchmark == asked
    assert torch.are_deterministic_algorithms_enabled() == asked


def test_deterministic_gives_cublas_the_workspace_that_it_asks_for(monkeypatch):
    options = environ.EnvironmentOptions(device="cpu", deterministic=True)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    options.apply()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8", "the user's own choice stays"
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    environ.EnvironmentOptions(device="cpu").apply()
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    options.apply()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "cpu:x", "meta", ""])
def test_a_device_that_is_not_here(name):
    with pytest.raises(UsageError, match="device must be auto or one that"):
        environ.choose_device(name)


def test_auto_is_a_device():
    assert environ.choose_device("auto").type in {"cpu", "cuda"}


def test_measure_counts_time_and_memory(monkeypatch):
    now = [5.0]
    monkeypatch.setattr(environ.time, "perf_counter", lambda: now[0])
    with environ.measure(torch.device("cpu"), "sleep") as cost:
        now[0] += 2.3456
    assert cost.seconds == {"sleep": 2.346}
    assert cost.peak_memory is None or cost.peak_memory > 10 * 2**20


def test_code_version_names_the_source():
    version = environ.code_version()
    assert version.startswith("0.")
    assert len(version.split("+")[1]) == 8
    described = environ.describe(torch.device("cpu"))
    assert described["libraries"]["torch"]
    assert described["code_version"] == version

"""What tests of several folders share."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """An empty working directory, and a home without configuration."""
    home = tmp_path / "home"
    folder = tmp_path / "workspace"
    home.mkdir()
    folder.mkdir()
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(autouse=True)
def _deterministic_flags_stay_here():
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = False

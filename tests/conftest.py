"""What tests of several folders share."""

from __future__ import annotations

import pytest
import torch

# For networks as small as the tests', threads cost more than they bring; and a run's bits depend on their number, which
# would be another one in the processes that some tests start.
torch.set_num_threads(1)


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

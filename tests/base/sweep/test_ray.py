"""The Ray launcher without Ray: what it makes of addresses, nodes and missing machines."""

from __future__ import annotations

import socket
import sys

import pytest

from autovul.base.errors import UsageError, UserError
from autovul.base.sweep.launchers import elsewhere
from autovul.base.sweep.launchers.choice import choose
from autovul.base.sweep.launchers.ray import RayLauncher, places
from autovul.base.sweep.options import MachineOptions
from autovul.base.sweep.task import LOST, Task


@pytest.mark.parametrize(
    "node,needs,expected",
    [
        ({"CPU": 8, "GPU": 2}, {"CPU": 1, "GPU": 1}, 2),
        ({"CPU": 8, "GPU": 2}, {"CPU": 1, "GPU": 0.25}, 8),
        ({"CPU": 80, "GPU": 2}, {"CPU": 1, "GPU": 1 / 3}, 6),
        ({"CPU": 7}, {"CPU": 2, "GPU": 0}, 3),
        ({"CPU": 7}, {"CPU": 2, "GPU": 1}, 0),
        ({"CPU": 1}, {"CPU": 2, "GPU": 0}, 0),
        ({}, {"CPU": 1, "GPU": 0}, 0),
    ],
)
def test_room_on_a_node(node, needs, expected):
    assert places(node, needs) == expected


def test_an_address_where_nobody_answers():
    pytest.importorskip("ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(UserError, match=f"no Ray cluster answers at {address}: Connection refused"):
            RayLauncher(address)
        with pytest.raises(UserError, match="Connection refused"):
            RayLauncher(f"ray://{address}")


@pytest.mark.parametrize("address", ["head", "head:", "http://head:80", "head:70000", ":80", "head:80/x"])
def test_an_address_that_is_none(address):
    pytest.importorskip("ray")
    with pytest.raises(UsageError, match="--address: HOST:PORT"):
        RayLauncher(address)


def test_without_ray(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match="pip install ray"):
        choose(MachineOptions(launcher="ray"), "auto", tmp_path)


def test_a_share_of_several_gpus(tmp_path):
    with pytest.raises(UsageError, match=r"--gpus: .* not 1\.5"):
        choose(MachineOptions(launcher="ray", gpus=1.5), "auto", tmp_path)


def test_a_machine_without_the_folder(tmp_path):
    task = Task("k", "n", ("train",), tmp_path / "elsewhere", tmp_path / "log", tmp_path / "lock")
    outcome = elsewhere.run(task)
    assert (outcome.key, outcome.status) == ("k", LOST)
    assert "elsewhere; a sweep needs storage that all machines share" in outcome.message
    assert not (tmp_path / "lock").exists()


def test_this_program_comes_first_elsewhere(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "mine")
    here, mine = elsewhere.python_path().split(":" if sys.platform != "win32" else ";")
    assert mine == "mine"
    assert elsewhere.__file__.startswith(here)

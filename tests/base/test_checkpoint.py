"""Files are whole or absent, a changed byte never gives other tensors, and nothing in a file is run."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from autovul.base import atomic
from autovul.base.checkpoint import load_checkpoint, load_state, save_checkpoint, save_state
from autovul.base.errors import UserError


@pytest.fixture
def state() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "layer.weight": torch.randn(5, 7, generator=generator),
        "layer.bias": torch.randn(5, generator=generator),
        "norm.num_batches_tracked": torch.tensor(12345),
    }


def same(left: Any, right: Any) -> bool:
    if isinstance(left, Tensor):
        return isinstance(right, Tensor) and left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return isinstance(right, dict) and list(left) == list(right) and all(same(left[k], right[k]) for k in left)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def one_line(error: pytest.ExceptionInfo[UserError], path: Path) -> str:
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message
    return message


# ---- round trips


def test_state_round_trip_makes_folders_and_is_a_plain_torch_file(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "image" / "digits" / "net.pth"
    save_state(path, state)
    assert same(load_state(path), state)
    assert same(torch.load(path, weights_only=True), state)
    assert os.listdir(path.parent) == ["net.pth"]


def test_state_written_by_torch_is_read(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "net.pth"
    torch.save(OrderedDict(state), path)
    assert same(load_state(path), state)


def test_a_slice_is_stored_without_what_it_was_cut_from(tmp_path: Path) -> None:
    path = tmp_path / "slice.pth"
    save_state(path, {"x": torch.zeros(1_000_000)[:10]})
    assert path.stat().st_size < 5_000


def test_legacy_format_is_read(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "old.pth"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    assert not zipfile.is_zipfile(path)
    assert same(load_state(path), state)


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", "net"])
def test_wrapped_state_is_found(tmp_path: Path, state: dict[str, Tensor], key: str) -> None:
    path = tmp_path / "wrapped.pth"
    torch.save({"epoch": 3, key: state}, path)
    assert same(load_state(path), state)


def test_checkpoint_round_trip(tmp_path: Path, state: dict[str, Tensor]) -> None:
    full = {"model": state, "epoch": 3, "sums": [0.5, 1.5], "nested": {"a": None, "b": (1, "x", True)}}
    save_checkpoint(tmp_path / "net.state", full)
    assert same(load_checkpoint(tmp_path / "net.state"), full)


# ---- damage


def test_a_flipped_bit_anywhere_in_a_state_never_gives_other_tensors(tmp_path: Path, state: dict[str, Tensor]) -> None:
    whole, path = tmp_path / "whole.pth", tmp_path / "flipped.pth"
    save_state(whole, state)
    content = whole.read_bytes()
    refused = 0
    for offset in range(len(content)):
        for mask in (0xFF,) if offset % 2 else (0x01,):
            damaged = bytearray(content)
            damaged[offset] ^= mask
            path.write_bytes(damaged)
            try:
                loaded = load_state(path)
            except UserError as error:
                assert str(path) in str(error)
                refused += 1
            else:
                assert same(loaded, state), f"byte {offset} of {len(content)}"
    assert refused > len(content) / 5  # the rest is alignment between the entries


def test_a_flipped_bit_anywhere_in_a_checkpoint_is_refused(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "net.state"
    save_checkpoint(path, {"model": state, "epoch": 3})
    content = path.read_bytes()
    for offset in range(len(content)):
        damaged = bytearray(content)
        damaged[offset] ^= 1 << offset % 8
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="damaged"):
            load_checkpoint(path)


@pytest.mark.parametrize("save, load", [(save_state, load_state), (save_checkpoint, load_checkpoint)])
def test_every_truncation_is_refused(tmp_path: Path, state: dict[str, Tensor], save: Any, load: Any) -> None:
    path = tmp_path / "net"
    save(path, state)
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match="truncated|damaged|empty"):
            load(path)


@pytest.mark.parametrize("load, what", [(load_state, "weights"), (load_checkpoint, "training state")])
def test_missing_file_and_folder(tmp_path: Path, load: Any, what: str) -> None:
    with pytest.raises(UserError, match=f"no {what} at") as error:
        load(tmp_path / "absent")
    one_line(error, tmp_path / "absent")
    with pytest.raises(UserError) as error:
        load(tmp_path)
    one_line(error, tmp_path)


def test_headers_that_no_checksum_covers_change_no_tensor(tmp_path: Path, state: dict[str, Tensor]) -> None:
    """Every byte between the entries and in their directory, in many wrong values."""
    path = tmp_path / "net.pth"
    save_state(path, state)
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        directory = archive.start_dir
    for offset in range(directory, len(content)):
        for value in (0x00, 0x10, 0x1B, 0xFF):  # 0x10 among the attributes makes a folder of an entry
            path.write_bytes(content[:offset] + bytes([value]) + content[offset + 1 :])
            with contextlib.suppress(UserError):
                assert same(load_state(path), state), f"byte {offset}: {value}"


# ---- foreign content


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_a_pickle_that_runs_code_is_refused_and_not_run(tmp_path: Path, form: str) -> None:
    path, trace = tmp_path / "bomb.pth", tmp_path / "ran"
    if form == "pickle":
        path.write_bytes(pickle.dumps({"weight": Bomb(trace)}, protocol=2))
    else:
        torch.save({"weight": Bomb(trace)}, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(UserError) as error:
        load_state(path)
    assert not trace.exists()
    assert "mkdir" in one_line(error, path)


def test_a_whole_model_is_refused_by_its_class(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(UserError, match=r"torch\.nn\.modules\.linear\.Linear") as error:
        load_state(path)
    one_line(error, path)


@pytest.mark.parametrize(
    "content, says",
    [
        ([torch.zeros(2)], "a list of 1 entries"),
        (torch.zeros(2, 3), r"a tensor of shape \(2, 3\)"),
        ({}, "a dict of 0 entries"),
        ({"epoch": 3}, r"3 \(int\) under 'epoch'"),
        ({"state_dict": {"a": None}}, "NoneType under 'a'"),
        ({0: torch.zeros(2)}, "under 0"),
    ],
)
def test_foreign_objects_are_described(tmp_path: Path, content: Any, says: str) -> None:
    path = tmp_path / "foreign.pth"
    torch.save(content, path)
    with pytest.raises(UserError, match=says) as error:
        load_state(path)
    one_line(error, path)


@pytest.mark.parametrize("content", [b"hello", b"\x00" * 100, b"PK", b"%PDF-1.7 not weights"])
def test_foreign_bytes_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "foreign.pth"
    path.write_bytes(content)
    for load in (load_state, load_checkpoint):
        with pytest.raises(UserError) as error:
            load(path)
        one_line(error, path)


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_scripted_module_is_called_so(tmp_path: Path) -> None:
    torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(tmp_path / "net.pth")
    with pytest.raises(UserError, match="is a TorchScript file, or a damaged one: save the model's state_dict"):
        load_state(tmp_path / "net.pth")


def test_a_compressed_archive_is_refused_before_it_unfolds(tmp_path: Path, state: dict[str, Tensor]) -> None:
    whole, packed = tmp_path / "net.pth", tmp_path / "packed.pth"
    save_state(whole, state)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
    with pytest.raises(UserError):
        load_state(packed)


# ---- writing fails


@pytest.mark.parametrize("save, load", [(save_state, load_state), (save_checkpoint, load_checkpoint)])
@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(
    tmp_path: Path, state: dict[str, Tensor], save: Any, load: Any, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net"
    save(path, state)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, where, full)
        with pytest.raises(UserError, match=r"No space left.*GiB free") as error:
            save(path, {"other": torch.ones(3)})
    one_line(error, path)
    assert same(load(path), state)
    assert os.listdir(tmp_path) == ["net"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_during_the_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    always_full = open("/dev/full", "wb")  # noqa: SIM115
    monkeypatch.setattr(atomic, "open", lambda path, mode: always_full, raising=False)
    with pytest.raises(UserError, match="No space left"):
        save_state(tmp_path / "net.pth", {"x": torch.zeros(100_000)})
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write"):
        save_state(tmp_path / "file" / "net.pth", {"x": torch.zeros(1)})


def test_leftovers_of_killed_runs_go_and_others_stay(tmp_path: Path) -> None:
    old, young, foreign = (tmp_path / f".{name}.tmp" for name in ("net.pth.aa", "net.pth.bb", "other.pth.cc"))
    for file in (old, young, foreign):
        file.write_text("half")
    for file in (old, foreign):
        os.utime(file, (0, 0))
    save_state(tmp_path / "net.pth", {"x": torch.zeros(1)})
    assert sorted(os.listdir(tmp_path)) == sorted([young.name, foreign.name, "net.pth"])

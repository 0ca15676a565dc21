"""Archives of arrays: what is damaged or not plain is refused, in our words."""

from __future__ import annotations

import numpy as np
import pytest

from autovul.base.archive import DamagedArchive, read_arrays


def test_the_named_arrays_come_back_and_no_others(tmp_path):
    np.savez(tmp_path / "a.npz", first=np.arange(3), second=np.array("text"), third=np.zeros((2, 2), np.uint8))
    found = read_arrays(tmp_path / "a.npz", ("first", "third", "fourth"))
    assert sorted(found) == ["first", "third"]
    assert found["first"].tolist() == [0, 1, 2] and found["third"].dtype == np.uint8


def whole(path):
    np.savez(path, a=np.arange(1000))
    return path.read_bytes()


def flipped(content):
    changed = bytearray(content)
    changed[len(changed) // 2] ^= 1
    return bytes(changed)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: b"hello, this is text",
        lambda content: content[:-40],
        lambda content: content[: len(content) // 2],
        flipped,
    ],
)
def test_damage_is_told_without_advice_on_pickles(tmp_path, damage):
    path = tmp_path / "a.npz"
    path.write_bytes(damage(whole(path)))
    with pytest.raises(DamagedArchive) as error:
        read_arrays(path, ("a",))
    assert str(error.value) and "pickle" not in str(error.value)


def test_objects_are_not_unpickled(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.array([print, None], dtype=object))
    with pytest.raises(DamagedArchive, match="^an array of objects$"):
        read_arrays(tmp_path / "a.npz", ("a",))


def test_a_single_array_is_no_archive_and_no_file_is_no_damage(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(3))
    with pytest.raises(DamagedArchive, match="no archive"):
        read_arrays(tmp_path / "a.npy", ("a",))
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "b.npz", ("a",))

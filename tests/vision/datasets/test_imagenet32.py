"""ImageNet32's pickles, with tiny ones in place of the published."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from autovul.vision.datasets import DamagedData, ImageDataset, MissingData, create, imagenet32

FILES = [*imagenet32.TRAIN_MD5, *imagenet32.VALID_MD5]


def write(root: Path, file: str, content: object, monkeypatch: pytest.MonkeyPatch) -> None:
    path = root / "image" / "imagenet32" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))
    table = imagenet32.VALID_MD5 if file == "val_data" else imagenet32.TRAIN_MD5
    monkeypatch.setitem(table, file, hashlib.md5(path.read_bytes()).hexdigest())


@pytest.fixture
def contents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict]:
    random = np.random.RandomState(0)
    made = {}
    for file in FILES:
        labels = random.randint(2, 1000, 3).tolist() + [1, 1000]
        made[file] = {"data": random.randint(0, 256, (5, 3072), dtype=np.uint8), "labels": labels}
        write(tmp_path, file, made[file], monkeypatch)
    return made


def read(root: Path, **options: object) -> ImageDataset:
    return create("imagenet32", data_dir=str(root), **options)


def test_files_come_in_order_channel_first_and_labels_from_0(tmp_path: Path, contents: dict[str, dict]) -> None:
    dataset = read(tmp_path)
    assert (len(dataset.train), len(dataset.valid), dataset.num_classes) == (50, 5, 1000)
    at = 0
    for file in imagenet32.TRAIN_MD5:
        for row, label in zip(contents[file]["data"], contents[file]["labels"], strict=True):
            image = dataset.train.images[at]
            # Red, green and blue planes of 1,024 values, each row by row.
            assert image[2, 7, 9] == row[2 * 1024 + 7 * 32 + 9]
            assert torch.equal(image.flatten(), torch.from_numpy(row))
            assert dataset.train.labels[at] == label - 1
            at += 1


def test_num_classes_keeps_the_first(tmp_path: Path, contents: dict[str, dict]) -> None:
    whole, part = read(tmp_path), read(tmp_path, num_classes=500)
    kept = whole.train.labels < 500
    assert part.num_classes == 500
    assert torch.equal(part.train.labels, whole.train.labels[kept])
    assert torch.equal(part.train.images, whole.train.images[kept])
    with pytest.raises(ValueError, match="num_classes must be at most 1000 for imagenet32, got 1001"):
        read(tmp_path, num_classes=1001)


def test_normalisation_is_the_protocol_s(tmp_path: Path, contents: dict[str, dict]) -> None:
    dataset = read(tmp_path)
    assert [round(value * 255, 2) for value in (*dataset.mean, *dataset.std)] == [
        122.68,
        116.66,
        104.01,
        63.22,
        61.26,
        65.09,
    ]


def test_absent_files_say_where_to_ask_and_where_to_put_them(tmp_path: Path, contents: dict[str, dict]) -> None:
    directory = tmp_path / "image" / "imagenet32"
    (directory / "val_data").unlink()
    with pytest.raises(MissingData) as caught:
        read(tmp_path, download=True)
    message = str(caught.value)
    for part in (str(directory / "val_data"), "image-net.org", "train_data_batch_1 … train_data_batch_10", "32x32"):
        assert part in message
    assert "\n" not in message


def test_another_checksum_is_refused_unread(
    tmp_path: Path, contents: dict[str, dict], bomb: tuple[object, Path]
) -> None:
    thing, trace = bomb
    (tmp_path / "image" / "imagenet32" / "train_data_batch_2").write_bytes(pickle.dumps(thing))
    with pytest.raises(DamagedData, match="train_data_batch_2: MD5"):
        read(tmp_path)
    assert not trace.exists()


def test_code_is_refused_even_under_the_right_checksum(
    tmp_path: Path, contents: dict[str, dict], bomb: tuple[object, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    thing, trace = bomb
    write(tmp_path, "train_data_batch_2", thing, monkeypatch)
    with pytest.raises(DamagedData, match="it asks for"):
        read(tmp_path)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [0, 1, 2, 3, 4]}, "labels must be 1 … 1000, got 0 … 4"),
        ({"labels": [1, 2, 3, 4, 1001]}, "labels must be 1 … 1000, got 1 … 1001"),
        ({"labels": [1, 2, 3, 4]}, r"data must be uint8 \(4, 3072\), got uint8 \(5, 3072\)"),
        ({"data": np.zeros((5, 3072))}, r"data must be uint8 \(5, 3072\), got float64"),
    ],
)
def test_wrong_contents_are_named(
    change: dict, message: str, tmp_path: Path, contents: dict[str, dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "val_data", {**contents["val_data"], **change}, monkeypatch)
    with pytest.raises(DamagedData, match=message):
        read(tmp_path)

"""CIFAR's archives, packed and extracted, with tiny ones in place of the published."""

from __future__ import annotations

import hashlib
import pickle
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.datasets
import torchvision.datasets.utils

from autovul.base.errors import UserError
from autovul.vision.datasets import DamagedData, ImageDataset, MissingData, create

CLASSES = {"cifar10": torchvision.datasets.CIFAR10, "cifar100": torchvision.datasets.CIFAR100}
COUNTS = {"cifar10": 10, "cifar100": 100}


def md5_of(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture(params=["cifar10", "cifar100"])
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def archive(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A packed archive laid out like the published one, whose checksums torchvision is made to expect."""
    known, root = CLASSES[name], tmp_path / "image" / name
    folder = root / known.base_folder
    folder.mkdir(parents=True)
    random = np.random.RandomState(0)
    for file, _ in [*known.train_list, *known.test_list]:
        labels = random.randint(0, COUNTS[name], 4).tolist()
        content = {
            "data": random.randint(0, 256, (4, 3072), dtype=np.uint8),
            "labels" if name == "cifar10" else "fine_labels": labels,
            "coarse_labels": [0] * 4,
        }
        (folder / file).write_bytes(pickle.dumps(content, 2))
    names = {known.meta["key"]: [f"class {label}" for label in range(COUNTS[name])]}
    (folder / known.meta["filename"]).write_bytes(pickle.dumps(names, 2))
    packed = root / known.filename
    with tarfile.open(packed, "w:gz") as tar:
        tar.add(folder, known.base_folder)
    for attribute in ("train_list", "test_list"):
        monkeypatch.setattr(known, attribute, [[f, md5_of(folder / f)] for f, _ in getattr(known, attribute)])
    monkeypatch.setattr(known, "meta", {**known.meta, "md5": md5_of(folder / known.meta["filename"])})
    monkeypatch.setattr(known, "tgz_md5", md5_of(packed))
    shutil.rmtree(folder)
    return packed


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("a download that nobody asked for")

    monkeypatch.setattr(torchvision.datasets.utils, "_urlretrieve", refuse)


def read(archive: Path, name: str, **options: Any) -> ImageDataset:
    return create(name, data_dir=str(archive.parents[2]), **options)


def unpack(archive: Path, name: str) -> Path:
    with tarfile.open(archive) as tar:
        tar.extractall(archive.parent, filter="data")
    return archive.parent / CLASSES[name].base_folder


def test_packed_and_extracted_are_what_torchvision_reads(archive: Path, name: str) -> None:
    packed = read(archive, name)
    unpack(archive, name)
    extracted = read(archive, name)
    assert packed.sha256 == extracted.sha256
    for split, train in ((packed.train, True), (packed.valid, False)):
        expected = CLASSES[name](archive.parent, train=train)
        assert torch.equal(split.images, torch.from_numpy(expected.data).permute(0, 3, 1, 2))
        assert split.labels.tolist() == expected.targets
        assert packed.class_names == expected.classes


def test_reading_writes_nothing(archive: Path, name: str) -> None:
    read(archive, name, download=True)
    assert [*archive.parent.iterdir()] == [archive]


def test_missing_data_names_path_flag_and_alternative(name: str, tmp_path: Path) -> None:
    with pytest.raises(MissingData) as caught:
        create(name, data_dir=str(tmp_path))
    message = str(caught.value)
    assert str(tmp_path / "image" / name / CLASSES[name].filename) in message
    assert "--download" in message
    assert f"{name}.npz" in message
    assert "\n" not in message


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_a_truncated_archive_is_one_line(part: float, archive: Path, name: str) -> None:
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(DamagedData, match="not the whole published archive.*--download") as caught:
        read(archive, name)
    assert "\n" not in str(caught.value)


def test_an_archive_that_lacks_a_file_is_one_line(archive: Path, name: str) -> None:
    with tarfile.open(archive, "w:gz"):
        pass
    with pytest.raises(DamagedData, match=r"no \S+ in it"):
        read(archive, name)


@pytest.mark.parametrize("packed", [True, False])
def test_an_altered_file_is_refused_before_it_is_unpickled(
    packed: bool, archive: Path, name: str, bomb: tuple[object, Path]
) -> None:
    thing, trace = bomb
    folder = unpack(archive, name)
    (folder / CLASSES[name].test_list[0][0]).write_bytes(pickle.dumps(thing))
    if packed:
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(folder, folder.name)
        shutil.rmtree(folder)
    with pytest.raises(DamagedData, match=f"{CLASSES[name].test_list[0][0]}: MD5"):
        read(archive, name)
    assert not trace.exists()


def test_an_incomplete_folder_is_named(archive: Path, name: str) -> None:
    folder = unpack(archive, name)
    (folder / CLASSES[name].test_list[0][0]).unlink()
    with pytest.raises(MissingData, match="is incomplete"):
        read(archive, name)


def test_download_fetches_checks_and_then_names_the_archive(
    archive: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, asked = archive.read_bytes(), []
    archive.unlink()

    def serve(url: str, path: str, *arguments: object) -> None:
        asked.append(url)
        assert not archive.exists()
        Path(path).write_bytes(content)

    monkeypatch.setattr(torchvision.datasets.utils, "_get_redirect_url", lambda url, **options: url)
    monkeypatch.setattr(torchvision.datasets.utils, "_urlretrieve", serve)
    with pytest.raises(MissingData):
        read(archive, name)
    assert not asked
    first = read(archive, name, download=True)
    assert first.sha256 == read(archive, name, download=True).sha256
    assert asked == [CLASSES[name].url]
    assert [*archive.parent.iterdir()] == [archive]


def test_a_damaged_archive_is_replaced_by_a_download_and_a_bad_download_refused(
    archive: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = archive.read_bytes()
    archive.write_bytes(content[:100])
    monkeypatch.setattr(torchvision.datasets.utils, "_get_redirect_url", lambda url, **options: url)
    monkeypatch.setattr(
        torchvision.datasets.utils, "_urlretrieve", lambda url, path, *rest: Path(path).write_bytes(content[:200])
    )
    with pytest.raises(UserError, match="could not be fetched"):
        read(archive, name, download=True)
    assert archive.read_bytes() == content[:100]
    monkeypatch.setattr(
        torchvision.datasets.utils, "_urlretrieve", lambda url, path, *rest: Path(path).write_bytes(content)
    )
    assert len(read(archive, name, download=True).valid) == 4

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from autovul.base.registry import UnknownName
from autovul.vision import datasets
from autovul.vision.datasets import DataOptions, ImageDataset


def test_the_registered_names() -> None:
    assert datasets.list() == ["digits", "cifar10", "cifar100", "imagenet32", "folder"]


@pytest.mark.parametrize("name", [name for name in datasets.list() if name != "digits"])
def test_every_registered_set_says_in_one_line_what_is_missing(name: str, tmp_path: Path) -> None:
    with pytest.raises(datasets.MissingData) as caught:
        datasets.create(name, data_dir=str(tmp_path))
    assert str(tmp_path / "image" / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_gives_the_nearest_and_the_place_looked_at(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"'cifra10' \(nearest: cifar10") as caught:
        datasets.create("cifra10", data_dir=str(tmp_path))
    assert str(tmp_path / "image" / "cifra10" / "cifra10.npz") in str(caught.value)


def test_options_are_named_and_checked_like_the_flags() -> None:
    with pytest.raises(ValueError, match="no option 'batchsize'"):
        datasets.create("digits", batchsize=3)
    with pytest.raises(ValueError, match="must be a plain name without a path, got '../x'"):
        datasets.create("../x")
    with pytest.raises(ValueError, match="num_classes must be at most 10 for digits, got 11"):
        datasets.create("digits", num_classes=11)
    with pytest.raises(ValueError, match="dataset: the name is create's first argument"):
        datasets.create("digits", dataset="cifar10")


def test_from_options_is_create(digits: ImageDataset) -> None:
    assert datasets.from_options(DataOptions(dataset="digits")).sha256 == digits.sha256


def test_a_set_of_one_s_own_can_be_registered(digits: ImageDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.DATASETS, "_entries", dict(datasets.DATASETS._entries))

    @datasets.register("mine")
    def build(options: DataOptions, seed: int) -> ImageDataset:
        return digits

    assert datasets.create("mine") is digits


def test_importing_loads_no_heavy_library_and_creates_nothing(tmp_path: Path) -> None:
    program = (
        "import sys; import autovul.vision.datasets; "
        "print(sorted({'torchvision', 'sklearn', 'PIL', 'matplotlib', 'art'} & set(sys.modules)))"
    )
    root = Path(datasets.__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(root), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
    assert done.stderr == ""
    assert not [*tmp_path.iterdir()]

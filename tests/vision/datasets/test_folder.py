from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from autovul.vision.datasets import DamagedData, ImageDataset, MissingData, create


def paint(path: Path, value: int, size: tuple[int, int] = (40, 40), **options: object) -> None:
    """A picture (width, height) whose value differs from its neighbours', so that order and orientation show."""
    path.parent.mkdir(parents=True, exist_ok=True)
    across = np.linspace(0, 200, size[0])[None, :, None] + np.zeros((size[1], 1, 3))
    Image.fromarray((across + value).astype(np.uint8)).save(path, **options)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    root = tmp_path / "image" / "pets"
    for label, name in enumerate(["cat", "dog"]):
        for i in range(10):
            paint(root / name / f"{i}.png", 20 * label + i)
    return root


def read(root: Path, **options: object) -> ImageDataset:
    return create("pets", data_dir=str(root.parents[1]), **options)


def test_one_level_is_split_80_to_20_in_every_class(pictures: Path) -> None:
    dataset = read(pictures)
    assert dataset.class_names == ["cat", "dog"]
    assert torch.bincount(dataset.train.labels).tolist() == [8, 8]
    assert torch.bincount(dataset.valid.labels).tolist() == [2, 2]
    assert dataset.data_shape == (3, 32, 32)
    assert read(pictures).sha256 == dataset.sha256
    assert create("pets", seed=5, data_dir=str(pictures.parents[1])).sha256 != dataset.sha256


@pytest.mark.parametrize("held_out", ["valid", "val", "test"])
def test_two_levels_are_taken_as_they_are(held_out: str, tmp_path: Path) -> None:
    root = tmp_path / "image" / "pets"
    for part, count in (("train", 3), (held_out, 2)):
        for name in ("b", "a"):
            for i in range(count):
                paint(root / part / name / f"{i}.JPG", 10 * i)
    dataset = read(root)
    assert dataset.class_names == ["a", "b"]
    assert dataset.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert dataset.valid.labels.tolist() == [0, 0, 1, 1]
    assert dataset.train.images[0].float().mean() < dataset.train.images[1].float().mean()


def test_grey_gives_one_channel_of_colour_and_of_grey_files(pictures: Path) -> None:
    colour, grey = read(pictures), read(pictures, grey=True)
    assert grey.data_shape == (1, 32, 32) and len(grey.mean) == 1
    assert torch.equal(grey.train.images[:, 0], colour.train.images[:, 1]), "all channels of these are equal"
    assert grey.valid.pixels().stride() == (1024, 1024, 32, 1), "else a network that flattens with view fails"
    assert torch.equal(grey.train.labels, colour.train.labels)
    for path in pictures.glob("*/*.png"):
        Image.open(path).convert("L").save(path)
    assert read(pictures, grey=True).sha256 == grey.sha256
    assert read(pictures).sha256 == colour.sha256, "grey files give three channels unless told"


def test_data_path_is_the_directory(pictures: Path, tmp_path: Path) -> None:
    dataset = create("folder", data_path=str(pictures))
    assert dataset.name == "folder"
    assert dataset.sha256 == read(pictures).sha256


def test_threads_change_nothing(pictures: Path) -> None:
    assert read(pictures, num_workers=3).sha256 == read(pictures).sha256


def test_an_image_of_the_wanted_side_is_left_as_it_is(tmp_path: Path) -> None:
    root = tmp_path / "image" / "pets"
    for name in ("a", "b"):
        for i in range(2):
            paint(root / name / f"{i}.png", i, (32, 32))
    dataset = read(root)
    original = np.array(Image.open(root / "a" / "0.png"))
    everything = torch.cat([dataset.train.images, dataset.valid.images])
    assert any(torch.equal(image, torch.from_numpy(original).permute(2, 0, 1)) for image in everything)


def test_a_wide_picture_is_cropped_to_its_centre_at_the_wanted_side(tmp_path: Path) -> None:
    root = tmp_path / "image" / "pets"
    for name in ("a", "b"):
        for i in range(2):
            paint(root / name / f"{i}.png", i, (96, 48))
    dataset = read(root, image_size=24)
    assert dataset.data_shape == (3, 24, 24)
    # The ramp from 0 to 200 loses a quarter on either side.
    row = dataset.train.images[0, 0, 12].tolist()
    assert row[0] == pytest.approx(50, abs=4)
    assert row[-1] == pytest.approx(150, abs=4)


def test_a_turned_photograph_is_set_upright(tmp_path: Path) -> None:
    root = tmp_path / "image" / "pets"
    turned = Image.Exif()
    turned[0x0112] = 6
    for name in ("a", "b"):
        for i in range(2):
            paint(root / name / f"{i}.jpg", i, exif=turned)
    image = read(root).train.images[0, 0].float()
    assert image[-1].mean() - image[0].mean() > 100
    assert abs(image[:, -1].mean() - image[:, 0].mean()) < 10


def test_mean_and_std_are_those_of_the_training_images(pictures: Path) -> None:
    dataset = read(pictures)
    pixels = dataset.train.pixels().double()
    assert dataset.mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), rel=1e-6)
    assert dataset.std == pytest.approx(pixels.std((0, 2, 3), correction=0).tolist(), rel=1e-6)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_unreadable_images_are_named(num_workers: int, pictures: Path) -> None:
    for i in range(5):
        (pictures / "cat" / f"{i}.png").write_bytes((pictures / "cat" / f"{i}.png").read_bytes()[:60])
    with pytest.raises(DamagedData, match=r"unreadable images: \S+0\.png .*1\.png .*2\.png .* and 2 more") as caught:
        read(pictures, num_workers=num_workers)
    assert "\n" not in str(caught.value)


def test_other_files_are_passed_over(pictures: Path) -> None:
    before = read(pictures).sha256
    (pictures / "readme.txt").write_text("x")
    (pictures / "cat" / "notes.txt").write_text("x")
    (pictures / "cat" / "._0.png").write_text("x")
    (pictures / ".cache").mkdir()
    assert read(pictures).sha256 == before


def test_what_is_missing_is_named(pictures: Path, tmp_path: Path) -> None:
    (pictures / "empty").mkdir()
    with pytest.raises(DamagedData, match=r"empty: no image \(\.png, \.jpg, .*\.tiff\)"):
        read(pictures)
    paint(pictures / "empty" / "0.png", 0)
    with pytest.raises(DamagedData, match="empty has 1 image; a split needs 2"):
        read(pictures)
    paint(pictures / "train" / "cat" / "0.png", 0)
    with pytest.raises(MissingData, match="has train and none of valid, val, test"):
        read(pictures)
    paint(pictures / "valid" / "cat" / "0.png", 0)
    with pytest.raises(MissingData, match="needs a folder for each class, two at least; it has 1"):
        read(pictures)
    with pytest.raises(MissingData, match=r"no directory \S+nowhere"):
        create("folder", data_path=str(tmp_path / "nowhere"))
    (tmp_path / "image" / "bare").mkdir()
    with pytest.raises(MissingData, match=r"two at least, or bare\.npz; it has 0"):
        create("bare", data_dir=str(tmp_path))


def test_validation_may_lack_a_class(tmp_path: Path) -> None:
    root = tmp_path / "image" / "pets"
    for folder in ("train/a", "train/b", "valid/b"):
        paint(root / folder / "0.png", len(folder))
        paint(root / folder / "1.png", 40)
    dataset = read(root)
    assert (dataset.class_names, dataset.valid.labels.tolist()) == (["a", "b"], [1, 1])


def test_a_class_known_to_validation_alone_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "image" / "pets"
    for part, names in (("train", "ab"), ("valid", "abc")):
        for name in names:
            paint(root / part / name / "0.png", 0)
    with pytest.raises(DamagedData, match="c: a class that"):
        read(root)


@pytest.mark.parametrize("ending", ["png", "webp", "bmp", "ppm", "tif", "TIFF"])
def test_every_lossless_format_gives_the_same_pixels(pictures: Path, tmp_path: Path, ending: str) -> None:
    other = tmp_path / "other" / "image" / "pets"
    for path in sorted(pictures.glob("*/*.png")):
        copy = other / path.parent.name / f"{path.stem}.{ending}"
        copy.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).save(copy, **({"lossless": True, "exact": True} if ending == "webp" else {}))
    assert read(other).sha256 == read(pictures).sha256


@pytest.mark.parametrize("ending", ["png", "pgm", "tif"])
def test_grey_of_16_bits_is_scaled_and_not_cut_off(tmp_path: Path, ending: str) -> None:
    root = tmp_path / "image" / "pets"
    ramp = np.linspace(0, 65535, 32 * 32).reshape(32, 32).astype(np.uint16)
    for name in ("a", "b"):
        for i in range(2):
            (root / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(ramp).save(root / name / f"{i}.{ending}")
    image = read(root).train.images[0]
    assert torch.equal(image[0], torch.from_numpy((ramp / 257).round()).to(torch.uint8))
    assert torch.equal(image[0], image[2])

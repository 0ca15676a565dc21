from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
import torch

from autovul.vision.datasets import Augmentation, ImageDataset, ImageSplit, TrainingDataOptions


def make_split(labels: list[int], side: int = 4) -> ImageSplit:
    images = torch.arange(len(labels) * 3 * side * side).remainder(256).to(torch.uint8)
    return ImageSplit(images.view(-1, 3, side, side), torch.tensor(labels))


def make_dataset() -> ImageDataset:
    return ImageDataset(
        "toy", ["a", "b", "c"], make_split([0, 1, 2, 1]), make_split([2, 1, 0]), (0.5,) * 3, (0.25,) * 3
    )


def test_split_gives_pixels_and_subsets() -> None:
    split = make_split([0, 1, 2])
    assert torch.equal(split.pixels(), split.images.float() / 255)
    assert torch.equal(split.pixels([2, 0]), split.images[[2, 0]].float() / 255)
    picked = split.subset(torch.tensor([2, 0]))
    assert picked.labels.tolist() == [2, 0]
    assert torch.equal(picked.images[0], split.images[2])
    assert len(picked) == 2


def test_a_split_shows_itself_without_its_pixels() -> None:
    split = ImageSplit(torch.zeros(5, 3, 4, 6, dtype=torch.uint8), torch.zeros(5, dtype=torch.int64))
    assert repr(split) == "ImageSplit(5 images of 3 × 4 × 6)"


def test_facts_follow_from_the_images() -> None:
    dataset = make_dataset()
    assert (dataset.num_classes, dataset.data_shape) == (3, (3, 4, 4))


def test_sha256_is_over_what_it_says() -> None:
    dataset, digest = make_dataset(), hashlib.sha256()
    for split in (dataset.train, dataset.valid):
        for tensor in (split.images, split.labels):
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)};".encode() + tensor.numpy().tobytes())
    assert dataset.sha256 == digest.hexdigest()


@pytest.mark.parametrize("split", ["train", "valid"])
@pytest.mark.parametrize("part", ["images", "labels"])
def test_sha256_sees_one_changed_byte(split: str, part: str) -> None:
    dataset = make_dataset()
    tensor = getattr(getattr(dataset, split), part).clone()
    tensor.view(-1)[-1] = (tensor.view(-1)[-1] + 1) % 3
    other = replace(dataset, **{split: replace(getattr(dataset, split), **{part: tensor})})
    assert other.sha256 != dataset.sha256


def test_first_classes_keeps_names_and_order() -> None:
    first = make_dataset().first_classes(2)
    assert first.class_names == ["a", "b"]
    assert first.train.labels.tolist() == [0, 1, 1]
    assert torch.equal(first.train.images, make_dataset().train.images[[0, 1, 3]])
    dataset = make_dataset()
    last = replace(dataset, valid=dataset.valid.subset(dataset.valid.labels.eq(2).nonzero().flatten()))
    with pytest.raises(ValueError, match="toy has no validation image of the first 2 classes"):
        last.first_classes(2)
    with pytest.raises(ValueError, match="num_classes must be at most 3 for toy, got 4"):
        make_dataset().first_classes(4)


def test_augmentation_follows_the_options_and_the_data() -> None:
    dataset = make_dataset()
    assert dataset.augmentation(TrainingDataOptions()) == Augmentation()
    assert dataset.augmentation(TrainingDataOptions(cutout=True)).cutout_length == 2
    assert dataset.augmentation(TrainingDataOptions(cutout=True, cutout_length=3)).cutout_length == 3
    assert dataset.augmentation(TrainingDataOptions(cutout_length=3)).cutout_length is None
    assert dataset.augmentation(TrainingDataOptions(auto_augment=True)).auto_augment
    assert not replace(dataset, flip=False).augmentation(TrainingDataOptions()).flip


def test_train_batches_hand_on_every_argument() -> None:
    batches = make_dataset().train_batches(3, "cpu", 5, Augmentation(padding=1))
    assert (batches.batch_size, batches.seed, batches.augment) == (3, 5, Augmentation(padding=1))
    assert batches.num_samples == 4


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (torch.zeros(2, 3, 4, 4), torch.zeros(2, dtype=torch.int64), r"images must be uint8 .* torch\.float32"),
        (torch.zeros(2, 3, 4, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64), r"\(N, C, H, W\), got .* \(2, 3,"),
        (torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.zeros(2), r"labels must be int64 \(2,\)"),
        (torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64), r"got torch\.int64 \(3,\)"),
    ],
)
def test_a_wrong_split_is_refused(images: torch.Tensor, labels: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageSplit(images, labels)


def test_a_dataset_whose_parts_do_not_suit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"training images are \(3, 4, 4\), validation images \(3, 5, 5\)"):
        replace(make_dataset(), valid=make_split([0], side=5))
    with pytest.raises(ValueError, match="labels must be in 0 … 2"):
        replace(make_dataset(), valid=make_split([3]))


def test_numbers_that_are_not_those_of_pixels_are_refused() -> None:
    for change in (
        {"mean": (77.8,) * 3},
        {"std": (82.5,) * 3},
        {"mean": (0.5,)},
        {"std": (float("nan"),) * 3},
        {"std": (0.0,) * 3},
    ):
        with pytest.raises(ValueError, match="must be 3 numbers from 0 to 1, of pixels from 0 to 1"):
            replace(make_dataset(), **change)


def test_a_data_set_of_ones_own_splits_has_the_numbers_of_its_training_images() -> None:
    train, valid = make_split([0, 1, 2]), make_split([1, 1])
    dataset = ImageDataset.of("mine", train, valid, flip=False)
    pixels = train.pixels().double()
    assert dataset.mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), abs=1e-6)
    assert dataset.std == pytest.approx(pixels.std((0, 2, 3), correction=0).tolist(), abs=1e-6)
    assert dataset.class_names == ["0", "1", "2"] and not dataset.flip
    assert ImageDataset.of("mine", train, valid, ["a", "b", "c", "d"]).num_classes == 4
    with pytest.raises(ValueError, match="mine: there are no training images"):
        ImageDataset.of("mine", train.subset(slice(0, 0)), valid)

"""Augmentation against a twin that goes image by image and pixel by pixel."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from autovul.vision.datasets import auto_augment as auto_augment_module
from autovul.vision.datasets.augment import Augmentation, crop, cutout, mirror
from autovul.vision.datasets.auto_augment import auto_augment


def make_images(count: int, height: int = 7, width: int = 5) -> torch.Tensor:
    # No zero among the values, so that a zero in the outcome is padding or cutout.
    generator = torch.Generator().manual_seed(count)
    return torch.randint(1, 256, (count, 3, height, width), generator=generator, dtype=torch.uint8)


def slow_crop(image: torch.Tensor, row: int, column: int, padding: int) -> torch.Tensor:
    channels, height, width = image.shape
    out = torch.zeros_like(image)
    for channel in range(channels):
        for r in range(height):
            for c in range(width):
                source_r, source_c = r + row - padding, c + column - padding
                if 0 <= source_r < height and 0 <= source_c < width:
                    out[channel, r, c] = image[channel, source_r, source_c]
    return out


def slow_mirror(image: torch.Tensor, mirrored: bool) -> torch.Tensor:
    out = image.clone()
    for c in range(image.shape[2]):
        if mirrored:
            out[:, :, c] = image[:, :, image.shape[2] - 1 - c]
    return out


def slow_cutout(image: torch.Tensor, row: int, column: int, length: int) -> torch.Tensor:
    out = image.clone()
    for r in range(row - length // 2, row - length // 2 + length):
        for c in range(column - length // 2, column - length // 2 + length):
            if 0 <= r < image.shape[1] and 0 <= c < image.shape[2]:
                out[:, r, c] = 0
    return out


@pytest.mark.parametrize("padding", [1, 4])
def test_crop_is_the_twin_s_at_every_offset(padding: int) -> None:
    offsets = torch.cartesian_prod(torch.arange(2 * padding + 1), torch.arange(2 * padding + 1))
    images = make_images(len(offsets))
    fast = crop(images, offsets[:, 0], offsets[:, 1], padding)
    for image, (row, column), found in zip(images, offsets.tolist(), fast, strict=True):
        assert torch.equal(found, slow_crop(image, row, column, padding))


def test_mirror_is_the_twin_s() -> None:
    images, mirrored = make_images(6), torch.tensor([True, False, True, True, False, False])
    fast = mirror(images, mirrored)
    for image, flag, found in zip(images, mirrored.tolist(), fast, strict=True):
        assert torch.equal(found, slow_mirror(image, flag))


@pytest.mark.parametrize("length", [1, 3, 4, 20])
def test_cutout_is_the_twin_s_at_every_centre(length: int) -> None:
    centres = torch.cartesian_prod(torch.arange(8), torch.arange(6))
    images = make_images(len(centres))
    fast = cutout(images, centres[:, 0], centres[:, 1], length)
    for image, (row, column), found in zip(images, centres.tolist(), fast, strict=True):
        assert torch.equal(found, slow_cutout(image, row, column, length))


def test_steps_come_in_the_stated_order_from_the_stated_numbers() -> None:
    images, augment = make_images(40), Augmentation(padding=2, cutout_length=3)
    found = augment(images, torch.Generator().manual_seed(7))
    numbers = torch.Generator().manual_seed(7)
    rows, columns = (torch.randint(5, (40,), generator=numbers).tolist() for _ in range(2))
    mirrored = torch.randint(2, (40,), generator=numbers).tolist()
    centre_rows = torch.randint(8, (40,), generator=numbers).tolist()
    centre_columns = torch.randint(6, (40,), generator=numbers).tolist()
    for i in range(40):
        expected = slow_mirror(slow_crop(images[i], rows[i], columns[i], 2), bool(mirrored[i]))
        assert torch.equal(found[i], slow_cutout(expected, centre_rows[i], centre_columns[i], 3))


def test_each_step_can_be_left_out() -> None:
    images = make_images(30)
    nothing = Augmentation(padding=0, flip=False)
    assert torch.equal(nothing(images, torch.Generator().manual_seed(0)), images)
    only_flip = Augmentation(padding=0)(images, torch.Generator().manual_seed(0))
    same = (only_flip == images).flatten(1).all(1)
    assert torch.equal(only_flip, mirror(images, ~same))
    assert 5 < int(same.sum()) < 25


def test_cutout_leaves_crop_and_flip_as_they_are_without_it() -> None:
    images = make_images(20)
    plain = Augmentation()(images, torch.Generator().manual_seed(3))
    holed = Augmentation(cutout_length=2)(images, torch.Generator().manual_seed(3))
    assert torch.equal(holed[holed > 0], plain[holed > 0])
    assert (holed != plain).any()


def test_cutout_centres_are_uniform_with_both_borders_included() -> None:
    images = torch.ones(20_000, 1, 4, 4, dtype=torch.uint8)
    augment = Augmentation(padding=0, flip=False, cutout_length=2)
    holes = 16 - augment(images, torch.Generator().manual_seed(0)).flatten(1).sum(1)
    # Along a side, centres 0 and 4 leave 1 of 2 rows inside and centres 1, 2, 3 leave both: areas 1, 2, 4.
    expected = {1: 4 / 25, 2: 12 / 25, 4: 9 / 25}
    counted = Counter(holes.tolist())
    assert set(counted) == set(expected)
    for area, part in expected.items():
        assert counted[area] / 20_000 == pytest.approx(part, abs=0.015)


def test_default_cutout_of_32_pixels_removes_64_to_256() -> None:
    images = torch.ones(3_000, 1, 32, 32, dtype=torch.uint8)
    augment = Augmentation(padding=0, flip=False, cutout_length=16)
    holes = 1024 - augment(images, torch.Generator().manual_seed(0)).flatten(1).sum(1, dtype=torch.int64)
    assert (int(holes.min()), int(holes.max())) == (64, 256)
    # Expected side: 17 of 33 centres give 16, eight on either side give 8 to 15.
    side = (17 * 16 + 2 * sum(range(8, 16))) / 33
    assert float(holes.double().mean()) == pytest.approx(side**2, rel=0.02)


@pytest.mark.parametrize("channels", [1, 3])
def test_auto_augment_is_torchvision_s_policy_on_each_image(channels: int) -> None:
    images = make_images(4_000, 18, 21)[:, :channels]  # so many that every operation occurs, in both directions
    generator = torch.Generator().manual_seed(5)
    found = auto_augment(images, generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        policy = v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10)
        assert torch.equal(found, torch.stack([policy(image) for image in images]))
        assert torch.equal(generator.get_state(), torch.get_rng_state())
    assert (found != images).flatten(1).any(1).sum() > 2_000


def test_all_indices_of_auto_augment_travel_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []
    monkeypatch.setattr(auto_augment_module, "send", lambda tensor, device: sent.append(tensor) or tensor)
    auto_augment(make_images(50), torch.Generator().manual_seed(0))
    assert len(sent) == 1


def test_auto_augment_of_no_image_is_none() -> None:
    assert auto_augment(make_images(0), torch.Generator().manual_seed(0)).shape == (0, 3, *make_images(1).shape[2:])


def test_nothing_global_is_drawn_and_the_input_is_left_alone() -> None:
    images = make_images(4, 32, 32)
    kept = images.clone()
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    Augmentation(auto_augment=True, cutout_length=8)(images, torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()
    assert random.getstate() == before[2]
    assert torch.equal(images, kept)


@pytest.mark.parametrize("wrong", [{"padding": -1}, {"cutout_length": 0}])
def test_a_wrong_number_is_named(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"{[*wrong][0]} must be .* got {[*wrong.values()][0]}"):
        Augmentation(**wrong)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_same_pixels() -> None:
    images, augment = make_images(64, 32, 32), Augmentation(cutout_length=16)
    on_cpu = augment(images, torch.Generator().manual_seed(1))
    on_cuda = augment(images.cuda(), torch.Generator().manual_seed(1))
    assert torch.equal(on_cpu, on_cuda.cpu())

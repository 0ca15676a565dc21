"""Batches depend on their number alone, whatever was drawn before and wherever the images lie."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from autovul.vision.datasets import Augmentation, ImageBatches, ImageDataset, to_pixels
from autovul.vision.datasets import batches as batches_module
from autovul.vision.datasets.batches import generator_of

AUGMENT = Augmentation(padding=2, cutout_length=4)


def make_batches(seed: int | None = 3, augment: Augmentation | None = AUGMENT, **options: object) -> ImageBatches:
    images = torch.randint(0, 256, (23, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return ImageBatches(images, torch.arange(23), 5, seed=seed, augment=augment, **options)  # type: ignore[arg-type]


def assert_same(one: object, other: object) -> None:
    for (x, y), (other_x, other_y) in zip(one, other, strict=True):  # type: ignore[call-overload]
        assert torch.equal(x, other_x)
        assert torch.equal(y, other_y)


def test_an_epoch_shows_every_image_once_and_keeps_the_last_partial_batch() -> None:
    batches = make_batches()
    epoch = [*batches.epoch(0)]
    assert (len(batches), batches.num_samples) == (5, 23)
    assert [len(y) for _, y in epoch] == [5, 5, 5, 5, 3]
    assert sorted(torch.cat([y for _, y in epoch]).tolist()) == [*range(23)]


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_lie_as_pytorch_lays_them_wherever_they_came_from(channels: int) -> None:
    """With one channel a tensor is contiguous in either layout, and convolutions go by its strides."""
    stored = torch.zeros(6, 4, 5, channels, dtype=torch.uint8).permute(0, 3, 1, 2)
    wanted = torch.zeros(6, channels, 4, 5).stride()
    assert to_pixels(stored).stride() == wanted != stored.stride()
    for augment in (None, Augmentation()):
        batches = ImageBatches(stored, torch.zeros(6, dtype=torch.int64), 6, seed=0, augment=augment)
        assert next(batches.epoch())[0].stride() == wanted


def test_a_batch_is_its_augmented_images() -> None:
    batches = make_batches()
    for number, (x, y) in enumerate(batches.epoch(2)):
        expected = AUGMENT(batches.images[y], generator_of(3, 2, number))
        assert x.dtype == torch.float32
        assert torch.equal(x, expected.to(torch.float32) / 255)


@pytest.mark.parametrize("start", [0, 1, 4, 5])
def test_starting_late_gives_the_tail_of_the_whole_epoch(start: int) -> None:
    batches = make_batches()
    assert_same([*batches.epoch(1)][start:], batches.epoch(1, start))


def test_content_does_not_depend_on_what_was_drawn_before() -> None:
    used, fresh = make_batches(), make_batches()
    for epoch in (0, 4):
        next(used.epoch(epoch))
    torch.rand(3)
    assert_same(used.epoch(1), fresh.epoch(1))


def test_epochs_and_seeds_differ() -> None:
    orders = [
        torch.cat([y for _, y in make_batches(seed).epoch(epoch)]).tolist()
        for seed, epoch in itertools.product((0, 1, 2**31), (0, 1, 2))
    ]
    assert len({tuple(order) for order in orders}) == 9


def test_generators_of_different_places_differ() -> None:
    places = [(0,), (1,), (0, 0), (0, 1), (1, 0), (0, 0, 0), (256, 0), (0, 256)]
    first = {
        (seed, *place): int(torch.randint(2**62, (), generator=generator_of(seed, *place)))
        for seed in (0, 1, 2**32)
        for place in places
    }
    assert len(set(first.values())) == len(first)


def test_streaming_gives_what_lies_on_the_device() -> None:
    assert_same(make_batches(resident=True).epoch(1), make_batches(resident=False).epoch(1))


def test_images_stream_where_they_need_over_a_quarter_of_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.zeros(100, 3, 4, 4, dtype=torch.uint8)
    for free, fits in ((4 * images.nbytes, True), (4 * images.nbytes - 1, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 2 * free))
        assert batches_module._fits(images, torch.device("cuda")) is fits
        assert batches_module._fits(images, torch.device("cpu"))


def test_without_a_seed_batches_are_in_stored_order_and_plain(digits: ImageDataset) -> None:
    batches = digits.valid_batches(100)
    x, y = (torch.cat(parts) for parts in zip(*batches.epoch(), strict=True))
    assert torch.equal(x, to_pixels(digits.valid.images))
    assert torch.equal(y, digits.valid.labels)


def test_images_are_held_once() -> None:
    images = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    assert ImageBatches(images, torch.zeros(4), 2).images.data_ptr() == images.data_ptr()


def test_targets_may_be_another_s_answers() -> None:
    answers = torch.rand(23, 10)
    images = torch.zeros(23, 3, 8, 8, dtype=torch.uint8)
    found = torch.cat([y for _, y in ImageBatches(images, answers, 5, seed=0).epoch(0)])
    assert torch.equal(found.sort(0).values, answers.sort(0).values)


def test_global_generators_are_left_alone() -> None:
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    for _ in make_batches().epoch(0):
        pass
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpy_before).all()


def test_wrong_arguments_are_named() -> None:
    images = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        ImageBatches(images, torch.zeros(4), 0)
    with pytest.raises(ValueError, match="4 images and 3 targets"):
        ImageBatches(images, torch.zeros(3), 2)
    with pytest.raises(ValueError, match="augment needs a seed"):
        ImageBatches(images, torch.zeros(4), 2, augment=Augmentation())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("resident", [True, False])
def test_cuda_gives_the_same_batches(resident: bool) -> None:
    images = torch.randint(0, 256, (23, 3, 8, 8), dtype=torch.uint8)
    on_cpu, on_cuda = (
        ImageBatches(images, torch.arange(23), 5, device, seed=3, augment=AUGMENT, resident=resident)
        for device in ("cpu", "cuda")
    )
    assert_same(on_cpu.epoch(1), ((x.cpu(), y.cpu()) for x, y in on_cuda.epoch(1)))


def test_images_of_another_form_are_refused() -> None:
    pixels = torch.rand(4, 3, 8, 8)
    for images in (pixels, (pixels * 255).to(torch.uint8)[0]):
        with pytest.raises(ValueError, match=r"images must be uint8 \(N, C, H, W\), got torch\."):
            ImageBatches(images, torch.arange(len(images)), 2)
    with pytest.raises(ValueError, match="labels must be class indices of at least 0, got -100"):
        ImageBatches((pixels * 255).to(torch.uint8), torch.tensor([0, 1, -100, 2]), 2)

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from autovul.vision.datasets import ImageDataset, create
from autovul.vision.datasets.facts import measured


def test_every_image_is_there_once_in_parts_of_the_same_classes(digits: ImageDataset) -> None:
    labels = torch.cat([digits.train.labels, digits.valid.labels])
    assert torch.bincount(labels).tolist() == np.bincount(load_digits().target).tolist()
    assert (len(digits.train), len(digits.valid)) == (1438, 359)
    part = torch.bincount(digits.valid.labels) / torch.bincount(labels)
    assert ((part - 0.2).abs() < 0.004).all()


def test_images_are_the_originals_scaled_up_by_pillow_s_bilinear_filter(digits: ImageDataset) -> None:
    originals = load_digits().images
    scaled = [
        np.asarray(Image.fromarray(image.astype(np.float32)).resize((32, 32), Image.Resampling.BILINEAR)) * 255 / 16
        for image in originals
    ]
    expected = {np.rint(image).astype(np.uint8).tobytes() for image in scaled}
    found = torch.cat([digits.train.images, digits.valid.images])
    assert digits.data_shape == (3, 32, 32)
    assert (found == found[:, :1]).all()
    assert {image[0].numpy().tobytes() for image in found} == expected


def test_the_split_is_the_seed_s(digits: ImageDataset) -> None:
    assert create("digits", seed=1228).sha256 == digits.sha256
    assert create("digits", seed=1).sha256 != digits.sha256


def test_the_data_are_the_same_on_every_machine(digits: ImageDataset) -> None:
    assert digits.sha256 == "b3100ec409cc7835160e75bcd22d878b8591cffd5430de192e8f5611758ea451"


def test_normalisation_is_that_of_the_training_images(digits: ImageDataset) -> None:
    mean, std = measured(digits.train.images, "digits")
    assert digits.mean == pytest.approx(mean, abs=1e-8)
    assert digits.std == pytest.approx(std, abs=1e-8)


def test_a_mirrored_digit_is_none(digits: ImageDataset) -> None:
    assert not digits.flip


def test_fewer_classes() -> None:
    assert create("digits", num_classes=3).train.labels.unique().tolist() == [0, 1, 2]

"""The archive of arrays: what a whole one gives, and one line for each way it can be wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from autovul.vision.datasets import DamagedData, ImageDataset, create
from autovul.vision.datasets.facts import CIFAR_MEAN, CIFAR_STD

Arrays = dict[str, np.ndarray]
Read = Callable[..., ImageDataset]


def test_a_whole_archive_is_read_channels_first(arrays: Arrays, read_npz: Read) -> None:
    dataset = read_npz(arrays)
    assert (dataset.name, dataset.class_names, dataset.data_shape) == ("mine", ["0", "1", "2"], (3, 6, 5))
    assert torch.equal(dataset.train.images[4, 2], torch.from_numpy(arrays["x_train"][4, :, :, 2]))
    assert dataset.valid.labels.tolist() == arrays["y_test"].tolist()
    assert dataset.flip


def test_mean_and_std_are_those_of_the_training_images(arrays: Arrays, read_npz: Read) -> None:
    dataset = read_npz(arrays)
    pixels = arrays["x_train"] / 255
    assert dataset.mean == pytest.approx(pixels.mean((0, 1, 2)), rel=1e-12)
    assert dataset.std == pytest.approx(pixels.std((0, 1, 2)), rel=1e-12)


def test_a_known_name_keeps_its_own_facts_and_is_read_in_place_of_a_download(arrays: Arrays, read_npz: Read) -> None:
    arrays["y_train"] = np.arange(12) % 10
    dataset = read_npz(arrays, "cifar10")
    assert (dataset.mean, dataset.std) == (CIFAR_MEAN, CIFAR_STD)
    assert dataset.class_names[3] == "cat"
    assert not read_npz(arrays, "digits").flip


@pytest.mark.parametrize("name", ["mine", "digits"])
@pytest.mark.parametrize("last", [(), (1,)])
def test_grey_images_have_one_channel(arrays: Arrays, read_npz: Read, name: str, last: tuple[int, ...]) -> None:
    arrays["y_train"] = np.arange(12) % 10
    grey = {key: value[..., 0].reshape(*value.shape[:3], *last) for key, value in arrays.items() if key[0] == "x"}
    dataset = read_npz({**arrays, **grey}, name)
    assert dataset.data_shape == (1, 6, 5)
    assert torch.equal(dataset.train.images[4, 0], torch.from_numpy(arrays["x_train"][4, :, :, 0]))
    assert dataset.mean == pytest.approx([arrays["x_train"][..., 0].mean() / 255])
    assert dataset.flip == (name != "digits"), "what else is known of the name holds"


def test_names_may_be_given(arrays: Arrays, read_npz: Read) -> None:
    assert read_npz({**arrays, "classes": np.array(["x", "y", "z"])}).class_names == ["x", "y", "z"]


def test_options_apply_to_any_name(arrays: Arrays, read_npz: Read) -> None:
    assert not read_npz(arrays, no_flip=True).flip
    assert read_npz(arrays, num_classes=2).train.labels.unique().tolist() == [0, 1]


def test_data_path_is_the_directory_of_the_data_set(arrays: Arrays, tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", **arrays)
    assert create("mine", data_path=str(tmp_path)).num_classes == 3


def with_value(array: np.ndarray, value: int) -> np.ndarray:
    changed = array.astype(np.int64)
    changed[0] = value
    return changed


WRONG: dict[str, tuple[Callable[[Arrays], Arrays], str]] = {
    "an array missing": (lambda a: {k: v for k, v in a.items() if k != "y_test"}, "no array y_test"),
    "floats with NaN": (lambda a: {"x_train": np.full((12, 6, 5, 3), np.nan)}, "x_train must be uint8 .* float64"),
    "int64 images": (lambda a: {"x_test": a["x_test"].astype(np.int64)}, "x_test must be uint8 .* int64"),
    "channels first": (lambda a: {"x_train": a["x_train"].transpose(0, 3, 1, 2)}, r"x_train must have shape .* 6, 5\)"),
    "grey and coloured images": (lambda a: {"x_test": a["x_test"][..., 0]}, r"of \(3, 6, 5\), x_test of \(1, 6, 5\)"),
    "images with transparency": (
        lambda a: {"x_test": a["x_test"].repeat(2, 3)[..., :4]},
        r"x_test must have shape \(N, H, W, 3\), for grey images \(N, H, W\), .* 4\)",
    ),
    "no images": (lambda a: {"x_test": a["x_test"][:0], "y_test": a["y_test"][:0]}, "x_test must have .* N above 0"),
    "other sides": (
        lambda a: {"x_test": a["x_test"][:, :5]},
        r"x_train holds images of \(3, 6, 5\), x_test of \(3, 5, 5\)",
    ),
    "too few labels": (lambda a: {"y_train": a["y_train"][:-1]}, r"y_train must have shape \(12,\).* got \(11,\)"),
    "a column of labels": (lambda a: {"y_train": a["y_train"][:, None]}, r"got \(12, 1\)"),
    "float labels": (lambda a: {"y_test": a["y_test"] / 1}, "y_test must be whole numbers, got float64"),
    "a negative label": (lambda a: {"y_train": with_value(a["y_train"], -1)}, "y_train holds label -1"),
    "a label for a thousand million classes": (
        lambda a: {"y_train": with_value(a["y_train"], 10**9)},
        "y_train holds label 1000000000",
    ),
    "a label beyond int64": (
        lambda a: {"y_test": with_value(a["y_test"], 0).astype(np.uint64) + np.uint64(2**63)},
        "y_test holds label 92233720368547758",
    ),
    "labels from 1": (lambda a: {"y_train": a["y_train"] + 1}, "no training image has label 0"),
    "a label not trained": (
        lambda a: {"y_test": with_value(a["y_test"], 3)},
        r"y_test holds label 3; labels are 0 … 2",
    ),
    "one class": (lambda a: {"y_train": a["y_train"] * 0, "y_test": a["y_test"] * 0}, "there is one class only"),
    "too few names": (lambda a: {"classes": np.array(["x", "y"])}, r"y_train holds label 2; labels are 0 … 1"),
    "too many names": (lambda a: {"classes": np.array(list("wxyz"))}, "no training image has label 3"),
    "names as bytes": (lambda a: {"classes": np.array([b"x"])}, r"classes must be a list of texts"),
    "a flip for each image": (lambda a: {"flip": np.ones(12, bool)}, r"flip must be one truth value, got bool of"),
    "flip as a number": (lambda a: {"flip": np.array(0.5)}, "flip must be one truth value, got float64"),
    "one colour": (lambda a: {"x_train": a["x_train"] * np.uint8(0)}, "channel 0 has the same value"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_archive_is_one_line(name: str, arrays: Arrays, read_npz: Read) -> None:
    change, message = WRONG[name]
    changed = change(arrays)
    arrays = changed if name == "an array missing" else {**arrays, **changed}
    with pytest.raises(DamagedData, match=message) as caught:
        read_npz(arrays)
    assert "\n" not in str(caught.value)
    assert "mine.npz" in str(caught.value)


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_truncated_archive_is_one_line(part: float, compressed: bool, arrays: Arrays, tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(DamagedData, match=r"mine\.npz: not a whole \.npz archive"):
        create("mine", data_path=str(tmp_path))


def test_changed_bytes_are_found(arrays: Arrays, tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, **arrays)
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedData, match="CRC"):
        create("mine", data_path=str(tmp_path))


def test_a_single_array_is_no_archive(tmp_path: Path) -> None:
    with (tmp_path / "mine.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DamagedData, match="not a whole"):
        create("mine", data_path=str(tmp_path))


def test_a_pickle_inside_does_not_run(arrays: Arrays, read_npz: Read, bomb: tuple[object, Path]) -> None:
    thing, trace = bomb
    labels = np.empty(12, object)
    labels[:] = thing
    with pytest.raises(DamagedData, match="an array of objects"):
        read_npz({**arrays, "y_train": labels})
    assert not trace.exists()

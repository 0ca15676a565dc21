"""The transfer set of model extraction: images and what the victim answered, from which a thief learns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from autovul.base.archive import DamagedArchive, read_arrays
from autovul.base.atomic import whole_file
from autovul.base.errors import UserError
from autovul.vision.attacks.victim import Victim
from autovul.vision.datasets import ImageDataset, to_pixels

LabelMode = Literal["hard", "soft"]
CHUNK = 1024


@dataclass(frozen=True)
class TransferSet:
    """Images in the order in which they were sent to the victim, with its answers.

    Args:
        images: uint8 (B, C, H, W).
        answers: int64 (B,), the victim's classes; or float32 (B, classes), its probabilities.
        indices: int64 (B,), places in the attacker's pool (the training split).
    """

    images: Tensor
    answers: Tensor
    indices: Tensor

    def __len__(self) -> int:
        return len(self.images)

    @property
    def label_mode(self) -> LabelMode:
        """Whether the answers are classes (hard) or probabilities (soft)."""
        return "hard" if self.answers.ndim == 1 else "soft"

    def classes(self) -> int:
        """How many classes the answers need at least."""
        return int(self.answers.max()) + 1 if self.label_mode == "hard" else self.answers.shape[1]

    def head(self, budget: int) -> TransferSet:
        """What an attacker with a smaller budget has: the first ``budget`` queries."""
        return TransferSet(self.images[:budget], self.answers[:budget], self.indices[:budget])

    def hardened(self) -> TransferSet:
        """The same with the most probable classes for answers."""
        return self if self.label_mode == "hard" else TransferSet(self.images, self.answers.argmax(1), self.indices)

    def save(self, path: str | Path) -> None:
        """Write an ``.npz`` file: ``images`` (channels last), ``answers``, ``indices``.

        Raises:
            UserError: It cannot be written.
        """
        arrays = {"images": self.images.permute(0, 2, 3, 1), "answers": self.answers, "indices": self.indices}
        with whole_file(path) as file:
            np.savez(file, **{name: array.contiguous().numpy() for name, array in arrays.items()})  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: str | Path) -> TransferSet:
        """Read what `save` wrote; nothing in the file is run.

        Raises:
            UserError: The file is missing, damaged, or holds something else.
        """
        names = ("images", "answers", "indices")
        try:
            arrays = read_arrays(path, names)
            images, answers, indices = (torch.from_numpy(arrays[name]) for name in names)
        except FileNotFoundError:
            raise UserError(f"no transfer set at {path}") from None
        except KeyError as error:
            raise UserError(f"{path} is no transfer set: it has no array {error}") from None
        except (DamagedArchive, TypeError) as error:  # TypeError: arrays of text
            raise UserError(f"{path} is damaged or no transfer set ({error})") from None
        kinds = (images.dtype, images.ndim, answers.dtype, answers.ndim)
        if kinds not in ((torch.uint8, 4, torch.int64, 1), (torch.uint8, 4, torch.float32, 2)) or not (
            len(images) == len(answers) == len(indices) > 0
        ):
            raise UserError(f"{path} is no transfer set: images {tuple(images.shape)}, answers {tuple(answers.shape)}")
        return cls(images.permute(0, 3, 1, 2).contiguous(), answers, indices)


def ask(victim: Victim, images: Tensor, label_mode: LabelMode) -> Tensor:
    """The victim's answers to uint8 images, on the CPU, as a `TransferSet` holds them.

    Raises:
        NonFiniteOutput: The victim gave NaN.
    """
    answers = []
    for chunk in images.split(CHUNK):
        logits = victim.logits(to_pixels(chunk)).cpu()
        answers.append(logits.argmax(1) if label_mode == "hard" else logits.softmax(1))
    return torch.cat(answers)


def load_fitting(path: str, dataset: ImageDataset, label_mode: LabelMode) -> TransferSet:
    """A transfer set from a file, for a thief of a data set's images and classes.

    Raises:
        UserError: It holds something else, images of another shape, more classes, or classes alone where probabilities
            are wanted.
    """
    transfer = TransferSet.load(path)
    if transfer.label_mode == "hard" and label_mode == "soft":
        raise UserError(
            f"{path} holds classes alone; soft labels need probabilities: export them with --label_mode soft"
        )
    if transfer.images.shape[1:] != dataset.data_shape:
        found, wanted = tuple(transfer.images.shape[1:]), dataset.data_shape
        raise UserError(f"{path} holds images of shape {found}, those of {dataset.name} are {wanted}")
    if (classes := transfer.classes()) > dataset.num_classes:
        raise UserError(f"{path} holds answers of {classes} classes, {dataset.name} has {dataset.num_classes}")
    return transfer.hardened() if label_mode == "hard" else transfer

"""What attacks on single test images share: which images, and which class each is driven to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from autovul.base.memory import in_parts
from autovul.base.options import OptionError, option
from autovul.base.progress import Progress
from autovul.vision.attacks.base import Attack, Setup
from autovul.vision.attacks.correct_images import correctly_classified

if TYPE_CHECKING:
    from autovul.vision.datasets import ImageDataset

WITHOUT_GRADIENT = "--attack hop_skip_jump needs no gradient"


class ImageAttack(Attack):
    """An attack that changes test images, one independently of the other."""

    experiment: ClassVar[str] = "adv_attack"

    target_idx: int = option(
        -1, "Rank of the target among the model's logits: -1 least likely, 1 second most likely, 0 untargeted."
    )
    target_class: int | None = option(
        None, "Target every image at this class instead; its own images are left out.", ge=0
    )
    test_num: int = option(1000, "Correctly classified images to attack, from 30 % of the validation split.", ge=1)

    @property
    def follows_gradients(self) -> bool:
        """Whether it is led by the model's own gradients."""
        return True

    @property
    def untargeted(self) -> bool:
        """Whether the attack only has to leave the original class."""
        return self.target_idx == 0 and self.target_class is None

    def choose_target(self, logits: Tensor) -> Tensor:
        """The class that each image is driven to (for an untargeted attack: away from), by the options.

        Args:
            logits: (N, classes) of the clean images.
        """
        classes = logits.shape[1]
        if self.target_class is not None:
            if self.target_class >= classes:
                raise OptionError(f"target_class must be from 0 to {classes - 1}, got {self.target_class}")
            return torch.full((len(logits),), self.target_class, dtype=torch.int64, device=logits.device)
        if not -classes < self.target_idx < classes:
            raise OptionError(f"target_idx must be from {1 - classes} to {classes - 1}, got {self.target_idx}")
        return logits.argsort(dim=1, descending=True, stable=True)[:, self.target_idx]  # of equal ones, as argmax

    def correctly_classified(
        self, model: nn.Module, dataset: ImageDataset, setup: Setup
    ) -> tuple[Tensor, Tensor, Tensor, int]:
        """Images, labels and logits to start from, on the CPU; and of how many images the model was asked for that."""
        return correctly_classified(
            model,
            dataset,
            self.test_num,
            exact="test_num" in self.model_fields_set,
            seed=setup.seed,
            batch_size=setup.attack_batch,
            left_out=() if self.target_class is None else (self.target_class,),
        )

    def batch_by_batch(
        self, function: Callable[..., None], rows: Sequence[Tensor], device: torch.device, setup: Setup
    ) -> None:
        """Hand the rows of the tensors to ``function``, as many at a time as the setup says and memory holds."""
        show = Progress("auto" if setup.progress else "off")
        show.start(-(-len(rows[0]) // setup.attack_batch), done=0)
        for _ in in_parts(function, rows, setup.attack_batch, device):
            show.advance(self.name)
        show.close()

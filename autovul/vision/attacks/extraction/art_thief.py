"""A thief trained by ART's KnockoffNets."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from autovul.base.environ import seed_everything
from autovul.base.errors import UserError
from autovul.base.training.history import History
from autovul.base.training.optimiser import build_optimiser
from autovul.base.training.options import TrainingOptions
from autovul.base.training.precision import without_tf32
from autovul.vision.attacks.art_engine import black_box, generators_kept, prepare_art
from autovul.vision.attacks.base import Setup, device_of
from autovul.vision.attacks.extraction.transfer_set import TransferSet
from autovul.vision.datasets import ImageDataset, to_pixels

UNSUPPORTED = (
    "lr_scheduler",
    "one_cycle",
    "label_smoothing",
    "grad_clip",
    "amp",
    "microbatch",
    "compile",
    "resume",
    "tensorboard",
)


def train_thief(
    thief: nn.Module, transfer: TransferSet, dataset: ImageDataset, options: TrainingOptions, setup: Setup
) -> History:
    """Train ``thief`` in place by ART's KnockoffNets, with random sampling, on a transfer set's answers.

    ART asks a stand-in that knows the transfer set by heart: the victim is asked once, whatever the engine.

    Args:
        thief: A fresh network; afterwards in eval mode.
        transfer: Images and answers.
        dataset: For the number of classes.
        options: The recipe; ART trains at a constant rate and in fp32.
        setup: Seed and batch size.

    Returns:
        What it took, and whether the weights stayed finite.

    Raises:
        UserError: The recipe or the thief asks for something that ART does not offer.
    """
    for name in UNSUPPORTED:
        if getattr(options, name):
            raise UserError(f"engine art trains without {name}: leave it out or take engine native")
    if options.epoch < 1:
        raise UserError("engine art trains for at least 1 epoch: take engine native for a thief that learns nothing")
    if options.precision not in ("fp32", "auto") or options.parameters != "full":
        raise UserError("engine art trains all parameters in fp32: take engine native for anything else")
    if getattr(thief, "auxiliary_head", None) is not None:
        raise UserError("engine art trains no auxiliary head: leave out --auxiliary or take engine native")
    device = device_of(thief)
    pixels = to_pixels(transfer.images).numpy()
    soft = transfer.label_mode == "soft"
    prepare_art()
    from art.attacks.extraction import KnockoffNets
    from art.estimators.classification import PyTorchClassifier

    with generators_kept(device), without_tf32():
        classifier = PyTorchClassifier(
            _OneModule(thief),
            loss=nn.CrossEntropyLoss(),
            optimizer=build_optimiser(options, thief.parameters(), device),
            input_shape=tuple(pixels.shape[1:]),
            nb_classes=dataset.num_classes,
            clip_values=(0.0, 1.0),
            device_type="gpu" if device.type == "cuda" else "cpu",
        )
        seed_everything(setup.seed)
        attack = KnockoffNets(
            _by_heart(pixels, transfer.answers, dataset.num_classes),
            batch_size_fit=setup.batch_size,
            batch_size_query=len(pixels),
            nb_epochs=options.epoch,
            nb_stolen=len(pixels),
            sampling_strategy="random",
            use_probability=soft,
            verbose=False,
        )
        attack.extract(pixels, thieved_classifier=classifier)
    thief.to(device).eval()
    finite = all(bool(torch.isfinite(tensor).all()) for tensor in thief.state_dict().values())
    images = options.epoch * len(pixels)
    steps = options.epoch * -(-len(pixels) // setup.batch_size)
    return History(status="ok" if finite else "diverged", steps=steps, forward=images, backward=images)


def _by_heart(pixels: np.ndarray, answers: Tensor, classes: int) -> Any:
    probabilities = answers if answers.ndim == 2 else nn.functional.one_hot(answers, classes)
    known = {image.tobytes(): answer for image, answer in zip(pixels, probabilities.float().numpy(), strict=True)}

    class ByHeart(black_box()):  # type: ignore[misc]
        """Answers from memory."""

        def predict(self, x: np.ndarray, batch_size: int = 128, **kwargs: Any) -> np.ndarray:
            return np.stack([known[image.tobytes()] for image in x])

    return ByHeart(pixels.shape[1:], classes)


class _OneModule(nn.Module):
    """Hides what a network is made of, so that ART calls it as a whole."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        output = self.network(x)
        return output if isinstance(output, Tensor) else output[0]

"""Who and what a record is about: network, data, and of an attack what it was made with; whoever ran it."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from autovul.base.checkpoint import digest
from autovul.base.result import Result
from autovul.vision.attacks.base import Attack, Setup, describe
from autovul.vision.attacks.retraining import made_with
from autovul.vision.datasets import ImageDataset


def weights_sha256(model: nn.Module) -> str:
    """The digest of a model's tensors; what else its ``state_dict`` may hold is left out."""
    return digest({name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)})


def identify(model: nn.Module, dataset: ImageDataset) -> dict[str, Any]:
    """The fields of a `Result` that say which network, with which weights, was measured on which data.

    A network within ``torch.compile`` or ``DataParallel`` is that network.
    """
    while isinstance(inner := getattr(model, "_orig_mod", None) or _parallel(model), nn.Module):
        model = inner
    return {
        **describe(model),
        "weights_sha256": weights_sha256(model),
        "dataset": dataset.name,
        "data_sha256": dataset.sha256,
    }


def _parallel(model: nn.Module) -> nn.Module | None:
    return model.module if isinstance(model, nn.DataParallel) else None


def record(attack: Attack, model: nn.Module, dataset: ImageDataset, setup: Setup, **found: Any) -> Result:
    """A result record that tells the run from all others.

    Its options are the attack's own and, of one that trains, those of recipe and data by the names of the commands'
    flags (see `Setup.options_recorded`); data and weights stand in it by their SHA-256.

    Args:
        attack, model, dataset, setup: As `Attack.run` was given them.
        found: The other fields of `Result`; metrics at least.
    """
    options = attack.model_dump(mode="json")
    if attack.recipe and not setup.options_recorded:
        options = {**made_with(attack, setup, dataset), **options}
    return Result(
        experiment=attack.experiment,
        algorithm=attack.name,
        seed=setup.seed,
        options=options,
        **identify(model, dataset),
        **found,
    )

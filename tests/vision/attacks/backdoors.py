"""Backdoor attacks in small: what they are told, for `patches`."""

from __future__ import annotations

from typing import Any

from autovul.base.trainer import TrainingOptions
from autovul.vision import attacks
from autovul.vision.attacks.base import Setup
from autovul.vision.marks import Trigger, Watermark
from tests.vision.attacks import patches

RECIPE = TrainingOptions(epoch=6, lr=0.02, validate_interval=1)
OPTIONS = {"mark_height": 2, "mark_width": 2, "target_class": 1, "poison_percent": 0.2}
EXTRA: dict[str, dict[str, Any]] = {
    "badnet": {},
    "trojannn": {"preprocess_layer": "4"},
    "latent_backdoor": {"preprocess_epoch": 3},
    "imc": {"preprocess_layer": "4", "inner_iter": 1},
}


def setup(**options: Any) -> Setup:
    return patches.setup(**{"training": RECIPE, **options})


def create(name: str, **options: Any) -> Any:
    given = {**OPTIONS, **EXTRA[name], **options}
    if name == "latent_backdoor" and given.get("train_mode") == "loss" and not given.get("plain_poisoning"):
        given.pop("poison_percent")  # there it weighs nothing, and is refused
    return attacks.create(name, **given)


def trigger(**options: Any) -> Trigger:
    return Watermark(**{"data_shape": (3, 8, 8), "mark_height": 2, "mark_width": 2, **options}).trigger()

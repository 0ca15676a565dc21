"""The attacks by name. Each is an object that holds its hyper-parameters and is given model and data when called."""

from __future__ import annotations

from typing import Any

from autovul.base.registry import Registry
from autovul.vision.attacks.backdoor.badnet import BadNet
from autovul.vision.attacks.backdoor.imc import IMC
from autovul.vision.attacks.backdoor.latent_backdoor import LatentBackdoor
from autovul.vision.attacks.backdoor.trojannn import TrojanNN
from autovul.vision.attacks.base import Attack, registry
from autovul.vision.attacks.evasion.fmn import FMN
from autovul.vision.attacks.evasion.hop_skip_jump import HopSkipJumpAttack
from autovul.vision.attacks.evasion.pgd import PGD
from autovul.vision.attacks.extraction.knockoff import Knockoff
from autovul.vision.attacks.membership.attack import Membership
from autovul.vision.attacks.poisoning.poison_basic import PoisonBasic
from autovul.vision.attacks.poisoning.poison_random import PoisonRandom

__all__ = [
    "FMN",
    "IMC",
    "PGD",
    "Attack",
    "BadNet",
    "HopSkipJumpAttack",
    "Knockoff",
    "LatentBackdoor",
    "Membership",
    "PoisonBasic",
    "PoisonRandom",
    "TrojanNN",
    "create",
    "family",
    "list",
    "registry",
]


def create(name: str, **options: Any) -> Any:
    """An attack by name; ``options`` are named like the command-line flags and taken literally (no /255).

    Raises:
        UnknownName: No attack has this name; the nearest ones are shown.
        OptionError: An option is unknown, of the wrong type or out of range.
    """
    return registry.create(name, **options)


def family(experiment: str) -> Registry[type[Attack]]:
    """The attacks of one experiment ("adv_attack", …)."""
    members: Registry[type[Attack]] = Registry("attack")
    for name in registry.list():
        attack = registry.get(name)
        if attack.experiment == experiment:
            members.register(name)(attack)
    return members


def list() -> list[str]:  # type: ignore[valid-type]  # the public name; the built-in is not used below it
    """The names of all attacks."""
    return registry.list()

"""The register of networks: one function a network, and what it takes is read off its signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import nn

from autovul.base.groups import GROUPS
from autovul.base.registry import Registry

DataShape = tuple[int, int, int]


@dataclass(frozen=True)
class Parts:
    """What a network consists of besides normalisation and pooling.

    Attributes:
        features: Normalised images (N, C, H, W) to feature maps (N, F, h, w).
        classifier: Pooled features (N, F) to logits (N, num_classes).
        auxiliary_head: Feature maps that ``features.forward_auxiliary`` returns beside its own, to logits.
    """

    features: nn.Module
    classifier: nn.Module
    auxiliary_head: nn.Module | None = None


@dataclass(frozen=True)
class Network:
    """An entry of the register: ``network(num_classes, data_shape, **options)`` builds its parts.

    Attributes:
        name: Canonical name, which is also the name of its checkpoints.
        group: A key of `autovul.base.groups.GROUPS`.
        family: What error messages call networks of this kind.
        build: The function; its keyword-only parameters are the options that the network takes, with its defaults.
    """

    name: str
    group: str
    family: str
    build: Callable[..., Parts]

    @cached_property
    def takes(self) -> frozenset[str]:
        """Names of the options that the network takes."""
        parameters = inspect.signature(self.build).parameters.values()
        return frozenset(item.name for item in parameters if item.kind is inspect.Parameter.KEYWORD_ONLY)

    def __call__(self, num_classes: int, data_shape: DataShape, **options: Any) -> Parts:
        return self.build(num_classes, data_shape, **options)


networks: Registry[Network] = Registry("model", "; your own: package.module:build")


def register(
    name: str, *aliases: str, group: str, family: str
) -> Callable[[Callable[..., Parts]], Callable[..., Parts]]:
    """A decorator that makes ``build(num_classes, data_shape, *, …) -> Parts`` a network of the register.

    Args:
        name: Canonical name.
        aliases: Other names.
        group: Which group results count it in, a key of `autovul.base.groups.GROUPS`.
        family: What error messages call networks of this kind, in the plural.
    """
    if group not in GROUPS:
        raise ValueError(f"group must be one of {', '.join(GROUPS)}, got {group!r}")

    def add(build: Callable[..., Parts]) -> Callable[..., Parts]:
        networks.register(name, *aliases)(Network(name, group, family, build))
        return build

    return add


def by_group() -> dict[str, list[str]]:
    """The names of the networks, by group; of what is numbered without end, those that stand for it."""
    names = [*networks.list(), *networks.numbered()]
    return {group: [name for name in names if networks.get(name).group == group] for group in GROUPS}


def takers(option: str) -> list[str]:
    """Families some of whose networks take an option."""
    entries = (networks.get(name) for name in networks.list())
    return list(dict.fromkeys(entry.family for entry in entries if option in entry.takes))

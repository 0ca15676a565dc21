"""Cell networks: what architecture search found, the mitigated cells, cells drawn at random, and those of a file."""

from __future__ import annotations

import functools
from collections import OrderedDict
from pathlib import Path

from torch import nn

from autovul.base.errors import UsageError
from autovul.vision.models.registry import DataShape, Network, Parts, networks, register
from autovul.vision.utils.model_archs.darts.genotypes import (
    ALIASES,
    MITIGATED,
    SEARCHED,
    VARIANTS,
    Genotype,
    load_genotype,
)
from autovul.vision.utils.model_archs.darts.network import AuxiliaryHead, CellNetwork
from autovul.vision.utils.model_archs.darts.sampling import COUNT, PREFIX, named_genotype, sampled

FAMILY = "cell networks"
FILE_ENDINGS = (".yaml", ".yml", ".json", ".txt")


def cell_network(
    genotype: Genotype,
    num_classes: int,
    data_shape: DataShape,
    *,
    layers: int = 20,
    init_channels: int = 36,
    dropout: float = 0.2,
    auxiliary: bool = False,
) -> Parts:
    """The parts of a cell network.

    Args:
        genotype: Its two cells.
        num_classes: Number of logits.
        data_shape: (channels, height, width) of an image.
        layers: Number of cells.
        init_channels: Channels of a state before the first reduction.
        dropout: Probability after each operation.
        auxiliary: Whether to add the auxiliary head.

    Raises:
        UsageError: The auxiliary head does not fit images of this size.
    """
    features = CellNetwork(genotype, data_shape[0], init_channels, layers, dropout)
    classifier = nn.Sequential(OrderedDict(fc=nn.Linear(features.out_channels, num_classes)))
    if not auxiliary:
        return Parts(features, classifier)
    if any(-(-side // 4) not in (8, 9, 10) for side in data_shape[1:]):
        raise UsageError(f"auxiliary: the head needs images of 29 to 40 pixels a side, got {data_shape[1:]}")
    return Parts(features, classifier, AuxiliaryHead(features.auxiliary_channels, num_classes))


def is_file(name: str) -> bool:
    """Whether a model's name is that of a genotype file."""
    return name.endswith(FILE_ENDINGS)


def from_file(path: str) -> Network:
    """The network of a genotype file, named after the file without its ending.

    Raises:
        GenotypeError: The file holds no genotype.
        UsageError: Another network has this name, so that their checkpoints would be mistaken for each other.
    """
    genotype, name = load_genotype(path), Path(path).stem
    if name not in networks:
        return Network(name, "yours", FAMILY, functools.partial(cell_network, genotype))
    if named_genotype(name) != genotype:
        raise UsageError(f"genotype: {path} differs from the network {name!r}: give the file another name")
    return networks.get(name)


for _group, _genotypes in (("nas", SEARCHED), ("mitigated", MITIGATED), ("variant", VARIANTS)):
    for _name, _genotype in _genotypes.items():
        _aliases = [alias for alias, target in ALIASES.items() if target == _name]
        register(_name, *_aliases, group=_group, family=FAMILY)(functools.partial(cell_network, _genotype))


@networks.register_numbered(PREFIX, usual=COUNT)
@functools.cache
def _sampled(number: int) -> Network:
    return Network(f"{PREFIX}_{number}", "sampled", FAMILY, functools.partial(cell_network, sampled(number)))

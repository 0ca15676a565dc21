"""The genotypes that the experiments use, by name.

A name of this module is a genotype (``genotypes.darts``); ``GENOTYPES`` maps every name to its genotype and ``ALIASES``
the other names to theirs.

Sources: AmoebaNet (arXiv 1802.01548), DARTS (1806.09055), DrNAS (2006.10355), ENAS (1802.03268), NASNet (1707.07012),
PC-DARTS (1907.05737), P-DARTS (1904.12760), RobustDARTS (1909.09656), SGAS (1912.00195), SNAS (1812.09926); ``random``,
``diy_*`` and ``*_adapt``: On the Security Risks of AutoML (2110.06018).
"""

from __future__ import annotations

from autovul.vision.utils.model_archs.darts.genotype import (
    OPERATIONS,
    CellFacts,
    Edge,
    Genotype,
    GenotypeFacts,
    cell_facts,
)
from autovul.vision.utils.model_archs.darts.genotype_file import GenotypeError, load_genotype, write_genotype

__all__ = [
    "ALIASES",
    "GENOTYPES",
    "MITIGATED",
    "OPERATIONS",
    "SEARCHED",
    "VARIANTS",
    "CellFacts",
    "Edge",
    "Genotype",
    "GenotypeError",
    "GenotypeFacts",
    "cell_facts",
    "load_genotype",
    "write_genotype",
]

# One line holds as many edges as fit: a reader compares cells, and one edge a line would hide the shape.
# fmt: off
amoebanet = Genotype(
    normal=(("avg_pool_3x3", 0), ("max_pool_3x3", 1), ("sep_conv_3x3", 0), ("sep_conv_5x5", 2), ("sep_conv_3x3", 0),
            ("avg_pool_3x3", 3), ("sep_conv_3x3", 1), ("skip_connect", 1), ("skip_connect", 0), ("avg_pool_3x3", 1)),
    normal_concat=(4, 5, 6),
    reduce=(("avg_pool_3x3", 0), ("sep_conv_3x3", 1), ("max_pool_3x3", 0), ("sep_conv_7x7", 2), ("sep_conv_7x7", 0),
            ("avg_pool_3x3", 1), ("max_pool_3x3", 0), ("max_pool_3x3", 1), ("conv_7x1_1x7", 0), ("sep_conv_3x3", 5)),
    reduce_concat=(3, 4, 6),
)
darts = Genotype(
    normal=(("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 1),
            ("skip_connect", 0), ("skip_connect", 0), ("dil_conv_3x3", 2)),
    normal_concat=(2, 3, 4, 5),
    reduce=(("max_pool_3x3", 0), ("max_pool_3x3", 1), ("skip_connect", 2), ("max_pool_3x3", 1), ("max_pool_3x3", 0),
            ("skip_connect", 2), ("skip_connect", 2), ("max_pool_3x3", 1)),
    reduce_concat=(2, 3, 4, 5),
)
drnas = Genotype(
    normal=(("sep_conv_3x3", 0), ("sep_conv_5x5", 1), ("sep_conv_3x3", 1), ("sep_conv_3x3", 2), ("skip_connect", 0),
            ("sep_conv_3x3", 1), ("sep_conv_3x3", 2), ("dil_conv_5x5", 3)),
    normal_concat=(2, 3, 4, 5),
    reduce=(("max_pool_3x3", 0), ("sep_conv_5x5", 1), ("dil_conv_5x5", 2), ("sep_conv_5x5", 1), ("sep_conv_5x5", 1),
            ("dil_conv_5x5", 3), ("skip_connect", 4), ("sep_conv_5x5", 1)),
    reduce_concat=(2, 3, 4, 5),
)
enas = Genotype(
    normal=(("sep_conv_3x3", 1), ("skip_connect", 1), ("sep_conv_5x5", 1), ("skip_connect", 0), ("avg_pool_3x3", 0),
            ("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("avg_pool_3x3", 1), ("sep_conv_5x5", 1), ("avg_pool_3x3", 0)),
    normal_concat=(2, 3, 4, 5, 6),
    reduce=(("sep_conv_5x5", 0), ("avg_pool_3x3", 1), ("sep_conv_3x3", 1), ("avg_pool_3x3", 1), ("sep_conv_3x3", 1),
            ("avg_pool_3x3", 1), ("sep_conv_5x5", 4), ("avg_pool_3x3", 1), ("sep_conv_3x3", 5), ("sep_conv_5x5", 0)),
    reduce_concat=(2, 3, 6),
)
nasnet = Genotype(
    normal=(("sep_conv_5x5", 1), ("sep_conv_3x3", 0), ("sep_conv_5x5", 0), ("sep_conv_3x3", 0), ("avg_pool_3x3", 1),
            ("skip_connect", 0), ("avg_pool_3x3", 0), ("avg_pool_3x3", 0), ("sep_conv_3x3", 1), ("skip_connect", 1)),
    normal_concat=(2, 3, 4, 5, 6),
    reduce=(("sep_conv_5x5", 1), ("sep_conv_7x7", 0), ("max_pool_3x3", 1), ("sep_conv_7x7", 0), ("avg_pool_3x3", 1),
            ("sep_conv_5x5", 0), ("skip_connect", 3), ("avg_pool_3x3", 2), ("sep_conv_3x3", 2), ("max_pool_3x3", 1)),
    reduce_concat=(4, 5, 6),
)
pc_darts = Genotype(
    normal=(("sep_conv_3x3", 1), ("skip_connect", 0), ("sep_conv_3x3", 0), ("dil_conv_3x3", 1), ("sep_conv_5x5", 0),
            ("sep_conv_3x3", 1), ("avg_pool_3x3", 0), ("dil_conv_3x3", 1)),
    normal_concat=(2, 3, 4, 5),
    reduce=(("sep_conv_5x5", 1), ("max_pool_3x3", 0), ("sep_conv_5x5", 1), ("sep_conv_5x5", 2), ("sep_conv_3x3", 0),
            ("sep_conv_3x3", 3), ("sep_conv_3x3", 1), ("sep_conv_3x3", 2)),
    reduce_concat=(2, 3, 4, 5),
)
pdarts = Genotype(
    normal=(("skip_connect", 0), ("dil_conv_3x3", 1), ("skip_connect", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 1),
            ("sep_conv_3x3", 3), ("sep_conv_3x3", 0), ("dil_conv_5x5", 4)),
    normal_concat=(2, 3, 4, 5),
    reduce=(("avg_pool_3x3", 0), ("sep_conv_5x5", 1), ("sep_conv_3x3", 0), ("dil_conv_5x5", 2), ("max_pool_3x3", 0),
            ("dil_conv_3x3", 1), ("dil_conv_3x3", 1), ("dil_conv_5x5", 3)),
    reduce_concat=(2, 3, 4, 5),
)
sgas = Genotype(
    normal=(("sep_conv_3x3", 0), ("dil_conv_3x3", 1), ("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("sep_conv_5x5", 1),
            ("sep_conv_5x5", 3), ("skip_connect", 0), ("dil_conv_5x5", 2)),
    normal_concat=(2, 3, 4, 5),
    reduce=(("max_pool_3x3", 0), ("dil_conv_5x5", 1), ("sep_conv_3x3", 0), ("skip_connect", 2), ("sep_conv_3x3", 1),
            ("skip_connect", 2), ("max_pool_3x3", 0), ("max_pool_3x3", 1)),
    reduce_concat=(2, 3, 4, 5),
)
snas_mild = Genotype(
    normal=(("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("skip_connect", 0), ("dil_conv_3x3", 1), ("skip_connect", 0),
            ("skip_connect", 1), ("skip_connect", 0), ("sep_conv_3x3", 1)),
    normal_concat=(2, 3, 4, 5),
    reduce=(("max_pool_3x3", 0), ("max_pool_3x3", 1), ("skip_connect", 2), ("max_pool_3x3", 1), ("max_pool_3x3", 1),
            ("skip_connect", 2), ("dil_conv_5x5", 2), ("max_pool_3x3", 0)),
    reduce_concat=(2, 3, 4, 5),
)
random = Genotype(
    normal=(("max_pool_3x3", 0), ("dil_conv_3x3", 1), ("sep_conv_3x3", 2), ("skip_connect", 1), ("skip_connect", 3),
            ("avg_pool_3x3", 0), ("sep_conv_3x3", 1), ("dil_conv_3x3", 2)),
    normal_concat=(2, 3, 4, 5),
    reduce=(("avg_pool_3x3", 0), ("max_pool_3x3", 1), ("skip_connect", 1), ("dil_conv_3x3", 1), ("sep_conv_3x3", 3),
            ("dil_conv_3x3", 1), ("max_pool_3x3", 0), ("sep_conv_3x3", 4)),
    reduce_concat=(2, 3, 4, 5),
)
diy_deep = darts._replace(
    normal=(("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 2), ("sep_conv_3x3", 2), ("sep_conv_3x3", 3),
            ("skip_connect", 3), ("skip_connect", 4), ("dil_conv_3x3", 4)),
)
diy_noskip = darts._replace(
    normal=(("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 1),
            ("sep_conv_3x3", 0), ("dil_conv_3x3", 0), ("dil_conv_3x3", 2)),
)
diy_deep_noskip = darts._replace(
    normal=(("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 2), ("sep_conv_3x3", 2), ("sep_conv_3x3", 3),
            ("sep_conv_3x3", 3), ("dil_conv_3x3", 4), ("dil_conv_3x3", 4)),
)
darts_v1 = Genotype(
    normal=(("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("skip_connect", 0), ("sep_conv_3x3", 1), ("skip_connect", 0),
            ("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("skip_connect", 2)),
    normal_concat=(2, 3, 4, 5),
    reduce=(("max_pool_3x3", 0), ("max_pool_3x3", 1), ("skip_connect", 2), ("max_pool_3x3", 0), ("max_pool_3x3", 0),
            ("skip_connect", 2), ("skip_connect", 2), ("avg_pool_3x3", 0)),
    reduce_concat=(2, 3, 4, 5),
)
nasnet_adapt = Genotype(
    normal=(("sep_conv_5x5", 1), ("sep_conv_3x3", 0), ("sep_conv_5x5", 1), ("sep_conv_3x3", 0), ("avg_pool_3x3", 1),
            ("skip_connect", 0), ("avg_pool_3x3", 1), ("avg_pool_3x3", 0), ("sep_conv_3x3", 1), ("skip_connect", 0)),
    normal_concat=(2, 3, 4, 5, 6),
    reduce=(("sep_conv_5x5", 1), ("sep_conv_7x7", 0), ("max_pool_3x3", 1), ("sep_conv_7x7", 0), ("avg_pool_3x3", 1),
            ("sep_conv_5x5", 0), ("skip_connect", 1), ("avg_pool_3x3", 0), ("sep_conv_3x3", 1), ("max_pool_3x3", 0)),
    reduce_concat=(4, 5, 6),
)
amoebanet_adapt = Genotype(
    normal=(("avg_pool_3x3", 0), ("max_pool_3x3", 1), ("sep_conv_3x3", 0), ("sep_conv_5x5", 1), ("sep_conv_3x3", 0),
            ("avg_pool_3x3", 1), ("sep_conv_3x3", 0), ("skip_connect", 1), ("skip_connect", 0), ("avg_pool_3x3", 1)),
    normal_concat=(4, 5, 6),
    reduce=(("avg_pool_3x3", 0), ("sep_conv_3x3", 1), ("max_pool_3x3", 0), ("sep_conv_7x7", 1), ("sep_conv_7x7", 0),
            ("avg_pool_3x3", 1), ("max_pool_3x3", 0), ("max_pool_3x3", 1), ("conv_7x1_1x7", 0), ("sep_conv_3x3", 1)),
    reduce_concat=(3, 4, 6),
)
enas_adapt = Genotype(
    normal=(("sep_conv_3x3", 0), ("skip_connect", 1), ("sep_conv_5x5", 0), ("skip_connect", 0), ("avg_pool_3x3", 0),
            ("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("avg_pool_3x3", 1), ("sep_conv_5x5", 0), ("avg_pool_3x3", 1)),
    normal_concat=(2, 3, 4, 5, 6),
    reduce=(("sep_conv_5x5", 0), ("avg_pool_3x3", 1), ("sep_conv_3x3", 0), ("avg_pool_3x3", 1), ("sep_conv_3x3", 0),
            ("avg_pool_3x3", 1), ("sep_conv_5x5", 0), ("avg_pool_3x3", 1), ("sep_conv_3x3", 0), ("sep_conv_5x5", 1)),
    reduce_concat=(2, 3, 6),
)
snas_adapt = Genotype(
    normal=(("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("skip_connect", 0), ("dil_conv_3x3", 1), ("skip_connect", 0),
            ("skip_connect", 1), ("skip_connect", 0), ("sep_conv_3x3", 1)),
    normal_concat=(2, 3, 4, 5),
    reduce=(("max_pool_3x3", 0), ("max_pool_3x3", 1), ("skip_connect", 0), ("max_pool_3x3", 1), ("max_pool_3x3", 0),
            ("skip_connect", 1), ("dil_conv_5x5", 0), ("max_pool_3x3", 1)),
    reduce_concat=(2, 3, 4, 5),
)
robust_darts = Genotype(
    normal=(("skip_connect", 1), ("dil_conv_3x3", 0), ("skip_connect", 2), ("skip_connect", 0), ("skip_connect", 0),
            ("skip_connect", 2), ("skip_connect", 2), ("skip_connect", 1)),
    normal_concat=(2, 3, 4, 5),
    reduce=(("max_pool_3x3", 1), ("max_pool_3x3", 0), ("skip_connect", 2), ("max_pool_3x3", 1), ("skip_connect", 2),
            ("max_pool_3x3", 0), ("max_pool_3x3", 0), ("max_pool_3x3", 1)),
    reduce_concat=(2, 3, 4, 5),
)
pc_darts_image = Genotype(
    normal=(("skip_connect", 1), ("sep_conv_3x3", 0), ("sep_conv_3x3", 0), ("skip_connect", 1), ("sep_conv_3x3", 1),
            ("sep_conv_3x3", 3), ("sep_conv_3x3", 1), ("dil_conv_5x5", 4)),
    normal_concat=(2, 3, 4, 5),
    reduce=(("sep_conv_3x3", 0), ("skip_connect", 1), ("dil_conv_5x5", 2), ("max_pool_3x3", 1), ("sep_conv_3x3", 2),
            ("sep_conv_3x3", 1), ("sep_conv_5x5", 0), ("sep_conv_3x3", 3)),
    reduce_concat=(2, 3, 4, 5),
)
drnas_imagenet = Genotype(
    normal=(("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 0),
            ("dil_conv_3x3", 3), ("skip_connect", 0), ("sep_conv_3x3", 1)),
    normal_concat=(2, 3, 4, 5),
    reduce=(("max_pool_3x3", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("skip_connect", 2), ("sep_conv_3x3", 0),
            ("sep_conv_3x3", 2), ("sep_conv_3x3", 3), ("sep_conv_3x3", 1)),
    reduce_concat=(2, 3, 4, 5),
)# fmt: on
darts_v2 = darts
pc_darts_cifar = pc_darts
drnas_cifar10 = drnas

SEARCHED: dict[str, Genotype] = {
    "amoebanet": amoebanet,
    "darts": darts,
    "drnas": drnas,
    "enas": enas,
    "nasnet": nasnet,
    "pc_darts": pc_darts,
    "pdarts": pdarts,
    "sgas": sgas,
    "snas_mild": snas_mild,
    "random": random,
}
MITIGATED: dict[str, Genotype] = {
    "diy_deep": diy_deep,
    "diy_noskip": diy_noskip,
    "diy_deep_noskip": diy_deep_noskip,
}
VARIANTS: dict[str, Genotype] = {
    "darts_v1": darts_v1,
    "nasnet_adapt": nasnet_adapt,
    "amoebanet_adapt": amoebanet_adapt,
    "enas_adapt": enas_adapt,
    "snas_adapt": snas_adapt,
    "robust_darts": robust_darts,
    "pc_darts_image": pc_darts_image,
    "drnas_imagenet": drnas_imagenet,
}
ALIASES: dict[str, str] = {"darts_v2": "darts", "pc_darts_cifar": "pc_darts", "drnas_cifar10": "drnas"}
GENOTYPES: dict[str, Genotype] = SEARCHED | MITIGATED | VARIANTS
GENOTYPES |= {alias: GENOTYPES[name] for alias, name in ALIASES.items()}

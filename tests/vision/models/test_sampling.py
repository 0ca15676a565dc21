"""Cells drawn at random: where they come from, and that they are networks like all others."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from itertools import combinations

import pytest
from scipy import stats

from autovul.base.errors import UsageError
from autovul.vision import models
from autovul.vision.models.registry import by_group
from autovul.vision.tools.genotype_display import find_genotype
from autovul.vision.utils.model_archs.darts.genotype_file import load_genotype, write_genotype
from autovul.vision.utils.model_archs.darts.sampling import COUNT, NODES, SPACE, named_genotype, sampled

CELLS = {"layers": 2, "init_channels": 4}


def test_a_number_is_the_same_genotype_always():
    assert sampled(1) == find_genotype("sampled_1")[1] == named_genotype("sampled_1")
    # Written down, since records and weights bear the number only.
    assert sampled(1).normal == (
        *(("dil_conv_3x3", 0), ("avg_pool_3x3", 1), ("sep_conv_5x5", 0), ("dil_conv_3x3", 1)),
        *(("dil_conv_3x3", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("dil_conv_3x3", 3)),
    )
    assert sampled(1).reduce[:4] == (
        *(("dil_conv_5x5", 0), ("max_pool_3x3", 1), ("dil_conv_5x5", 0), ("skip_connect", 2)),
    )
    code = "from autovul.vision.utils.model_archs.darts.sampling import sampled; print(sampled(7))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == str(sampled(7))


def test_every_genotype_of_the_space_is_as_likely():
    """Pairs of states of each node, and operations of each place, by chi-square over a thousand draws."""
    drawn = [sampled(number) for number in range(1, 1001)]
    assert len({*drawn}) == 1000
    chances = []
    for cell in ("normal", "reduce"):
        edges = [getattr(genotype, cell) for genotype in drawn]
        for node in range(NODES):
            pairs = Counter((each[2 * node][1], each[2 * node + 1][1]) for each in edges)
            possible = [*combinations(range(2 + node), 2)]
            assert {*pairs} == {*possible}
            if node:
                chances.append(stats.chisquare([pairs[pair] for pair in possible]).pvalue)
        for place in range(2 * NODES):
            operations = Counter(each[place][0] for each in edges)
            assert {*operations} == {*SPACE}
            chances.append(stats.chisquare([operations[name] for name in SPACE]).pvalue)
    assert min(chances) > 0.05 / len(chances)
    assert {genotype.normal_concat for genotype in drawn} == {(2, 3, 4, 5)} == {g.reduce_concat for g in drawn}


def test_they_are_networks_under_their_number():
    model = models.create("sampled_7", **CELLS)
    assert (model.name, model.group) == ("sampled_7", "sampled") == ("sampled_7", models.group("sampled_7"))
    other = models.create("darts", model_arch="sampled_7", **CELLS)
    assert {*model.state_dict()} == {*other.state_dict()} and other.name == "sampled_7"
    assert "sampled_7" not in models.list()
    assert by_group()["sampled"] == [f"sampled_{number}" for number in range(1, COUNT + 1)]
    assert models.create("sampled_123456", **CELLS).name == "sampled_123456"
    with pytest.raises(UsageError, match=r"unknown model 'sampled_0' .*nearest: sampled_1"):
        models.create("sampled_0")
    with pytest.raises(UsageError, match="sampled_7 takes no width"):
        models.create("sampled_7", width=0.5)


def test_a_file_of_that_name_has_to_hold_those_cells(tmp_path):
    path = tmp_path / "sampled_7.yaml"
    write_genotype(path, sampled(7))
    assert load_genotype(path) == sampled(7)
    assert models.create("darts", genotype=str(path), **CELLS).group == "sampled"
    write_genotype(path, sampled(8))
    with pytest.raises(UsageError, match="differs from the network 'sampled_7'"):
        models.create("darts", genotype=str(path), **CELLS)

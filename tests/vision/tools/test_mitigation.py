"""Mitigated genotypes: the shipped ones exactly, and the rules on every genotype."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import yaml

from autovul.vision.utils.model_archs.darts import genotypes
from autovul.vision.utils.model_archs.darts.genotypes import GENOTYPES, cell_facts, load_genotype, write_genotype
from autovul.vision.utils.model_archs.darts.mitigation import mitigate

PROGRAM = Path(__file__).parents[3] / "projects" / "generate_mitigation.py"


@pytest.fixture(scope="module")
def program():
    spec = importlib.util.spec_from_file_location("generate_mitigation", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where pydantic looks for the names in annotations
    spec.loader.exec_module(module)
    yield module.main
    del sys.modules[spec.name]


@pytest.mark.parametrize(
    ("rules", "shipped"),
    [
        ({"deep": True}, "diy_deep"),
        ({"no_skip": True}, "diy_noskip"),
        ({"deep": True, "no_skip": True}, "diy_deep_noskip"),
        ({}, "darts"),
    ],
)
def test_the_shipped_genotypes_come_from_darts(rules, shipped):
    assert mitigate(genotypes.darts_v2, **rules) == GENOTYPES[shipped]


@pytest.mark.parametrize("name", GENOTYPES)
@pytest.mark.parametrize("cells", [("normal",), ("normal", "reduce")])
def test_the_rules_hold_for_every_genotype(name, cells, tmp_path):
    before = GENOTYPES[name]
    after = mitigate(before, deep=True, no_skip=True, cells=cells)
    write_genotype(tmp_path / "g.yaml", after)
    assert load_genotype(tmp_path / "g.yaml") == after
    for cell in ("normal", "reduce"):
        old, new = getattr(before, cell), getattr(after, cell)
        if cell not in cells:
            assert new == old
            continue
        assert new[0][1] == old[0][1] and new[1][1] == old[1][1]
        assert [state for _, state in new[2:]] == [2 + node for node in range(len(new) // 2 - 1) for _ in range(2)]
        assert getattr(cell_facts(after), cell).skips == 0
        for index, ((was, _), (now, _)) in enumerate(zip(old, new, strict=True)):
            sibling = old[index ^ 1][0]
            expected = was if was != "skip_connect" else sibling if sibling != "skip_connect" else "sep_conv_3x3"
            assert now == expected
    assert (after.normal_concat, after.reduce_concat) == (before.normal_concat, before.reduce_concat)


def test_the_artifacts_generator():
    made = mitigate(genotypes.darts, deep=True, no_skip=True, cells=("normal", "reduce"), replacement="sep_conv_3x3")
    assert made.normal[6:] == (("sep_conv_3x3", 4), ("dil_conv_3x3", 4))
    assert made.reduce == (
        ("max_pool_3x3", 0), ("max_pool_3x3", 1), ("sep_conv_3x3", 2), ("max_pool_3x3", 2),
        ("max_pool_3x3", 3), ("sep_conv_3x3", 3), ("sep_conv_3x3", 4), ("max_pool_3x3", 4),
    )  # fmt: skip


def test_two_skips_in_a_node():
    cell = (("skip_connect", 0), ("skip_connect", 1))
    genotype = genotypes.Genotype(cell, (2,), cell, (2,))
    made = mitigate(genotype, no_skip=True)
    assert made.normal == (("sep_conv_3x3", 0), ("sep_conv_3x3", 1))
    assert made.reduce == cell


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="cells must be of normal, reduce; got 'both'"):
        mitigate(genotypes.darts, cells=("both",))
    with pytest.raises(ValueError, match="replacement must be sibling or sep_conv_3x3, got 'none'"):
        mitigate(genotypes.darts, no_skip=True, replacement="none")


def test_the_program_prints_what_genotype_reads(program, tmp_path, capsys):
    assert program(["--deep", "--no_skip"]) == 0
    (tmp_path / "printed.yaml").write_text(capsys.readouterr().out)
    assert load_genotype(tmp_path / "printed.yaml") == genotypes.diy_deep_noskip
    assert program(["--deep", "--output", str(tmp_path / "written.yaml")]) == 0
    assert load_genotype(tmp_path / "written.yaml") == genotypes.diy_deep
    assert program(["--genotype", str(tmp_path / "written.yaml"), "--no_skip", "--as_artifact"]) == 0
    (tmp_path / "again.yaml").write_text(capsys.readouterr().out)
    assert "skip_connect" not in (tmp_path / "again.yaml").read_text()


def test_with_neither_rule_the_program_makes_all_three(program, tmp_path, capsys):
    """As the artifact's appendix has it typed: without arguments."""
    shipped = {f"darts_{name}": GENOTYPES[f"diy_{name}"] for name in ("deep", "noskip", "deep_noskip")}
    assert program([]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert list(printed) == list(shipped)
    for name, genotype in printed.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(genotype))
        assert load_genotype(tmp_path / f"{name}.yaml") == shipped[name]
    assert program(["--output", str(tmp_path / "new" / "cells")]) == 0
    written = {path.stem: load_genotype(path) for path in (tmp_path / "new" / "cells").iterdir()}
    assert written == shipped
    capsys.readouterr()
    assert program(["--genotype", "drnas", "--as_artifact"]) == 0
    made = yaml.safe_load(capsys.readouterr().out)["drnas_deep_noskip"]
    assert "skip_connect" not in str(made) and made["reduce"][-1][1] == 4


def test_the_programs_mistakes_are_one_line(program, tmp_path, capsys):
    (tmp_path / "bad.yaml").write_text(
        "normal: [[sep_conv_9x9, 0], [skip_connect, 1]]\nnormal_concat: [2]\n"
        "reduce: [[skip_connect, 0], [skip_connect, 1]]\nreduce_concat: [2]\n"
    )
    for arguments, message in [
        (["--output", str(tmp_path / "bad.yaml")], "is a file; with neither --deep nor --no_skip it names a folder"),
        (["--genotype", "drans", "--deep"], "unknown genotype 'drans' (nearest: drnas"),
        (["--genotype", str(tmp_path / "bad.yaml"), "--deep"], "unknown operation 'sep_conv_9x9'"),
        (["--depp"], "unknown flag"),
    ]:
        assert program(arguments) in (1, 2)
        said = capsys.readouterr().err
        assert message in said and said.count("\n") == 1

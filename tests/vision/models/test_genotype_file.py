"""Genotypes in files: what is written is read back, and what is wrong is named."""

import json
import re
from pathlib import Path

import pytest
import yaml

from autovul.base.errors import UsageError
from autovul.vision import models
from autovul.vision.utils.model_archs.darts import genotypes
from autovul.vision.utils.model_archs.darts.genotype_file import MAX_NODES
from autovul.vision.utils.model_archs.darts.genotypes import GENOTYPES, GenotypeError, load_genotype
from autovul.vision.utils.model_archs.darts.operations import BUILDERS

CELL = {
    "normal": [["sep_conv_3x3", 0], ["skip_connect", 1], ["dil_conv_5x5", 2], ["max_pool_3x3", 0]],
    "normal_concat": [2, 3],
    "reduce": [["avg_pool_3x3", 0], ["conv_7x1_1x7", 1]],
    "reduce_concat": [2],
}


@pytest.mark.parametrize("name", GENOTYPES)
def test_a_written_genotype_is_read_back(name, tmp_path):
    genotypes.write_genotype(tmp_path / "cell.yaml", GENOTYPES[name])
    assert load_genotype(tmp_path / "cell.yaml") == GENOTYPES[name]
    (tmp_path / "cell.json").write_text(json.dumps(GENOTYPES[name]._asdict()))
    assert load_genotype(tmp_path / "cell.json") == GENOTYPES[name]


def printed(genotype, concat):
    """The text of a genotype that DARTS prints."""
    cells = (f"{cell}={[*getattr(genotype, cell)]}, {cell}_concat={concat}" for cell in ("normal", "reduce"))
    return f"Genotype({', '.join(cells)})"


@pytest.mark.parametrize("before", ["", "DARTS_V2 = ", "# from Genotype(…)\n\n", "  "])
@pytest.mark.parametrize("ending", ["txt", "yaml", "json"])
def test_the_text_that_darts_prints_is_read(before, ending, tmp_path):
    path = tmp_path / f"cell.{ending}"
    for concat in ("range(2, 6)", "[2, 3, 4, 5]", "(2, 3, 4, 5)"):
        path.write_text(f"{before}{printed(genotypes.darts, concat)}  # 97.2 %\n")
        assert load_genotype(path) == genotypes.darts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Genotype(normal=__import__('os').system('touch ran'))", "normal: must be a list of plain values or a range"),
        ("Genotype(normal=[(str(1), 0)])", r"normal: must be a list of plain values or a range \(line 1\)"),
        ("Genotype(normal=range(0, 9, 0))", "normal: must be a list of plain values or a range"),
        ("Genotype(normal=1)\nGenotype(normal=2)", "must hold one Genotype"),
        ("import os\nx = Genotype(normal=1)", "must hold one Genotype"),
        ("05/12 03:14 PM genotype = Genotype(normal=1)", "cell.txt, line 1: no text of the form Genotype"),
        ("Genotype([('skip_connect', 0)])", "takes each of normal, .* once, by name; got .'a value without a name'"),
        ("Genotype(normal=1, normal=2)", "takes each of normal, .* once, by name; got .'normal', 'normal'"),
        ("Genotype(**{})", r"exactly the keys .* found \['\*\*'\]"),
        ("Genotype(normal=[])", "exactly the keys normal, .* found .'normal'"),
        ("Genotype(normal=" + "-" * 30_000 + "1)", "no text of the form Genotype"),
        ("Genotype(normal=" + "1+" * 400 + "1)", "normal: must be a list of plain values or a range"),
        ("Genotype(\0", "no text of the form Genotype"),
        (
            printed(genotypes.darts, "range(2, 10000000000000000)"),
            "normal_concat: must list different nodes from 2 to 5",
        ),
        (
            printed(genotypes.darts._replace(normal=[("none", 0)] * 8), "[2]"),
            "normal, edge 0: unknown operation 'none'",
        ),
        (printed(genotypes.darts, f"[{hex(10**5000)}]"), "normal_concat: .* got a number of thousands of digits"),
    ],
)
def test_of_such_a_text_nothing_is_run_and_what_is_wrong_is_named(text, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "cell.txt"
    path.write_text(text)
    with pytest.raises(GenotypeError, match=message) as caught:
        load_genotype(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    assert [*tmp_path.iterdir()] == [path]


def test_what_lies_in_configs_example_and_in_the_docs_is_read(tmp_path):
    root = Path(__file__).parents[3]
    examples = sorted((root / "configs_example").glob("*.txt"))
    assert examples
    for path in examples:
        assert models.create("darts", genotype=str(path), layers=2, init_channels=4).name == path.stem
    text = (root / "docs" / "extending.md").read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(re.findall(r"```yaml\n(normal:.*?)```", text, flags=re.DOTALL)[0])
    assert load_genotype(tmp_path / "mine.yaml").normal[3] == ("dil_conv_3x3", 2)
    (table,) = re.findall(r"\| operation \| \|\n(.*?)\n\n", text, flags=re.DOTALL)
    assert re.findall(r"`(\w+)`", table) == [*genotypes.OPERATIONS]


def test_every_genotype_is_an_attribute_and_names_known_operations():
    assert set(BUILDERS) == set(genotypes.OPERATIONS)
    for name, genotype in GENOTYPES.items():
        assert getattr(genotypes, name) is genotype
    assert len(GENOTYPES) == 10 + 3 + 8 + 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"normal": [["sep_conv_3x4", 0], ["skip_connect", 1]]}, "normal, edge 0: unknown operation 'sep_conv_3x4'"),
        ({"normal": [["none", 0], ["skip_connect", 1]]}, "normal, edge 0: unknown operation 'none'"),
        ({"reduce": [["skip_connect", 0], ["skip_connect", 2]]}, "reduce, edge 1: state .* from 0 to 1, got 2"),
        ({"reduce": [["skip_connect", 0], ["skip_connect", -1]]}, "reduce, edge 1: state .* got -1"),
        ({"reduce": [["skip_connect", 0], ["skip_connect", True]]}, "reduce, edge 1: state .* got True"),
        ({"reduce": [["skip_connect", 0], ["skip_connect", 1.0]]}, "reduce, edge 1: state .* got 1.0"),
        ({"reduce": [["skip_connect", 0]]}, "reduce: must be a list of two edges a node.* found 1 edges"),
        ({"reduce": []}, "reduce: .* found 0 edges"),
        ({"reduce": "skip_connect"}, "reduce: .* found str"),
        ({"normal": [["skip_connect", 0]] * (2 * MAX_NODES + 2)}, "normal: .* 1 to 12 nodes; found 26 edges"),
        ({"normal": [["skip_connect"], ["skip_connect", 0]]}, r"normal, edge 0: must be \[operation, state\]"),
        ({"normal_concat": []}, "normal_concat: .* from 2 to 3, got"),
        ({"normal_concat": [1, 2]}, "normal_concat: "),
        ({"normal_concat": [4]}, "normal_concat: "),
        ({"normal_concat": [2, 2]}, "normal_concat: must list different nodes"),
        ({"extra": 1}, "exactly the keys normal, normal_concat, reduce, reduce_concat; found .*extra"),
    ],
)
def test_what_cannot_be_built_is_named_in_one_line(change, message, tmp_path):
    path = tmp_path / "cell.yaml"
    path.write_text(yaml.safe_dump(CELL | change))
    with pytest.raises(GenotypeError, match=message) as caught:
        load_genotype(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_an_unknown_operation_is_answered_with_the_nearest_and_all(tmp_path):
    path = tmp_path / "cell.yaml"
    path.write_text(yaml.safe_dump(CELL | {"normal": [["sep_conv3x3", 0], ["skip_connect", 1]]}))
    with pytest.raises(GenotypeError, match="nearest: sep_conv_3x3.*; there are: ") as caught:
        load_genotype(path)
    assert all(name in str(caught.value) for name in genotypes.OPERATIONS)


@pytest.mark.parametrize(
    "content",
    [
        "normal: [",
        "- a list",
        "",
        "!!python/object/apply:os.system ['true']",
        "x" * 100_000,
        "a: &a [1]\nb: &b [*a, *a]\nnormal: " + "[" * 2000,
        b"\xff\xfe\x00",
    ],
)
@pytest.mark.parametrize("ending", ["yaml", "json"])
def test_other_content_is_refused(content, ending, tmp_path):
    path = tmp_path / f"cell.{ending}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(GenotypeError) as caught:
        load_genotype(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(GenotypeError, match="absent.yaml: cannot be read"):
        load_genotype(tmp_path / "absent.yaml")


def test_aliases_that_unfold_without_bound_are_shown_short(tmp_path):
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60)]
    path = tmp_path / "cell.yaml"
    path.write_text("\n".join([*lines, "normal: *a59"]))
    with pytest.raises(GenotypeError) as caught:
        load_genotype(path)
    assert len(str(caught.value)) < 500
    path.write_text("\n".join(f"x{i}: &x{i} [{f'*x{i - 1}, ' * 2}]" if i else "x0: &x0 [y]" for i in range(60)))
    with pytest.raises(GenotypeError):
        load_genotype(path)


def test_a_network_from_a_file_is_named_after_it(tmp_path):
    path = tmp_path / "my_cell.yaml"
    path.write_text(yaml.safe_dump(CELL))
    model = models.create("darts", genotype=str(path), layers=2, init_channels=4)
    assert (model.name, model.group) == ("my_cell", "yours")
    assert model.features.cells[0].out_channels == 8 * 1


def test_a_file_may_not_pass_for_another_network(tmp_path):
    path = tmp_path / "drnas.yaml"
    path.write_text(yaml.safe_dump(CELL))
    with pytest.raises(UsageError, match="differs from the network 'drnas'"):
        models.create("darts", genotype=str(path))
    genotypes.write_genotype(path, genotypes.drnas)
    model = models.create("darts", genotype=str(path), layers=2, init_channels=4)
    assert (model.name, model.group) == ("drnas", "nas")


@pytest.mark.parametrize(
    ("genotype", "normal", "reduce"),
    [
        (genotypes.darts, (3, 3.5, 2), (3, 2.5, 3)),
        (genotypes.diy_deep, (5, 1.0, 2), (3, 2.5, 3)),
        (genotypes.diy_noskip, (3, 3.5, 0), (3, 2.5, 3)),
        (genotypes.pdarts, (4, 3.0, 2), (4, 3.0, 0)),
    ],
)
def test_depth_width_and_skips_counted_by_hand(genotype, normal, reduce):
    assert genotypes.cell_facts(genotype) == (normal, reduce)

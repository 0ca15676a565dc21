"""Make a genotype harder to attack: deepen its cells, remove its skip connections, or both.

    python projects/generate_mitigation.py --deep > my_deep.yaml
    python -m autovul.train -m darts --genotype my_deep.yaml

prints YAML that ``--genotype`` reads. Without further options it starts from darts; with neither rule it makes the deep
cells, those without skips, and those with both.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml

from autovul.base.cli import Command, KnownOptions, command, parse
from autovul.base.errors import UsageError
from autovul.base.options import Options, option
from autovul.vision.tools.genotype_display import find_genotype
from autovul.vision.utils.model_archs.darts.genotype_file import write_genotype
from autovul.vision.utils.model_archs.darts.genotypes import Genotype
from autovul.vision.utils.model_archs.darts.mitigation import CELLS, mitigate

RULES = {
    "deep": {"deep": True},
    "noskip": {"no_skip": True},
    "deep_noskip": {"deep": True, "no_skip": True},
}  # by the artifact's names, without its diy_


class MitigationOptions(Options):
    """Which genotype is changed, and how."""

    genotype: str = option("darts", "Genotype to start from: a name, or a file of one.")
    deep: bool = option(False, "Every node after the first takes both inputs from the node just before it.")
    no_skip: bool = option(False, "Every skip connection becomes another operation.")
    cells: Literal["normal", "reduce", "both"] = option("normal", "Cells that are changed.")
    replacement: Literal["sibling", "sep_conv_3x3"] = option(
        "sibling", "What replaces a skip: the operation of its node's other edge, or always sep_conv_3x3."
    )
    as_artifact: bool = option(False, "The artifact's own generator: --cells both --replacement sep_conv_3x3.")
    output: str | None = option(
        None, "File to write, or with neither rule the folder for the three files; none: standard output."
    )

    def mitigated(self, **rules: bool) -> Genotype:
        """The genotype changed by these rules (see `mitigate`).

        Raises:
            UsageError: There is no such genotype.
        """
        both = self.as_artifact or self.cells == "both"
        return mitigate(
            find_genotype(self.genotype)[1],
            **rules,
            cells=CELLS if both else (self.cells,),
            replacement="sep_conv_3x3" if self.as_artifact else self.replacement,
        )

    def all_three(self) -> dict[str, Genotype]:
        """By name (``darts_deep``): deep, without skips, both."""
        name = find_genotype(self.genotype)[0]
        return {f"{name}_{suffix}": self.mitigated(**rules) for suffix, rules in RULES.items()}


COMMAND = Command(
    "generate_mitigation",
    "Make a genotype harder to attack, and print it as YAML that --genotype reads.",
    {"mitigation": MitigationOptions},
    examples=(
        "python projects/generate_mitigation.py",
        "python projects/generate_mitigation.py --deep --no_skip > my_cells.yaml",
        "python projects/generate_mitigation.py --genotype drnas --deep --output drnas_deep.yaml",
    ),
)


@command("generate_mitigation")
def main(argv: Sequence[str] | None = None) -> int:
    """Change the genotype and print or write it; with neither rule, all three ways to change it."""
    options = parse(COMMAND, argv, KnownOptions.of([COMMAND]), layers=()).mitigation
    if options.deep or options.no_skip:
        genotype = options.mitigated(deep=options.deep, no_skip=options.no_skip)
        if options.output is None:
            _print(_plain(genotype))
        else:
            write_genotype(options.output, genotype)
    elif options.output is None:
        _print({name: _plain(genotype) for name, genotype in options.all_three().items()})
    else:
        folder = Path(options.output)
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"output: {folder} is a file; with neither --deep nor --no_skip it names a folder")
        for name, genotype in options.all_three().items():
            write_genotype(folder / f"{name}.yaml", genotype)
    return 0


def _plain(genotype: Genotype) -> dict[str, Any]:
    """For YAML, which has no tuples."""
    plain: dict[str, Any] = json.loads(json.dumps(genotype._asdict()))
    return plain


def _print(content: dict[str, Any]) -> None:
    print(yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=120), end="")


if __name__ == "__main__":
    raise SystemExit(main())

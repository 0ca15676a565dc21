"""Make a genotype harder to attack: deepen its cells, remove its skip connections, or both.

    python projects/generate_mitigation.py --deep > my_deep.yaml
    python -m autovul.train -m darts --genotype my_deep.yaml

prints YAML that ``--genotype`` reads. Without further options it starts from darts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal

import yaml

from autovul.base.cli import Command, KnownOptions, command, parse
from autovul.base.errors import UsageError
from autovul.base.options import Options, option
from autovul.vision.tools.genotype_display import find_genotype
from autovul.vision.utils.model_archs.darts.genotype_file import write_genotype
from autovul.vision.utils.model_archs.darts.genotypes import Genotype
from autovul.vision.utils.model_archs.darts.mitigation import CELLS, mitigate


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
    output: str | None = option(None, "File to write; none: standard output.")

    def mitigated(self) -> Genotype:
        """The changed genotype.

        Raises:
            UsageError: Nothing is to be changed, or there is no such genotype.
        """
        if not (self.deep or self.no_skip):
            raise UsageError("nothing to do: give --deep, --no_skip or both")
        both = self.as_artifact or self.cells == "both"
        return mitigate(
            find_genotype(self.genotype)[1],
            deep=self.deep,
            no_skip=self.no_skip,
            cells=CELLS if both else (self.cells,),
            replacement="sep_conv_3x3" if self.as_artifact else self.replacement,
        )


COMMAND = Command(
    "generate_mitigation",
    "Make a genotype harder to attack, and print it as YAML that --genotype reads.",
    {"mitigation": MitigationOptions},
    examples=(
        "python projects/generate_mitigation.py --deep --no_skip > my_cells.yaml",
        "python projects/generate_mitigation.py --genotype drnas --deep --output drnas_deep.yaml",
    ),
)


@command("generate_mitigation")
def main(argv: Sequence[str] | None = None) -> int:
    """Change the genotype and print or write it."""
    options = parse(COMMAND, argv, KnownOptions.of([COMMAND]), layers=()).mitigation
    genotype = options.mitigated()
    if options.output is None:
        plain = json.loads(json.dumps(genotype._asdict()))  # YAML has no tuples
        print(yaml.safe_dump(plain, sort_keys=False, default_flow_style=None, width=120), end="")
    else:
        write_genotype(options.output, genotype)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

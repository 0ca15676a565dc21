"""Showing genotypes, those with a name and those in files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from autovul.base.errors import UsageError, nearest
from autovul.base.options import Options, option
from autovul.vision.models import create
from autovul.vision.models.darts import FILE_ENDINGS
from autovul.vision.models.facts import facts
from autovul.vision.tools.cell_pictures import draw_genotype
from autovul.vision.tools.cell_text import genotype_text
from autovul.vision.utils.model_archs.darts.genotypes import GENOTYPES, Genotype, load_genotype
from autovul.vision.utils.model_archs.darts.sampling import PREFIX, named_genotype


class GenotypeDisplay(Options):
    """Which genotypes are shown, and how."""

    genotypes: tuple[str, ...] = option(
        ("darts",), "Genotypes: names such as drnas or diy_deep, or files of one.", positional=True, min_length=1
    )
    layers: int = option(20, "Number of cells of the network that is counted.", ge=2)
    init_channels: int = option(36, "Channels of its states before the first reduction.", ge=1)
    picture: Literal["png", "svg"] = option("png", "Format of the picture.")
    output_dir: str = option("./data/genotype", "Folder of the pictures.", min_length=1)

    def show(self, source: str) -> str:
        """Draw one genotype and return what is to be said of it.

        Args:
            source: A genotype's name, or a file.

        Raises:
            UsageError: No genotype has this name, and it is no file.
            GenotypeError: The file holds no genotype.
        """
        name, genotype = find_genotype(source)
        where: dict[str, Any] = {"model_arch": source} if named_genotype(source) else {"genotype": source}
        model = create("darts", **where, layers=self.layers, init_channels=self.init_channels)
        found = facts(model, model.data_shape)
        path = Path(self.output_dir, f"{name}.{self.picture}")
        draw_genotype(path, name, genotype, found)
        return f"{genotype_text(name, genotype, found)}\n\npicture: {path}"


def find_genotype(source: str) -> tuple[str, Genotype]:
    """A genotype by name, or from a file; and what to call it.

    Raises:
        UsageError: No genotype has this name, and it is no file.
        GenotypeError: The file holds no genotype.
    """
    if named := named_genotype(source):
        return source, named
    path = Path(source)
    if path.suffix in FILE_ENDINGS or path.is_file():
        return path.stem, load_genotype(path)
    hint = nearest(source, [*GENOTYPES, f"{PREFIX}_1"]) or f"; there are: {', '.join(GENOTYPES)}"
    raise UsageError(f"unknown genotype {source!r}{hint}; the name of a file ends in {', '.join(FILE_ENDINGS)}")

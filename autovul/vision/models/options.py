"""Options of the model: what is classified with."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from autovul.base.options import Options, option


class ModelOptions(Options):
    """Which model, and how it is built. ``None`` stands for the network's own default."""

    model: str = option(
        "resnet18_comp",
        "Network: a name that `models.list()` gives, sampled_1, sampled_2, … (cells drawn at random), or your own as "
        "package.module:build.",
        flags=("-m",),
    )
    model_arch: str | None = option(
        None, "Genotype by name, with --model darts only (there: darts), such as drnas, diy_deep or sampled_1."
    )
    genotype: str | None = option(
        None,
        "File of a genotype (YAML, JSON, or the text Genotype(…) that DARTS prints), with --model darts only; the "
        "model is named after the file.",
    )
    layers: int | None = option(None, "Number of cells (cell networks only: 20).", ge=2)
    init_channels: int | None = option(
        None, "Channels of a cell's states before the first reduction (cell networks only: 36).", ge=1
    )
    dropout: float | None = option(
        None, "Dropout probability (cell networks: 0.2 after each operation; VGG: 0.5 in its classifier).", ge=0, lt=1
    )
    width: float | None = option(
        None, "Multiplier of all channel counts, rounded to what the layers allow (manual networks only: 1).", gt=0
    )
    auxiliary: bool = option(False, "Add the auxiliary head, for training (cell networks only).")
    auxiliary_weight: float = option(0.4, "Weight of the auxiliary head's loss.", ge=0)
    norm_layer: Literal["bn", "gn"] = option(
        "bn", "Norm: bn, or gn, which puts a GroupNorm with as many groups as channels in place of every batch norm."
    )
    suffix: str = option("", "What follows the model's name in the names of its files.")
    pretrain: bool = option(False, "Load the weights that lie in the model folder.")
    model_dir: str = option("./data/model", "Folder of models.")

    @field_validator("suffix")
    @classmethod
    def _is_plain(cls, suffix: str) -> str:
        if set(suffix) & set("/\\:*?") or not suffix.isprintable():
            raise ValueError(f"must be part of a file's name, got {suffix!r} (a folder goes to model_dir)")
        return suffix

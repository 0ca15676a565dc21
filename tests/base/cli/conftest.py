"""A small program of three commands, and a world of five layers of files to configure it."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field, field_validator, model_validator

from autovul.base import cli, config
from autovul.base.options import Options, option
from autovul.base.registry import Registry


class DataOptions(Options):
    dataset: str = option("cifar10", "Which data set.", flags=("-d",))
    batch_size: int = option(96, "Images in a step.", ge=1, unit="images")
    download: bool = option(False, "Allow downloads.")


class TrainingOptions(Options):
    epoch: int = option(250, "Passes over the data.", ge=0)
    lr: float = option(0.025, "Learning rate.", gt=0)
    final_lr: float = option(0.0, "Learning rate at the end.", ge=0)
    momentum: float = option(0.9, "Momentum.", ge=0, le=1)
    nesterov: bool = option(False, "Nesterov's momentum.")
    grad_clip: float | None = option(None, "Norm at which the gradient is clipped.", gt=0)
    norm_layer: Literal["bn", "gn"] = option("bn", "Norm layer.")
    mean: tuple[float, ...] = option((0.5,), "Mean of each channel.", min_length=1)
    size: tuple[int, int] = option((32, 32), "Height and width.")
    edge: Literal["auto", "none"] | tuple[float, ...] | None = option("auto", "Colour of the edge: |left| or |right|.")
    threads: Annotated[int, Field(ge=1)] | Literal["auto"] = option("auto", "Threads.")
    save: bool = option(True, "Save the model.")
    no_flip: bool = option(False, "Never mirror.")
    suffix: str = option("", "What follows the name.")
    cache: Path | None = option(None, "Where to keep things.")

    @field_validator("suffix")
    @classmethod
    def _no_slash(cls, suffix: str) -> str:
        if "/" in suffix:
            raise ValueError(f"must not hold a slash, got {suffix!r}")
        return suffix

    @model_validator(mode="after")
    def _fits_together(self) -> TrainingOptions:
        if self.final_lr > self.lr:
            raise ValueError(f"final_lr must be at most lr ({self.lr}), got {self.final_lr}")
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0, got momentum 0")
        return self


class ReportOptions(Options):
    results: tuple[str, ...] = option(("./data/result",), "Folders of results.", positional=True, min_length=1)
    top: int = option(3, "Rows shown.", ge=1, le=100)


ATTACKS: Registry[Any] = Registry("attack")
BACKDOORS: Registry[Any] = Registry("backdoor")


@ATTACKS.register("pgd", "PGD")
class Pgd(Options):
    pgd_eps: float = option(8 / 255, "Radius.", ge=0)
    target_class: int | None = option(None, "Target of every image.", ge=0)


@BACKDOORS.register("badnet")
class BadNet(Options):
    recipe: ClassVar[dict[str, Any]] = {"batch_size": 64}

    poison_percent: float = option(0.01, "Part of the data that is poisoned.", gt=0, le=1)
    target_class: int = option(0, "Target of the trigger.", ge=0)


@BACKDOORS.register("imc")
class Imc(BadNet):
    inner_lr: float = option(0.1, "Learning rate of the trigger.", gt=0)
    quiet: bool = option(False, "Say nothing.")


TRAIN = cli.Command(
    "train",
    "Train an image classifier.",
    {"data": DataOptions, "training": TrainingOptions},
    examples=("autovul train -d digits --epoch 3",),
)
BACKDOOR = cli.Command(
    "backdoor",
    "Train a model with a backdoor.",
    {"data": DataOptions, "training": TrainingOptions},
    cli.AlgorithmChoice("attack", BACKDOORS, "badnet", "Which backdoor."),
)
ADV_ATTACK = cli.Command(
    "adv_attack",
    "Look for adversarial examples.",
    {"data": DataOptions},
    cli.AlgorithmChoice("attack", ATTACKS, "pgd", "Which attack."),
)
REPORT = cli.Command("report", "Make a page.", {"report": ReportOptions})
COMMANDS = {command.name: command for command in (TRAIN, BACKDOOR, ADV_ATTACK, REPORT)}


@dataclass
class World:
    """The files that the toy program sees, and the toy program."""

    root: Path
    commands: dict[str, cli.Command]
    known: cli.KnownOptions

    @property
    def layers(self) -> tuple[config.Layer, ...]:
        package = config.Layer("package", tuple(self.root / "package" / kind for kind in ("base", "vision")))
        return (package, *config.default_layers()[1:])

    def write(self, layer: str, text: str | bytes, name: str = "base/options.yaml") -> Path:
        """Put a file into a layer; "file" is one for ``--config``, in the current folder."""
        folders = {
            "package": self.root / "package",
            "dotted": self.root / "home" / ".autovul" / "configs",
            "user": self.root / "home" / "autovul" / "configs",
            "workspace": self.root / "work" / "configs",
            "file": self.root / "work",
        }
        path = folders[layer] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).encode())
        return path

    def parse(self, *argv: str) -> cli.Settings:
        """Parse as the command that the first argument names."""
        return cli.parse(self.commands[argv[0]], argv[1:], self.known, self.layers)

    def run(self, *argv: str) -> int:
        """As `parse`, with errors turned into a status and a line on stderr."""

        @cli.command(argv[0])
        def main(_: Any) -> None:
            self.parse(*argv)

        return main(argv)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    for folder in ("home", "work"):
        (tmp_path / folder).mkdir()
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path / "work")
    return World(tmp_path, COMMANDS, cli.KnownOptions.of(COMMANDS.values(), datasets=["cifar10", "cifar100", "digits"]))

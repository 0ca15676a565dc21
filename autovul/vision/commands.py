"""What each command is called, is for, and lets one set; flags, files, help and documentation derive from this."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Literal

from autovul.base import cli
from autovul.base.cli import AlgorithmChoice, Command, KnownOptions, Settings
from autovul.base.environ import EnvironmentOptions
from autovul.base.options import Options, option
from autovul.base.settings.command import builtin
from autovul.base.settings.flags import spelling
from autovul.base.sweep.options import MachineOptions, SweepOptions
from autovul.base.training.options import TrainingOptions
from autovul.vision import attacks, datasets
from autovul.vision.adversarial_training import AdversarialTrainingOptions
from autovul.vision.datasets import (
    AttackedDataOptions,
    DataOptions,
    MirroredDataOptions,
    TrainingDataOptions,
    ValidatedDataOptions,
)
from autovul.vision.models.factory import misplaced
from autovul.vision.models.options import ModelOptions
from autovul.vision.tools.contour_measurement import ContourMeasurement
from autovul.vision.tools.genotype_display import GenotypeDisplay
from autovul.vision.tools.gradient_measurement import GradientMeasurement


class OutputOptions(Options):
    """Where an attack's pictures and files go."""

    attack_dir: str = option("./data/attack", "Folder of what attacks write beside their results.", min_length=1)


class WeightsOptions(Options):
    """What a training may replace."""

    overwrite: bool = option(
        False, "Replace the weights that lie where the trained ones belong even if no recorded training made them."
    )


class ReportOptions(Options):
    """What a report reads and where it goes."""

    results: tuple[str, ...] = option((), "Result files and folders of them; none: --result_dir.", positional=True)
    result_dir: str = option(EnvironmentOptions().result_dir, "Where result files lie, if none are named.")
    output_dir: str = option("./data/report", "Folder of the page, the texts and the tables.", min_length=1)
    experiments: tuple[str, ...] = option((), "Files of experiments of your own, whose claims are judged as well.")
    latex: bool = option(False, "Write the claims as LaTeX tables as well.")
    figures: Literal["png", "pdf"] | None = option(None, "Write the claims' figures as files of this kind as well.")


def _on(data: type[DataOptions], **groups: type[Options]) -> dict[str, type[Options]]:
    """The groups of a command that puts a network and data together."""
    return {"environment": EnvironmentOptions, "data": data, "model": ModelOptions, **groups}


_OnNetwork = functools.partial(Command, misplaced=misplaced)

COMMANDS = (
    _OnNetwork(
        "train",
        "Train an image classifier, validate it, and save its weights.",
        _on(
            TrainingDataOptions, training=TrainingOptions, adversary=AdversarialTrainingOptions, weights=WeightsOptions
        ),
        examples=(
            "autovul train --download",
            "autovul train -d digits -m darts --layers 5 --init_channels 12",
            "autovul train -m densenet_comp --lr_scheduler --cutout --grad_clip 5 --epoch 200",
        ),
    ),
    _OnNetwork(
        "validate",
        "Measure a trained classifier on the validation split.",
        _on(ValidatedDataOptions),
        examples=("autovul validate -d digits", "autovul validate -m drnas --suffix _s1"),
    ),
    _OnNetwork(
        "adv_attack",
        "Attack a trained classifier with adversarial examples.",
        _on(AttackedDataOptions, output=OutputOptions),
        algorithm=AlgorithmChoice("attack", attacks.family("adv_attack"), "pgd", "Which attack runs."),
        examples=(
            "autovul adv_attack -d digits --require_class",
            "autovul adv_attack -m darts --model_arch drnas --pgd_eps 8 --pgd_alpha 2",
            "autovul adv_attack --grad_method nes --query_num 100",
            "autovul adv_attack --attack hop_skip_jump --norm 2 --max_queries 2000",
        ),
    ),
    _OnNetwork(
        "poison",
        "Train on mislabelled images and see what it costs, or make one input misjudged (poison_basic).",
        _on(TrainingDataOptions, training=TrainingOptions, output=OutputOptions),
        algorithm=AlgorithmChoice("attack", attacks.family("poison"), "poison_random", "Which attack runs."),
        examples=(
            "autovul poison -d digits --train_mode dataset --poison_percent 0,0.1,0.2,0.4",
            "autovul poison --train_mode dataset --poison_percent 0.4 --export_poisoned poisoned.npz",
            "autovul poison -d digits --attack poison_basic --test_num 10",
        ),
    ),
    _OnNetwork(
        "extraction",
        "Steal a trained classifier: train a copy on its answers.",
        _on(TrainingDataOptions, training=TrainingOptions, output=OutputOptions),
        algorithm=AlgorithmChoice("attack", attacks.family("extraction"), "knockoff", "Which attack runs."),
        examples=(
            "autovul extraction -d digits --nb_stolen 200,400,800",
            "autovul extraction -m darts --model_arch drnas --nb_stolen 1000,2000,4000,8000,16000",
            "autovul extraction --label_mode soft --sampling adaptive --tmodel vgg13_bn_comp",
            "autovul extraction --engine art --nb_stolen 1000",
        ),
    ),
    _OnNetwork(
        "membership",
        "Tell the images that a classifier was trained on from others.",
        _on(MirroredDataOptions, output=OutputOptions),
        algorithm=AlgorithmChoice("attack", attacks.family("membership"), "membership", "Which attack runs."),
        examples=(
            "autovul membership -d digits --confidence_filter none",
            "autovul membership -m darts --model_arch drnas --sample_num 1000",
            "autovul membership --method confidence,entropy,loss --sample_num 1000 --confidence_filter none",
            "autovul membership --engine art --method boundary",
        ),
    ),
    _OnNetwork(
        "backdoor",
        "Plant a backdoor into a trained classifier: images with a trigger are given the target class.",
        _on(TrainingDataOptions, training=TrainingOptions, output=OutputOptions),
        algorithm=AlgorithmChoice("attack", attacks.family("backdoor"), "badnet", "Which attack runs."),
        examples=(
            "autovul backdoor -d digits --poison_percent 0.02",
            "autovul backdoor --attack trojannn --mark_alpha 0.7 --neuron_num 4",
            "autovul backdoor --mark_path star --mark_height 8 --mark_width 8 --random_pos",
            "autovul backdoor -d digits --validate_only",
        ),
    ),
    _OnNetwork(
        "grad_var",
        "Measure how much a network's gradient varies from image to image, untrained unless --pretrain.",
        _on(DataOptions, tool=GradientMeasurement),
        examples=(
            "autovul grad_var -m darts --seeds 3",
            "autovul grad_var -m densenet_comp --init default --norm_statistics batch",
            "autovul grad_var -d digits -m vgg13_bn_comp --pretrain",
        ),
    ),
    _OnNetwork(
        "loss_contour",
        "Draw the loss on a plane through the weights of the first convolution, or through the input.",
        _on(ValidatedDataOptions, output=OutputOptions, tool=ContourMeasurement),
        examples=(
            "autovul loss_contour -m resnet18_comp --compare darts,drnas",
            "autovul loss_contour -d digits --space input --points 41",
        ),
    ),
    Command(
        "show_genotype",
        "Draw the cells of genotypes as graphs, with depth, width, skips, parameters and multiply-adds.",
        {"cells": GenotypeDisplay},
        examples=("autovul show_genotype darts diy_deep", "autovul show_genotype my_cell.yaml --picture svg"),
    ),
    Command(
        "reproduce",
        "Run every experiment of the paper that has no result yet, and report. Takes options of the other commands as "
        "well, and passes them on to those that have them.",
        {"sweep": SweepOptions, "machines": MachineOptions},
        examples=(
            "autovul reproduce --scale smoke",
            "autovul reproduce fig2 fig12 --scale fast --seeds 5 --dry_run",
            "autovul reproduce --scale smoke --models drnas,resnet18_comp,my_networks:build",
            "autovul reproduce --scale fast --launcher ray --address head:6379",
            "autovul reproduce fig2 --pgd_eps 4 --data_dir /data",
        ),
    ),
    Command(
        "report",
        "Turn result records into tables, figures and a page.",
        {"report": ReportOptions},
        examples=(
            "autovul report",
            "autovul report data/result/adv_attack --output_dir out",
            "autovul report --experiments my_attack.yaml --latex --figures pdf",
        ),
    ),
)


@functools.cache
def known_options() -> KnownOptions:
    """Every option of every command."""
    return KnownOptions.of(COMMANDS, datasets=datasets.list())


def read(name: str, argv: Sequence[str] | None) -> Settings:
    """The settings of a command from its arguments (None: the process's own) and all configuration files."""
    return cli.parse(next(command for command in COMMANDS if command.name == name), argv, known_options())


def flags_of(name: str) -> frozenset[str]:
    """Every spelling of a command's flags, as `spelling` writes them."""
    declared = [*builtin(), *next(command for command in COMMANDS if command.name == name).common()]
    negations = [each.negation for each in declared if each.is_switch]
    return frozenset(spelling(flag) for flag in [*(flag for each in declared for flag in each.flags), *negations])

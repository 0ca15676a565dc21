"""What a command gets: which layer wins, what holds for which data set and algorithm, and where each value is from."""

from __future__ import annotations

import dataclasses
import json
import pickle
from pathlib import Path

import pytest

from autovul.base import cli, config
from autovul.base.options import Options, option
from autovul.base.registry import Registry
from autovul.base.settings import option_help

LAYERS = ["package", "dotted", "user", "workspace", "file"]


def test_without_files_and_flags_everything_is_its_default(world) -> None:
    settings = world.parse("train")
    assert settings.training == type(settings.training)()
    assert settings.dataset == "cifar10"
    assert settings.algorithm_name is None
    assert {settings.source(name) for name in settings.effective()} == {"default"}


@pytest.mark.parametrize("highest", range(len(LAYERS) + 1))
def test_the_highest_layer_that_speaks_wins(world, highest: int) -> None:
    """Layer i sets lr to i + 1, up to the highest; one above all of them is the flag."""
    for number, layer in enumerate(LAYERS[: highest + 1], start=1):
        world.write(layer, f"\nlr: {number}", "vision/some.yml" if layer != "file" else "mine.conf")
    argv = ["--config", "mine.conf"] if highest >= LAYERS.index("file") else []
    flag = ["--lr", "99"] if highest == len(LAYERS) else []
    settings = world.parse("train", *argv, *flag)
    assert settings.training.lr == (99 if flag else highest + 1)
    assert settings.source("lr") == "flag --lr" if flag else settings.source("lr").endswith(":2")


def test_a_value_per_data_set_falls_through_to_the_layer_below(world) -> None:
    world.write("package", "epoch: {default: 250, cifar10: 600, digits: 30}")
    world.write("user", "epoch: {default: 7}")
    world.write("workspace", "epoch: {cifar10: 5}\ndataset: digits")
    assert world.parse("train", "-d", "cifar10").training.epoch == 5
    assert world.parse("train").training.epoch == 7
    world.write("user", "epoch: {cifar100: 7}")
    assert world.parse("train").training.epoch == 30
    assert world.parse("train", "-d", "cifar100").training.epoch == 7
    assert world.parse("train", "-d", "svhn").training.epoch == 250


def test_a_section_wins_over_its_own_layer_only_and_the_algorithm_over_the_command(world) -> None:
    world.write("package", "lr: 1\nbackdoor: {lr: 2}\nimc: {lr: 3}")
    assert world.parse("train").training.lr == 1
    assert world.parse("backdoor").training.lr == 2
    assert world.parse("backdoor", "--attack", "imc").training.lr == 3
    world.write("user", "lr: 4")
    assert world.parse("backdoor", "--attack", "imc").training.lr == 4


def test_a_section_that_is_silent_about_the_data_set_leaves_it_to_the_general_value(world) -> None:
    world.write("package", "epoch: 9")
    world.write("user", "epoch: 1\nbackdoor: {epoch: {digits: 2}}")
    assert world.parse("backdoor", "-d", "digits").training.epoch == 2
    assert world.parse("backdoor").training.epoch == 1


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("flag", ""),
        ("workspace", "attack: {default: imc}"),
        ("user", "backdoor: {attack: imc}"),
        ("file", "attack: imc"),
    ],
)
def test_the_algorithm_is_found_before_its_options_are_read(world, where: str, text: str) -> None:
    argv = ["--inner_lr", "1/4"]
    if where == "flag":
        argv += ["--attack", "imc"]
    else:
        world.write(where, text, "base/x.yaml")
        argv += ["--config", "base/x.yaml"] if where == "file" else []
    settings = world.parse("backdoor", *argv)
    assert settings.algorithm_name == "imc"
    assert settings.algorithm.inner_lr == 0.25
    assert settings.effective()["attack"] == "imc"
    assert settings.effective()["inner_lr"] == 0.25


def test_the_flag_for_the_algorithm_wins_over_files_and_aliases_become_names(world) -> None:
    world.write("workspace", "backdoor: {attack: imc}\nadv_attack: {attack: PGD}")
    assert world.parse("backdoor", "--attack=badnet").algorithm_name == "badnet"
    assert world.parse("adv_attack").algorithm_name == "pgd"
    assert world.parse("adv_attack", "--attack", "PGD").effective()["attack"] == "pgd"


def test_options_of_other_commands_may_stand_in_a_file(world) -> None:
    world.write("workspace", "inner_lr: 2\ntop: 5\npgd: {pgd_eps: 4/255, batch_size: 7}\nreport: {results: [a, b]}")
    assert world.parse("train").data.batch_size == 96
    assert world.parse("adv_attack").data.batch_size == 7
    assert world.parse("report").report.results == ("a", "b")


def test_all_kinds_of_flags(world) -> None:
    settings = world.parse(
        *[
            "train",
            "-d",
            "digits",
            "--lr=8/255",
            "--grad-clip",
            "5",
            "--size",
            "8,9",
            "--mean=-.5, 1e-2",
            "--edge",
            "1,0",
        ],
        *[
            "--no-save",
            "--no_flip",
            "--download",
            "--threads",
            "3",
            "--cache",
            "a b",
            "--suffix=-x",
            "--norm-layer",
            "gn",
        ],
    )
    training = settings.training
    assert (training.lr, training.grad_clip, training.size, training.mean) == (8 / 255, 5.0, (8, 9), (-0.5, 0.01))
    assert (training.edge, training.threads, training.cache) == ((1.0, 0.0), 3, Path("a b"))
    assert (training.save, training.no_flip, settings.data.download) == (False, True, True)
    assert (training.suffix, training.norm_layer, settings.dataset) == ("-x", "gn", "digits")
    assert settings.source("dataset") == "flag -d"
    assert settings.source("save") == "flag --no-save"
    assert world.parse("train", "--flip").training.no_flip is False
    assert world.parse("train", "--cache", "none", "--grad_clip", "None").training.cache is None


def test_a_rule_over_several_options_sees_all_of_them(world, capsys) -> None:
    """Alone, this final_lr would be above the default lr."""
    world.write("workspace", "final_lr: 1")
    assert world.parse("train", "--lr", "2").training.final_lr == 1
    assert world.parse("train", "--lr", "4", "--final_lr", "3").training.final_lr == 3
    assert world.run("train") == 2
    assert "final_lr must be at most lr (0.025), got 1.0" in capsys.readouterr().err


def test_a_choice_called_none_is_the_choice(world) -> None:
    assert world.parse("train", "--edge", "none").training.edge == "none"
    world.write("workspace", "edge: none")
    assert world.parse("train").training.edge == "none"
    world.write("workspace", "edge: ~")
    assert world.parse("train").training.edge is None


def test_positional_words_stand_anywhere(world) -> None:
    settings = world.parse("report", "a", "--top", "7", "b,c")
    assert settings.report.results == ("a", "b,c")
    assert settings.source("results") == "argument"
    assert world.parse("report", "--", "--top").report.results == ("--top",)


def test_effective_values_survive_json(world) -> None:
    effective = world.parse("train", "--cache", "x", "--mean", "1,2").effective()
    assert json.loads(json.dumps(effective, allow_nan=False)) == effective
    assert (effective["cache"], effective["mean"], effective["grad_clip"]) == ("x", [1.0, 2.0], None)
    assert "config" not in effective


def test_settings_are_frozen_and_name_their_groups(world) -> None:
    settings = world.parse("train")
    with pytest.raises(AttributeError, match="no group 'trainig' .nearest: training"):
        _ = settings.trainig
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.dataset = "digits"
    assert pickle.loads(pickle.dumps(dataclasses.replace(settings, groups={}))).dataset == "cifar10"


def test_print_config_tells_value_and_source_after_checking_everything(world, capsys) -> None:
    path = world.write("user", "\nlr: {digits: 8/255}\nmean: [0.1, 0.2]")
    with pytest.raises(SystemExit) as stop:
        world.parse("backdoor", "--print_config", "-d", "digits", "--attack", "imc", "--no-save")
    assert stop.value.code == 0
    rows = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    assert ["data:"] in rows
    assert ["training:"] in rows
    assert ["imc:"] in rows
    for row in [
        ["dataset", "digits", "flag -d"],
        ["lr", "8/255", f"{path}:2"],
        ["mean", "0.1,0.2", f"{path}:3"],
        ["save", "false", "flag --no-save"],
        ["attack", "imc", "flag --attack"],
        ["inner_lr", "0.1", "default"],
    ]:
        assert row in rows
    assert world.run("train", "--print_config", "--nesterov", "--momentum", "0") == 2
    assert capsys.readouterr().out == ""


def test_a_misspelt_data_set_in_a_file_is_one_warning(world, capsys) -> None:
    world.write("workspace", "epoch: {cifar-10: 600, defualt: 3, my_own: 4, digits: 5}")
    assert world.run("train") == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition("; ")[2] for line in lines] == ["is 'cifar10' meant?", "is 'default' meant?"]
    assert lines[0].startswith(f"autovul train: warning: {Path('configs/base/options.yaml')}:1: ")
    assert world.run("train", "-d", "cifar-10") == 0
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_files_that_are_not_read_are_not_passed_over_in_silence(world, capsys) -> None:
    world.write("workspace", "lr: 3", "train.yaml")
    assert world.parse("train").training.lr == 0.025
    assert capsys.readouterr().err == "", "a folder without base and vision may be another program's"
    world.write("workspace", '{"lr": 3}', "base/x.json")
    world.write("workspace", "lr: 3", "base/.hidden.yaml")
    world.write("workspace", "lr: 3", "vision/sub/deep.yml")
    assert world.parse("train").training.lr == 0.025
    lines = capsys.readouterr().err.splitlines()
    elsewhere = f"is not read, as it is not in {Path('configs/base')} or {Path('configs/vision')} itself"
    assert [line.removeprefix("autovul train: warning: ") for line in lines] == [
        f"{Path('configs/base/x.json')}: is not read, as its name ends in neither .yaml nor .yml",
        f"{Path('configs/train.yaml')}: {elsewhere}",
        f"{Path('configs/vision/sub/deep.yml')}: {elsewhere}",
    ]


def test_an_account_without_a_home_has_no_user_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(_: type[Path]) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", classmethod(homeless))
    assert [layer.name for layer in config.default_layers()] == ["package", "workspace"]


def test_the_order_and_folders_of_the_layers(world) -> None:
    layers = config.default_layers()
    assert [layer.name for layer in layers] == ["package", "user, dotted", "user", "workspace"]
    home = world.root / "home"
    assert layers[0].folders == tuple(
        Path(config.__file__).parents[1] / kind / "configs" for kind in ("base", "vision")
    )
    assert layers[1].folders[0] == home / ".autovul" / "configs" / "base"
    assert layers[2].folders[1] == home / "autovul" / "configs" / "vision"
    assert layers[3].folders[1] == Path("configs/vision")


class Twice(Options):
    epoch: int = option(1, "Declared in another group already.")


class ShortTwice(Options):
    depth: int = option(1, "Its short flag is taken.", flags=("-d",))


class Config(Options):
    config: str = option("", "The name of a flag that every command has.")


class Complex(Options):
    number: complex = option(1j, "No such kind of option.")


@pytest.mark.parametrize("options", [Twice, ShortTwice, Config])
def test_a_name_declared_twice_is_the_programs_mistake(world, options: type[Options]) -> None:
    groups = {**world.commands["train"].groups, "more": options}
    with pytest.raises(ValueError, match="command x: .* is declared twice"):
        cli.Command("x", "", groups)
    registry: Registry[type[Options]] = Registry("attack")
    registry.register("a")(options)
    with pytest.raises(ValueError, match="command x: .* is declared twice"):
        cli.Command("x", "", world.commands["train"].groups, cli.AlgorithmChoice("attack", registry, "a"))


def test_other_mistakes_of_the_program(world) -> None:
    with pytest.raises(ValueError, match="cannot be called 'dataset'"):
        cli.Command("x", "", {"dataset": Twice})
    with pytest.raises(ValueError, match="'epoch' is the name of an option and of a section"):
        cli.KnownOptions.of([cli.Command("epoch", "", {"training": Twice})])
    with pytest.raises(ValueError, match="does not cover the command 'x'"):
        cli.parse(cli.Command("x", "", {}), [], world.known, world.layers)
    with pytest.raises(TypeError, match="cannot have the type"):
        cli.parse(
            command := cli.Command("y", "", {"c": Complex}), ["--number", "1"], cli.KnownOptions.of([command]), []
        )


def test_a_recipe_stands_between_the_package_and_its_sections(world) -> None:
    world.write("package", "batch_size: {default: 32, digits: 16}")
    settings = world.parse("backdoor", "-d", "digits")
    assert settings.data.batch_size == 64
    assert settings.source("batch_size") == "recipe of badnet"
    assert world.parse("train", "-d", "digits").data.batch_size == 16
    world.write("package", "batch_size: 32\nbadnet: {batch_size: {digits: 8}}")
    assert world.parse("backdoor", "-d", "digits").data.batch_size == 8
    assert world.parse("backdoor").data.batch_size == 64
    world.write("user", "batch_size: 4")
    assert world.parse("backdoor").data.batch_size == 4
    assert world.parse("backdoor", "--batch_size", "2").data.batch_size == 2
    help_page = option_help.page(world.commands["backdoor"], "imc", config.load(world.layers[:1], world.known))
    assert "default: 64" in help_page


def test_a_recipe_that_names_no_option_is_our_defect(world, monkeypatch) -> None:
    registry = world.commands["backdoor"].algorithm.registry
    monkeypatch.setattr(registry.get("imc"), "recipe", {"epohc": 3})
    with pytest.raises(ValueError, match="recipe of imc names 'epohc'"):
        world.parse("backdoor", "--attack", "imc")

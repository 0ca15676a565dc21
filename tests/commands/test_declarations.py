"""What derives from the declarations is current: the option reference, the table of commands, the example files."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from autovul.__main__ import COMMANDS as TABLE
from autovul.base import cli, config
from autovul.base.cli import KnownOptions
from autovul.base.errors import UsageError
from autovul.base.options import OptionError
from autovul.vision import commands, datasets, models, recording
from autovul.vision.commands import COMMANDS

ROOT = Path(__file__).parents[2]


def test_the_table_of_commands_is_the_declared_one():
    assert {command.name for command in COMMANDS} == set(TABLE)
    for name in TABLE:
        assert (ROOT / "autovul" / f"{name}.py").is_file()


DERIVED = runpy.run_path(str(ROOT / "projects" / "write_references.py"))["files"]()


@pytest.mark.parametrize("path", DERIVED, ids=lambda path: path.name)
def test_derived_files_are_current(path):
    """If this fails: python projects/write_references.py"""
    assert path.read_text(encoding="utf-8") == DERIVED[path]


def test_there_are_no_other_example_files():
    assert set((ROOT / "configs_example").rglob("*.yaml")) == {path for path in DERIVED if path.suffix == ".yaml"}


def test_example_files_are_valid_as_they_are_and_with_every_option_taken(workspace):
    """Options of algorithms with the same names live in sections, so that all can be given at once."""
    known = KnownOptions.of(COMMANDS, datasets=datasets.list())
    layers = config.default_layers()
    folders = tuple(ROOT / "configs_example" / kind for kind in ("base", "vision"))
    config.load([*layers, config.Layer("example", folders)], known)
    for path, text in DERIVED.items():
        if path.suffix == ".yaml":
            names = "|".join(known.options)
            options = re.sub(rf"^( *)# ((?:{names}): .*)$", r"\1\2", text, flags=re.MULTILINE)
            target = workspace / "configs" / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text("\n".join(line for line in options.splitlines() if not line.lstrip().startswith("#")))
    settings = cli.parse(COMMANDS[0], [], known)
    assert "configs" in settings.source("lr")
    assert {name for name in settings.effective() if settings.source(name) == "default"} == set()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_help(workspace, command, capsys):
    with pytest.raises(SystemExit) as stop:
        commands.read(command.name, ["-h"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert command.purpose in " ".join(text.split())
    assert all(len(line) <= 100 for line in text.splitlines())
    for algorithm in command.algorithms() or [None]:
        for each in command.own(algorithm):
            assert each.help


def _modules_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sys.modules, file=sys.stderr)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    return {name.split(".")[0] for name in run.stderr.split()}


def test_the_overview_imports_no_torch():
    loaded = _modules_after("from autovul.__main__ import main\nmain(['--help'])")
    assert not loaded & {"torch", "numpy", "pydantic", "yaml"}


@pytest.mark.parametrize("name", TABLE)
def test_help_of_a_command_imports_nothing_heavy(name):
    code = f"from autovul.__main__ import main\ntry:\n    main([{name!r}, '-h'])\nexcept SystemExit:\n    pass"
    loaded = _modules_after(code)
    assert not loaded & {"torchvision", "art", "matplotlib", "sklearn", "jinja2", "tensorboard"}


READ = {"dataset", "data_dir", "data_path", "download", "num_classes", "num_workers", "image_size", "grey"}
MIRRORED, VALIDATED, ATTACKED = {"no_flip"}, {"valid_batch_size"}, {"test_batch_size"}
TRAINED = MIRRORED | VALIDATED | {"batch_size", "auto_augment", "cutout", "cutout_length"}
USED = {
    "train": READ | TRAINED,
    "poison": READ | TRAINED,
    "extraction": READ | TRAINED,
    "backdoor": READ | TRAINED,
    "validate": READ | VALIDATED,
    "loss_contour": READ | VALIDATED,
    "adv_attack": READ | ATTACKED,
    "membership": READ | MIRRORED,
    "grad_var": READ,
}


@pytest.mark.parametrize("command", [each for each in COMMANDS if "data" in each.groups], ids=lambda each: each.name)
def test_a_command_takes_the_options_of_data_that_it_uses_and_no_others(workspace, command):
    assert set(command.groups["data"].model_fields) == USED[command.name]
    for name in set.union(*USED.values()) - USED[command.name]:
        flag = [f"--{name}"] if name in ("no_flip", "auto_augment", "cutout") else [f"--{name}", "3"]
        with pytest.raises(UsageError, match=rf"^--{name}: belongs to (\w+, )*\w+( and \d more)?, not to"):
            commands.read(command.name, flag)


def test_options_of_other_commands_may_stand_in_a_shared_file(workspace):
    (workspace / "shared.yaml").write_text("batch_size: 7\ntest_batch_size: 5\ncutout: true\nno_flip: true")
    for name in USED:
        settings = commands.read(name, ["--config", "shared.yaml"])
        assert getattr(settings.data, "batch_size", 7) == 7
        assert getattr(settings.data, "test_batch_size", 5) == 5
        assert getattr(settings.data, "cutout", True) is True


def test_what_an_attack_is_told_of_batches_logs_and_mirroring(workspace):
    words = ["-d", "digits", "--width", "0.0625"]
    given = ["--batch_size", "7", "--valid_batch_size", "9", "--cutout", "--log_dir", "logs"]
    settings = commands.read("backdoor", [*words, *given])
    dataset = datasets.from_options(settings.data)
    model = models.from_options(settings.model.model_copy(update={"pretrain": False}), dataset)
    setup = recording.setup(settings, dataset, model)
    assert (setup.batch_size, setup.valid_batch, setup.augmentation.cutout_length) == (7, 9, 16)
    assert setup.log_folder == Path("logs/image/digits/resnet18_comp/badnet")
    attacked = recording.setup(commands.read("adv_attack", [*words, "--test_batch_size", "3"]), dataset, model)
    assert (attacked.attack_batch, attacked.log_folder, attacked.training) == (3, None, None)
    told = commands.read("membership", ["-d", "digits", "--no_flip"])
    assert not datasets.from_options(told.data).flip
    assert datasets.create("digits", no_flip=False).flip is dataset.flip
    with pytest.raises(OptionError, match="no option 'batch_size'"):
        datasets.create("digits", batch_size=3)


def test_what_an_option_needs_is_an_option_of_its_commands():
    for command in COMMANDS:
        for algorithm in command.algorithm.registry.list() if command.algorithm else [None]:
            declared = {each.name: each for each in command.declared(algorithm)}
            for needs in {each.needs for each in declared.values() if each.needs}:
                name, _, listed = needs.partition("=")
                for value in filter(None, listed.split("|")):
                    assert declared[name].from_yaml(value, value) in (value, (value,))
                assert name in declared


def test_a_file_may_change_what_does_nothing_yet_and_a_flag_that_changes_nothing_passes(workspace):
    folder = workspace / "configs" / "vision"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("adv_train_eps: 16\n")
    assert commands.read("train", ["--no-adv_train_random_init"]).adversary.adv_train_eps == 16
    with pytest.raises(UsageError, match="adv_train_eps does nothing without --adv_train"):
        commands.read("train", ["--adv_train_eps", "4"])


@pytest.mark.parametrize("method", [[], ["--method", "boundary"], ["--method", "loss,boundary"]])
def test_an_option_may_need_one_of_the_values_of_a_list(workspace, method):
    assert commands.read("membership", ["--max_iter", "3", *method]).algorithm.max_iter == 3
    with pytest.raises(UsageError, match="max_iter does nothing without --method boundary"):
        commands.read("membership", ["--max_iter", "3", "--method", "loss,entropy"])

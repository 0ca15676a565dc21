"""Every mistake a user can make is one line that names the place, the value and what is allowed, and exit status 2."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

FLAGS = [
    ("train --lr -1", "--lr: must be a number above 0, got -1"),
    ("train --lr=0", "--lr: must be a number above 0, got 0"),
    ("train --lr fast", "--lr: must be a number above 0, got 'fast'"),
    ("train --lr nan", "--lr: must be a number above 0, got 'nan'"),
    ("train --lr inf", "--lr: must be a number above 0, got 'inf'"),
    ("train --lr 1e999", "--lr: must be a number above 0, got 1e999"),
    ("train --lr 1/0", "--lr: must be a number above 0, got '1/0'"),
    ("train --lr -8/255", "--lr: must be a number above 0, got -8/255"),
    ("train --lr 0,1", "--lr: must be a number above 0, got '0,1'"),
    ("train --lr none", "--lr: must be a number above 0, got 'none'"),
    ("train --lr", "--lr: needs a value, a number above 0"),
    ("train --lr --epoch 3", "--lr: needs a value, a number above 0"),
    ("train --suffix", "--suffix: needs a value, text (one that starts with a dash is written --suffix=-…)"),
    ("train --suffix caf\udce9", r"--suffix: must be Unicode text, got 'caf\udce9'"),
    ("train --cache=caf\udce9", r"--cache: must be Unicode text, got 'caf\udce9'"),
    ("train --config caf\udce9", r"--config: must be Unicode text, got 'caf\udce9'"),
    ("report a caf\udce9", r"results: must be Unicode text, got 'a caf\udce9'"),
    ("train --suffix a/b", "--suffix: must not hold a slash, got 'a/b'"),
    ("train --momentum 1.5", "--momentum: must be a number from 0 to 1, got 1.5"),
    ("train --epoch 2.0", "--epoch: must be a whole number of at least 0, got 2.0"),
    ("train --epoch 1e2", "--epoch: must be a whole number of at least 0, got 1e2"),
    ("train --epoch=", "--epoch: must be a whole number of at least 0, got ''"),
    ("train --batch_size 0", "--batch_size: must be a whole number of at least 1, got 0"),
    ("train --batch_size 1_000", "--batch_size: must be a whole number of at least 1, got '1_000'"),
    ("train --grad-clip 0", "--grad-clip: must be a number above 0 or none, got 0"),
    ("train --norm_layer ng", "--norm_layer: must be one of: bn, gn, got 'ng' (nearest: gn, bn)"),
    ("train --mean 0.1,x", "--mean: must be a list of at least 1, each a number, got '0.1,x'"),
    ("train --mean=", "--mean: must be a list of at least 1, each a number, got ''"),
    ("train --mean 1 2 3", "unexpected word 2: values follow a flag, lists are joined by commas"),
    ("train --size 3", "--size: must be a list of 2, each a whole number, got 3"),
    ("train --size 3,3,3", "--size: must be a list of 2, each a whole number, got '3,3,3'"),
    ("train --threads 0", "--threads: must be one of: auto or a whole number of at least 1, got 0"),
    ("train --download=yes", "--download: a switch takes no value, got 'yes'"),
    ("train --download yes", "unexpected word 'yes': --download is a switch and takes no value"),
    ("train --no-save 5 --lr 1", "unexpected word 5: --no-save is a switch and takes no value"),
    ("train --lr 1 --lr 1", "--lr: given twice"),
    ("train --save --no-save", "--no-save: given twice"),
    ("train -d digits --dataset digits", "--dataset: given twice"),
    ("train --epohc 3", "--epohc: unknown flag (nearest: --epoch)"),
    ("train --no-epoch", "--no-epoch: --epoch takes a value, no switch"),
    ("report --results a", "--results: is given as words, without a flag"),
    ("train --epo 3", "--epo: unknown flag (nearest: --epoch)"),
    ("train -x", "-x: unknown flag"),
    ("train digits", "unexpected word 'digits': values follow a flag, lists are joined by commas"),
    ("train --inner_lr 3", "--inner_lr: belongs to backdoor --attack imc, not to train"),
    ("train --no-quiet", "--no-quiet: belongs to backdoor --attack imc, not to train"),
    ("backdoor --inner_lr 3", "--inner_lr: belongs to backdoor --attack imc, not to backdoor --attack badnet"),
    ("backdoor --attack pgd", "--attack: must be one of: badnet, imc, got 'pgd'"),
    ("backdoor --attack ibc -h", "--attack: must be one of: badnet, imc, got 'ibc' (nearest: imc)"),
    ("backdoor --attack imc --attack imc", "--attack: given twice"),
    ("adv_attack --target_class -1", "--target_class: must be a whole number of at least 0 or none, got -1"),
    ("report a b --top 101", "--top: must be a whole number from 1 to 100, got 101"),
    ("train --final_lr 0.1", "final_lr must be at most lr (0.025), got 0.1"),
    ("train --nesterov --momentum 0", "nesterov needs a momentum above 0, got momentum 0"),
    ("train --config missing.yaml", "missing.yaml: cannot be read: No such file or directory"),
    ("train --config .", ".: a folder, not a file"),
    ("train --config a.yaml --config b.yaml", "--config: given twice"),
    ("train --pre_conditioner kfac", "--pre_conditioner: K-FAC is left out"),
    ("train --sgm", "--sgm: the skip gradient method is left out"),
    ("train --sgm-gamma 0.5", "--sgm-gamma: the skip gradient method is left out"),
    ("train --rs_sigma 0.1", "--rs_sigma: randomised smoothing is left out"),
    ("train --official", "--official: loading torchvision's weights is left out"),
    ("train --dataset_normalize", "--dataset_normalize: normalising in the data set is left out"),
]  # fmt: skip

FILES = [
    ("epohc: 7", "1: epohc: unknown option (nearest: epoch)"),
    ("# comment\n\nlr: -1", "3: lr: must be a number above 0, got -1"),
    ("lr: .nan", "1: lr: must be a number above 0, got '.nan'"),
    ("lr: 1e999", "1: lr: must be a number above 0, got 1e999"),
    ("lr: '0.1'", "1: lr: must be a number above 0, got '0.1'"),
    ("lr: true", "1: lr: must be a number above 0, got true"),
    ("lr:", "1: lr: must be a number above 0, got nothing"),
    ("lr: [0.1]", "1: lr: must be a number above 0, got [0.1]"),
    ("epoch: 010", "1: epoch: must be a whole number of at least 0, got '010'"),
    ("epoch: 1:30", "1: epoch: must be a whole number of at least 0, got '1:30'"),
    ("epoch: 3.0", "1: epoch: must be a whole number of at least 0, got 3.0"),
    ("suffix: no", "1: suffix: must be text, got no, which YAML reads as false; quotes make it text"),
    ("suffix: 12", "1: suffix: must be text, got 12, which YAML reads as a number; quotes make it text"),
    ("norm_layer: on", "1: norm_layer: must be one of: bn, gn, got on, which YAML reads as true; quotes make it text"),
    ("download: 1", "1: download: must be true or false, got 1"),
    ("mean: 0.5,0.5", "1: mean: must be a list of at least 1, each a number, got '0.5,0.5'"),
    ("mean: []", "1: mean: must be a list of at least 1, each a number, got []"),
    ("mean: [[0.5]]", "1: a list holds plain values only"),
    ("lr: 1\nepoch: 3\nlr: 2", "3: 'lr' is given twice (first in line 1)"),
    ("epoch:\n  default: 3\n  digits: 4\n  digits: 5", "4: 'digits' is given twice (first in line 3)"),
    ("epoch: {}", "1: epoch: must hold a value for at least one data set"),
    ("epoch: {digits: -3}", "1: epoch: must be a whole number of at least 0, got -3"),
    ("epoch:\n  default: 3\n  other: x", "3: epoch: must be a whole number of at least 0, got 'x'"),
    ("epoch: {digits: {a: 3}}", "1: epoch: must hold one plain value for each data set"),
    ("dataset: {digits: cifar10}", "1: dataset: cannot differ by data set"),
    ("inner_lr: -3", "1: inner_lr: must be a number above 0, got -3"),
    ("backdoor: 3", "1: backdoor: a section, must hold options, got 3"),
    ("backdoor: {epohc: 3}", "1: epohc: unknown option (nearest: epoch)"),
    ("imc:\n  inner_lr: 0", "2: inner_lr: must be a number above 0, got 0"),
    ("pgd: {inner_lr: 1}", "1: inner_lr: no option of pgd; it belongs to backdoor --attack imc"),
    ("report: {lr: 1}", "1: lr: no option of report; it belongs to train, backdoor"),
    ("imc: {attack: badnet}", "1: attack: cannot stand in the section of an algorithm"),
    ("imc: {dataset: digits}", "1: dataset: cannot stand in the section of an algorithm"),
    ("attack: fgsm", "1: attack: must be one of: badnet, imc, got 'fgsm'"),
    ("print_config: true", "1: print_config: unknown option"),
    ("sgm: true", "1: sgm: the skip gradient method is left out"),
    ("- lr", "1: must be a mapping from option names to values"),
    ("lr", "1: must be a mapping from option names to values"),
    ("1: 2", "1: the key '1' is not text: put it in quotes"),
    ("no: 2", "1: the key 'no' is not text: put it in quotes"),
    ("? [a, b]\n: 2", "1: the key is not text: put it in quotes"),
    ("lr: 1\n\tepoch: 3", "2: found character '\\t' that cannot start any token"),
    ("lr: [1, 2", "1: expected ',' or ']', but got '<stream end>'"),
    ("lr: 1\n---\nlr: 2", "2: but found another document"),
    ("a: &x 1\nb: *x", "2: aliases (*x) are not read"),
    ("lr: !!python/name:os.system", "1: tags (tag:yaml.org,2002:python/name:os.system) are not read"),
    ("lr: !!float 3", "1: tags (tag:yaml.org,2002:float) are not read"),
    ("<<: {lr: 3}", "1: <<: unknown option"),
    ("a: 1\nlr: \x07", "2: the character U+0007 is not allowed"),
    (b"lr: \xff", " not UTF-8 text (byte 4)"),
    ("lr: 1".encode("utf-16"), " not UTF-8 text (byte 0)"),
    ("[" * 5000, " nested too deeply"),
]  # fmt: skip


def line_of(capsys: pytest.CaptureFixture[str]) -> str:
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    return printed.err.rstrip("\n")


@pytest.mark.parametrize(("argv", "message"), FLAGS, ids=[argv for argv, _ in FLAGS])
def test_a_wrong_command_line(world, capsys, argv: str, message: str) -> None:
    words = argv.split()
    assert world.run(*words) == 2
    line = line_of(capsys)
    expected = f"autovul {words[0]}: {message}"
    # What follows "is left out" is advice, worded freely.
    assert line.startswith(expected) if message.endswith("left out") else line == expected


@pytest.mark.parametrize(("text", "message"), FILES, ids=[str(text)[:40] for text, _ in FILES])
def test_a_wrong_file(world, capsys, text: str | bytes, message: str) -> None:
    world.write("workspace", text, "vision/mine.yaml")
    assert world.run("train") == 2
    line = line_of(capsys)
    expected = f"autovul train: {Path('configs/vision/mine.yaml')}:{message}"
    assert line.startswith(expected) if message.endswith("left out") else line == expected


@pytest.mark.parametrize("layer", ["package", "dotted", "user", "workspace", "file"])
@pytest.mark.parametrize("name", ["base/a.yaml", "vision/b.yml", "base/C.YAML"])
def test_every_file_of_every_layer_is_checked(world, capsys, layer: str, name: str) -> None:
    path = world.write(layer, "epohc: 3", name)
    assert world.run("train", *(["--config", str(path)] if layer == "file" else [])) == 2
    assert f"{Path(name)}:1: epohc: unknown option (nearest: epoch)" in line_of(capsys)


def test_the_same_key_in_two_files_of_a_layer_names_both(world, capsys) -> None:
    world.write("user", "lr: 1", "base/a.yaml")
    world.write("user", "\nlr: 1", "vision/a.yml")
    assert world.run("train") == 2
    line = line_of(capsys)
    assert f"{Path('configs/vision/a.yml')}:2: lr: also given in " in line
    assert f"{Path('configs/base/a.yaml')}:1" in line


def test_a_general_value_that_only_another_command_accepts_is_refused_where_it_is_used(world, capsys) -> None:
    world.write("workspace", "target_class: none")
    assert world.parse("adv_attack").algorithm.target_class is None
    assert world.run("train") == 0
    assert world.run("backdoor") == 2
    assert "target_class: must be a whole number of at least 0, got 'none'" in line_of(capsys)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file(world, capsys) -> None:
    world.write("workspace", "lr: 1").chmod(0)
    assert world.run("train") == 2
    assert "cannot be read: Permission denied" in line_of(capsys)


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a privilege")
def test_a_dangling_link_is_not_passed_over(world, capsys) -> None:
    path = world.write("workspace", "lr: 1")
    path.unlink()
    path.symlink_to("nowhere")
    assert world.run("train") == 2
    assert "cannot be read: No such file" in line_of(capsys)


def test_a_folder_called_like_a_file(world, capsys) -> None:
    world.write("workspace", "", "base/x.yaml/inner")
    assert world.run("train") == 2
    assert "a folder, not a file" in line_of(capsys)


def test_a_long_value_does_not_fill_the_screen(world, capsys) -> None:
    assert world.run("train", "--lr", "x" * 10_000 + "\n") == 2
    assert len(line_of(capsys)) < 160

"""What a user gets wrong, and the one line that answers. Every case is run as typed, through the real commands."""

from __future__ import annotations

import importlib
import io
import json
import pickle
import zipfile

import numpy as np
import pytest
import torch

from autovul.base.checkpoint import save_state

DIGITS = "-d digits"


def answer(capsys, line):
    """The exit status and the error output of a command line."""
    name, *arguments = line.split()
    capsys.readouterr()
    try:
        status = importlib.import_module(f"autovul.{name}").main(arguments)
    except SystemExit as stop:
        status = stop.code
    return status, capsys.readouterr().err


def check(capsys, line, status, parts):
    found, error = answer(capsys, line)
    assert found == status, error
    assert error.count("\n") == 1, error
    assert error.startswith(f"autovul {line.split()[0]}: ")
    assert "Traceback" not in error
    missing = [part for part in parts if part not in error]
    assert not missing, error


@pytest.mark.parametrize(
    "line,parts",
    [
        ("train --lr -1", ["--lr", "above 0", "-1"]),
        ("train --lr nan", ["--lr", "nan"]),
        ("train --lr inf", ["--lr", "inf"]),
        ("train --lr fast", ["--lr", "number", "fast"]),
        ("train --lr", ["--lr", "value"]),
        ("train --lr 0.1 --lr 0.2", ["--lr", "twice"]),
        ("train --lrr 0.1", ["--lrr", "nearest", "--lr"]),
        ("train --epo 3", ["--epo", "--epoch"]),
        ("train --epoch 1.5", ["--epoch", "whole number", "1.5"]),
        ("train --epoch -1", ["--epoch", "at least 0", "-1"]),
        ("train --momentum 1", ["--momentum", "below 1"]),
        ("train --batch_size 0", ["--batch_size", "at least 1"]),
        ("train --OptimType SDG", ["OptimType", "SDG", "nearest", "SGD"]),
        ("train --precision int8", ["--precision", "fp32", "bf16", "int8"]),
        ("train --adv_train_eps 16", ["--adv_train_eps does nothing without --adv_train"]),
        ("train --adv_train_random_init", ["--adv_train_random_init does nothing without --adv_train"]),
        ("train --cutout_length 8", ["--cutout_length does nothing without --cutout"]),
        ("adv_attack --query_num 50", ["--query_num does nothing without --grad_method nes or sgd or hess or zoo"]),
        ("membership --method loss,entropy --max_iter 3", ["--max_iter does nothing without --method boundary"]),
        ("membership --method loss --engine art", ["--engine does nothing without --method boundary"]),
        ("extraction --adaptive_round 7", ["--adaptive_round does nothing without --sampling adaptive"]),
        ("train --no-no_flip", ["the switch is --no_flip, or --flip"]),
        ("train --resume_changed", ["--resume_changed does nothing without --resume"]),
        ("train --amp --precision bf16", ["amp", "precision"]),
        ("train --suffix=/../../elsewhere", ["--suffix", "part of a file's name", "model_dir"]),
        ("train --suffix=_*", ["--suffix", "part of a file's name"]),
        ("train --norm_layer ln", ["--norm_layer", "bn", "gn", "ln"]),
        ("train --seed -1", ["--seed", "from 0 to 4294967295"]),
        ("train --device cuda:99", ["device", "cuda:99"]),
        ("train --download=maybe", ["--download"]),
        ("train --sgm", ["--sgm", "left out"]),
        ("train --randomized_smooth", ["--randomized_smooth", "left out"]),
        ("train --output memory", ["--output", "left out"]),
        ("train --pgd_eps 8", ["--pgd_eps", "adv_attack"]),
        ("train extra", ["extra"]),
        ("train -d cifar11", ["cifar11", "nearest: cifar10"]),
        ("train -d ../cifar10", ["-d", "plain name"]),
        ("train -d digits -m resnet", ["resnet", "nearest", "resnet18_comp"]),
        ("train -d digits -m darts --model_arch drnass", ["drnass", "nearest: drnas"]),
        ("train -d digits -m resnet18_comp --layers 3", ["resnet18_comp takes no layers", "cell networks"]),
        ("train -d digits -m drnas --width 0.5", ["drnas takes no width"]),
        ("train -d digits --model_arch drnas", ["model_arch", "darts"]),
        ("train -d digits -m darts --genotype missing.yaml", ["missing.yaml"]),
        ("train -d digits -m nowhere:build", ["nowhere:build", "No module named", "looked for in", "PYTHONPATH"]),
        ("train -d digits -m json", ["unknown model 'json'", "as json:build"]),
        ("train --config missing.yaml", ["missing.yaml"]),
        ("adv_attack --attack pdg", ["--attack", "pdg", "nearest", "pgd"]),
        ("adv_attack --grad_method black", ["--grad_method", "white", "nes", "black"]),
        ("adv_attack --stop_threshold 2", ["--stop_threshold", "from 0 to 1", "2"]),
        ("adv_attack --grad_method nes --query_num 7", ["query_num", "even", "7"]),
        ("adv_attack -d digits --pgd_eps 1 --pgd_alpha 0.05", ["pgd_eps 1 is read as 1/255", "12.75/255", "255 for"]),
        ("adv_attack --norm 3", ["--norm", "inf", "2"]),
        ("adv_attack --lr 0.1", ["--lr", "train"]),
        ("validate --batch_size 5", ["--batch_size", "belongs to train", "not to validate"]),
        ("grad_var --no_flip", ["--no_flip", "belongs to train", "not to grad_var"]),
        ("backdoor -d digits --no-pretrain --mark_height 40", ["mark_height: a mark of 40", "does not fit"]),
        ("backdoor -d digits --no-pretrain --mark_alpha 1.5", ["--mark_alpha", "from 0 to 1", "1.5"]),
        ("backdoor -d digits --no-pretrain --target_class 12", ["target_class must be from 0 to 9, got 12"]),
        ("membership --sample_num 1", ["--sample_num", "at least 2"]),
        ("reproduce --experiments fig2 --dry_run", ["--experiments", "without a flag"]),
        ("reproduce fig2 --models no_such:build --dry_run", ["no_such:build", "No module named"]),
        ("loss_contour --space input --weights features.conv1.weight", ["weights", "space input"]),
    ],
)
def test_command_line(workspace, capsys, line, parts):
    check(capsys, line, 2, parts)
    assert not [*workspace.iterdir()]


@pytest.mark.parametrize(
    "text,parts",
    [
        ("epohc: 3", [":1:", "epohc", "nearest: epoch"]),
        ("lr: 0.1\nlr: 0.2", [":2:", "lr"]),
        ("lr: -1", [":1:", "lr", "above 0", "-1"]),
        ("lr: .nan", [":1:", "lr"]),
        ("# comment\nepoch: many", [":2:", "epoch", "whole number", "many"]),
        ("epoch: {default: 3, cifar10: 1.5}", [":1:", "epoch", "whole number", "1.5"]),
        ("download: 3", [":1:", "download"]),
        ("- lr", ["mapping"]),
        ("lr: [0.1", [":1:"]),
        ("adv_attack: {lr: 3}", [":1:", "lr"]),
        ("sgm: true", [":1:", "sgm", "left out"]),
        ("lr: !!python/object/apply:os.system [ls]", [":1:"]),
    ],
)
def test_configuration_file(workspace, capsys, text, parts):
    folder = workspace / "configs" / "vision"
    folder.mkdir(parents=True)
    (folder / "mine.yml").write_text(text)
    check(capsys, f"train {DIGITS}", 2, ["mine.yml", *parts])


@pytest.mark.parametrize("name", ["nets", "nets.py", "folder/nets.py", "package.nets"])
@pytest.mark.parametrize("line", ["train -d digits -m {}", "reproduce fig2 --dry_run --models {}"])
def test_a_module_in_place_of_what_it_holds(workspace, capsys, line, name):
    path = workspace / (name if name.endswith(".py") else name.replace(".", "/") + ".py")
    path.parent.mkdir(exist_ok=True)
    path.write_text("raise RuntimeError('imported')")
    spec = f"{path.stem if name.endswith('.py') else name}:build"
    check(capsys, line.format(name), 2, [f"unknown model {name!r}: your own is named by", f"as {spec}, where build"])


@pytest.mark.parametrize("name, more", [("mine", ""), ("other", " -d mine")])
def test_an_archive_in_place_of_its_folder(workspace, capsys, name, more):
    (workspace / "folder").mkdir()
    (workspace / "folder" / "mine.npz").write_text("")
    line = f"validate -d {name} --data_path folder/mine.npz"
    check(capsys, line, 2, [f"is a file; give the folder that it lies in:{more} --data_path folder\n"])


def test_data_that_is_not_there(workspace, capsys):
    check(capsys, "train", 1, ["cifar10", "--download", "cifar10.npz"])
    check(capsys, "train -d imagenet32", 1, ["imagenet32", "train_data_batch_1", "image-net.org"])
    check(capsys, "validate -d folder", 1, ["folder"])


def test_a_network_that_does_not_exist_is_told_before_data_are_looked_for(workspace, capsys):
    for command in ("train", "validate", "adv_attack", "grad_var", "loss_contour"):
        check(capsys, f"{command} -m resnet18", 2, ["resnet18", "resnet18_comp"])
    check(capsys, "train -m nothing_there:build", 2, ["nothing_there"])
    check(capsys, "train -m darts --genotype nothing.yaml", 2, ["nothing.yaml"])


def test_data_that_is_damaged(workspace, capsys):
    folder = workspace / "data" / "data" / "image" / "mine"
    folder.mkdir(parents=True)
    (folder / "mine.npz").write_bytes(b"PK\x03\x04 not an archive")
    check(capsys, "train -d mine", 1, ["mine.npz"])
    images, labels = np.zeros((4, 8, 8, 3), np.float32), np.zeros(4, np.int64)
    np.savez(folder / "mine.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    check(capsys, "train -d mine", 1, ["mine.npz", "x_train", "uint8"])


@pytest.fixture
def weights(workspace):
    return workspace / "data" / "model" / "image" / "digits" / "resnet18_comp.pth"


def test_weights_that_are_not_there(weights, capsys):
    for command in ("validate", "adv_attack"):
        check(
            capsys, f"{command} {DIGITS}", 1, ["python -m autovul.train -m resnet18_comp -d digits", str(weights.name)]
        )


def test_the_command_that_makes_weights_makes_those_that_are_missing(workspace, capsys):
    line = f"validate {DIGITS} -m darts --model_arch drnas --layers 3 --init_channels 4 --auxiliary --model_dir mine"
    words = "train -m darts --model_arch=drnas --layers=3 --init_channels=4 --auxiliary --model_dir=mine -d digits"
    check(capsys, line, 1, [words, "mine/image/digits/drnas.pth"])
    line = f"validate {DIGITS} --width 0.125 --norm_layer gn --suffix _x"
    check(capsys, line, 1, ["train -m resnet18_comp --width=0.125 --norm_layer=gn -d digits --suffix=_x"])


def test_and_reads_the_same_data(workspace, capsys):
    (workspace / "kept").mkdir()
    images, labels = np.random.RandomState(0).randint(0, 255, (9, 16, 16), np.uint8), np.arange(9) % 3
    np.savez(workspace / "kept" / "mine.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    for command in ("validate", "membership", "loss_contour", "grad_var --pretrain"):
        line = f"{command} -d mine --data_path kept --num_classes 2 -m resnet18_comp"
        check(capsys, line, 1, ["train -m resnet18_comp --data_path=kept --num_classes=2 -d mine`"])


@pytest.mark.parametrize(
    "line, option",
    [
        ("train", "result_dir"),
        ("train", "log_dir"),
        ("train", "model_dir"),
        ("backdoor --no-pretrain", "attack_dir"),
        ("grad_var", "result_dir"),
        ("loss_contour --no-pretrain", "attack_dir"),
        ("validate", "result_dir"),
    ],
)
def test_a_place_that_cannot_be_written_is_told_before_the_work(workspace, capsys, line, option):
    (workspace / "file").write_text("")
    check(capsys, f"{line} {DIGITS} --{option} file/deeper", 1, [option, "file/deeper", str(workspace / "file")])
    assert [*workspace.iterdir()] == [workspace / "file"]


class RunsCode:
    def __reduce__(self):
        return (open, ("it_ran", "w"))


def _flipped(path):
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:  # the archive pads its entries, and a bit of padding may be anything
        entry = next(name for name in archive.namelist() if name.endswith("/data/0"))
        content[content.find(archive.read(entry))] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage,parts",
    [
        (_flipped, ["damaged"]),
        (lambda path: path.write_bytes(path.read_bytes()[:-1000]), ["truncated or damaged"]),
        (lambda path: path.write_bytes(b""), ["empty"]),
        (lambda path: path.write_text("hello"), ["not written by PyTorch"]),
        (lambda path: path.write_bytes(pickle.dumps(RunsCode())), ["resnet18_comp.pth"]),
        (lambda path: torch.save(RunsCode(), path), ["refused", "open"]),
        (lambda path: torch.save([1, 2], path), ["a list of 2 entries"]),
        (
            lambda path: save_state(path, {"weight": torch.ones(2)}),
            ["does not fit", "missing", "features.conv1.weight"],
        ),
    ],
)
def test_weights_that_cannot_be_used(workspace, weights, capsys, damage, parts):
    save_state(weights, {f"layer{i}.weight": torch.rand(200) for i in range(20)})
    damage(weights)
    check(capsys, f"validate {DIGITS}", 1, [weights.name, *parts])
    assert not (workspace / "it_ran").exists()


def test_weights_of_another_network_are_recognised(weights, capsys):
    from autovul.vision import models

    with torch.device("meta"):
        state = models.create("dla34_comp").state_dict()
    save_state(weights, {key: torch.zeros(value.shape, dtype=value.dtype) for key, value in state.items()})
    check(capsys, f"validate {DIGITS}", 1, ["does not fit resnet18_comp", "looks like dla34_comp with 10 classes"])


def test_a_zip_that_torch_did_not_write(weights, capsys):
    weights.parent.mkdir(parents=True)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("readme.txt", "hello")
    weights.write_bytes(content.getvalue())
    check(capsys, f"validate {DIGITS}", 1, [weights.name])


@pytest.mark.parametrize(
    "source,parts",
    [
        ("x = 1", ["has no function or class 'build'"]),
        ("def build(): return 3", ["Module", "int"]),
        ("def build(): raise RuntimeError('no such file: weights.bin')", ["no such file: weights.bin"]),
        ("from torch import nn\ndef build(): return nn.Flatten()", ["logits"]),
        ("import nothing_like_this", ["nothing_like_this"]),
        ("def build(:", ["invalid syntax"]),
    ],
)
def test_own_models(workspace, capsys, source, parts):
    name = f"mine_{abs(hash(source))}"  # Python imports a module of one name only once
    (workspace / f"{name}.py").write_text(source)
    check(capsys, f"train {DIGITS} -m {name}:build", 2, parts)


@pytest.mark.parametrize(
    "change,parts",
    [
        (lambda g: g["normal"][0].__setitem__(0, "sep_conv_9x9"), ["sep_conv_9x9", "nearest", "sep_conv_3x3"]),
        (lambda g: g["normal"][0].__setitem__(1, 7), ["7"]),
        (lambda g: g["normal"].pop(), ["normal"]),
        (lambda g: g["reduce_concat"].append(99), ["reduce_concat", "99"]),
        (lambda g: g.pop("reduce"), ["reduce"]),
        (lambda g: g.update(extra=1), ["extra"]),
    ],
)
def test_genotype_files(workspace, capsys, change, parts):
    cell = [["sep_conv_3x3", 0], ["skip_connect", 1], ["sep_conv_3x3", 0], ["max_pool_3x3", 1]]
    genotype = {
        "normal": [list(edge) for edge in cell], "normal_concat": [2, 3],
        "reduce": [list(edge) for edge in cell], "reduce_concat": [2, 3],
    }  # fmt: skip
    change(genotype)
    (workspace / "cell.json").write_text(json.dumps(genotype))
    check(capsys, f"train {DIGITS} -m darts --genotype cell.json", 2, ["cell.json", *parts])


def test_reports(workspace, capsys):
    check(capsys, "report nowhere", 1, ["nowhere", "no such file"])


def test_the_program_itself(capsys):
    from autovul.__main__ import main

    assert main(["trian"]) == 2
    error = capsys.readouterr().err
    assert "unknown command 'trian'" in error
    assert "train" in error
    assert main([]) == 2

"""The help page, and the Markdown reference, say what the declarations and the package's files say."""

from __future__ import annotations

import pytest

from autovul.base import cli


def page(world, capsys, *argv: str) -> str:
    with pytest.raises(SystemExit) as stop:
        world.parse(*argv)
    assert stop.value.code == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    return printed.out


def entry(text: str, flag: str) -> str:
    """What the page says of one flag, on one line."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("  ") and flag in line.split())
    rest = iter(lines[start + 1 :])
    words = lines[start].split()
    for line in rest:
        if not line.startswith(" " * 20):
            break
        words += line.split()
    return " ".join(words)


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_flag_is_explained_with_default_range_and_unit(world, capsys, flag: str) -> None:
    text = page(world, capsys, "train", flag)
    assert entry(text, "--dataset") == "-d, --dataset TEXT Which data set. (default: cifar10)"
    assert (
        entry(text, "--batch_size")
        == "--batch_size N Images in a step. (a whole number of at least 1; unit: images; default: 96)"
    )
    assert entry(text, "--momentum") == "--momentum X Momentum. (a number from 0 to 1; default: 0.9)"
    assert entry(text, "--norm_layer") == "--norm_layer NAME Norm layer. (one of: bn, gn; default: bn)"
    assert entry(text, "--grad_clip").endswith("(a number above 0 or none; default: none)")
    assert entry(text, "--size") == "--size A,B,… Height and width. (a list of 2, each a whole number; default: 32,32)"
    assert entry(text, "--threads").startswith(
        "--threads NAME|N Threads. (one of: auto or a whole number of at least 1;"
    )
    assert entry(text, "--suffix").endswith("(default: '')")
    assert entry(text, "--save") == "--save Save the model. (default: on; --no-save switches it off)"
    assert entry(text, "--download") == "--download Allow downloads. (default: off)"
    assert entry(text, "--config").startswith("--config PATH ")
    assert text.rstrip().endswith("examples:\n  autovul train -d digits --epoch 3")


@pytest.mark.parametrize(("columns", "width"), [("40", 80), ("80", 80), ("90", 90), ("300", 100)])
@pytest.mark.parametrize("command", ["train", "backdoor", "adv_attack", "report"])
def test_the_page_fits_the_terminal(world, capsys, monkeypatch, columns: str, width: int, command: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    text = page(world, capsys, command, "-h")
    assert max(map(len, text.splitlines())) <= width
    declared = world.commands[command].declared(next(iter(world.commands[command].algorithms()), None))
    assert all(each.flags[-1] in text if each.flags else each.name in text for each in declared)


def test_defaults_are_those_of_the_package_and_not_the_users(world, capsys) -> None:
    world.write(
        "package", "lr: {default: 0.05, digits: 0.1, cifar10: 0.05}\nepoch: 9\nbackdoor: {epoch: {digits: 3}}\nsave: no"
    )
    world.write("user", "epoch: 77")
    text = page(world, capsys, "train", "-h")
    assert entry(text, "--lr").endswith("(a number above 0; default: 0.05; digits: 0.1)")
    assert entry(text, "--epoch").endswith("default: 9)")
    assert entry(text, "--save").endswith("(default: off)")
    assert entry(page(world, capsys, "backdoor", "-h"), "--epoch").endswith("default: 9; digits: 3)")


def test_the_page_shows_the_chosen_algorithm_and_how_to_see_the_others(world, capsys) -> None:
    text = page(world, capsys, "backdoor", "--attack", "imc", "-h")
    assert "\nimc:\n" in text
    assert "--inner_lr" in text
    assert "autovul backdoor --attack NAME -h" in text
    assert "There are also: badnet" in text
    assert "--inner_lr" not in page(world, capsys, "backdoor", "-h")


def test_help_comes_before_other_mistakes_and_a_users_broken_file(world, capsys) -> None:
    world.write("user", "epohc: 3")
    assert page(world, capsys, "train", "--lr", "-1", "--nonsense", "-h").startswith("usage: autovul train [options]")
    assert page(world, capsys, "report", "-h").startswith("usage: autovul report [options] [results …]")


def test_the_reference_holds_every_option_once_a_command_or_algorithm(world) -> None:
    world.write("package", "lr: {default: 0.05, digits: 0.1}")
    text = cli.reference(world.commands.values(), world.layers)
    assert "| `-d`, `--dataset` | cifar10 | text | Which data set. |" in text
    assert "| `--lr` | 0.05; digits: 0.1 | a number above 0 | Learning rate. |" in text
    assert "| `--pgd_eps` | 8/255 | a number of at least 0 | Radius. |" in text
    assert "| `results …` | ./data/result | a list of at least 1, each text | Folders of results. |" in text
    assert "### backdoor: `--attack imc`" in text
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    expected = sum(
        len(command.common()) + sum(len(command.own(name)) for name in command.algorithms())
        for command in world.commands.values()
    )
    general = ["`--config`", "`--print_config`", "`-h`, `--help`"]
    assert [row.split(" | ")[0] for row in rows[:3]] == [f"| {flags}" for flags in general]
    assert len(rows) == len(general) + expected
    assert all(line.count("|") == 5 for line in rows)

"""How commands end: the status and the line for each kind of error; and the dispatcher, which imports little."""

from __future__ import annotations

import errno
import importlib
import io
import subprocess
import sys
import types
from pathlib import Path

import pytest

import autovul
from autovul import __main__ as dispatcher
from autovul.base import cli
from autovul.base.errors import Interrupted, UsageError, UserError
from autovul.base.progress import Progress

ERRORS = [
    (UsageError("--lr: no"), 2, "--lr: no"),
    (UserError("the checkpoint\nis damaged"), 1, "the checkpoint is damaged"),
    (Interrupted("stopped at epoch 3", 143), 143, "stopped at epoch 3"),
    (KeyboardInterrupt(), 130, "interrupted"),
    (OSError(errno.ENOSPC, "No space left on device", "x.pth"), 1, "no space left on the disk for x.pth"),
    (OSError(errno.ENOSPC, "No space left on device"), 1, "no space left on the disk"),
    (FileNotFoundError(errno.ENOENT, "No such file or directory", "x.pth"), 1, "x.pth: No such file or directory"),
    (FileNotFoundError("no weights at x.pth"), 1, "no weights at x.pth"),
    (PermissionError(errno.EACCES, "Permission denied", "out"), 1, "out: Permission denied"),
    (
        RuntimeError("[enforce fail] PytorchStreamWriter failed writing file data/1: file write failed"),
        1,
        "a file could not be written; is the disk full? "
        "([enforce fail] PytorchStreamWriter failed writing file data/1: file write failed)",
    ),
]


@pytest.mark.parametrize(("error", "status", "line"), ERRORS, ids=[repr(error) for error, _, _ in ERRORS])
def test_an_error_that_is_no_defect_is_a_line_and_a_status(capsys, error, status: int, line: str) -> None:
    @cli.command("train")
    def main(argv=None) -> None:
        raise error

    assert main([]) == status
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", f"autovul train: {line}\n")


@pytest.mark.parametrize("rank", ["0", "1"])
@pytest.mark.parametrize("error", [UsageError("no"), Interrupted("stopped", 143), UserError("out of memory")])
def test_of_several_processes_the_first_tells_what_happens_to_all(capsys, monkeypatch, error, rank: str) -> None:
    @cli.command("train")
    def main(argv=None) -> None:
        raise error

    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("LOCAL_RANK", rank)
    assert main([]) in (1, 2, 143)
    told = capsys.readouterr().err
    assert told == (f"autovul train: {error}\n" if rank == "0" or type(error) is UserError else "")


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("x"), KeyError("x"), OSError(errno.EIO, "I/O error")])
def test_a_defect_keeps_its_traceback(error: Exception) -> None:
    @cli.command("train")
    def main(argv=None) -> None:
        raise error

    with pytest.raises(type(error)):
        main([])


@pytest.mark.parametrize(("result", "status"), [(None, 0), (0, 0), (3, 3)])
def test_the_status_of_a_command_that_ends_well(result: int | None, status: int) -> None:
    @cli.command("train")
    def main(argv=None) -> int | None:
        """Its documentation."""
        return result

    assert main() == status
    assert main.__doc__ == "Its documentation."


def python(code: str, *flags: str) -> subprocess.CompletedProcess[str]:
    root = Path(autovul.__file__).parents[1]
    return subprocess.run(
        [sys.executable, *flags, "-c", code], capture_output=True, text=True, cwd=root, timeout=60, check=False
    )


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
def test_a_reader_that_goes_away_is_met_with_silence() -> None:
    code = """
import os, sys
from autovul.base import cli
read, write = os.pipe()
os.dup2(write, 1)
os.close(read)
@cli.command("report")
def main(argv=None):
    print("x" * 10)
sys.exit(main())
"""
    finished = python(code)
    assert (finished.returncode, finished.stderr) == (141, "")


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"], ["trian"], []])
def test_the_dispatcher_imports_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
import sys
from autovul.__main__ import main
main({arguments!r})
heavy = {{"torch", "numpy", "pydantic", "torchvision", "yaml"}} & set(sys.modules)
sys.exit(f"imported: {{heavy}}" if heavy else 0)
"""
    finished = python(code)
    assert finished.returncode == 0, finished.stderr


def test_configuration_needs_no_torch() -> None:
    finished = python(
        "import sys; from autovul.base import cli; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert finished.returncode == 0, finished.stderr


def test_help_lists_all_commands(capsys) -> None:
    assert dispatcher.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text and purpose in text for name, purpose in dispatcher.COMMANDS.items())
    assert max(map(len, text.splitlines())) <= 80


def test_version(capsys) -> None:
    assert dispatcher.main(["--version"]) == 0
    assert capsys.readouterr().out == f"autovul {autovul.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["trian"], "autovul: unknown command 'trian' (nearest: train); autovul --help lists them"),
        (["--trian"], "autovul: unknown command '--trian' (nearest: train); autovul --help lists them"),
        ([], "autovul: a command is missing; autovul --help lists them"),
        ([""], "autovul: a command is missing; autovul --help lists them"),
    ],
)
def test_an_unknown_command(capsys, arguments: list[str], line: str) -> None:
    assert dispatcher.main(arguments) == 2
    assert capsys.readouterr().err == f"{line}\n"


@pytest.mark.parametrize("spelled", ["adv_attack", "adv-attack"])
def test_a_command_runs_with_its_arguments_and_its_status_is_handed_on(monkeypatch, spelled: str) -> None:
    seen = []
    module = types.SimpleNamespace(main=lambda argv: seen.append(argv) or 7)
    monkeypatch.setattr(importlib, "import_module", {"autovul.adv_attack": module}.__getitem__)
    assert dispatcher.main([spelled, "--lr", "3"]) == 7
    assert seen == [["--lr", "3"]]


def test_an_interrupt_while_a_command_is_being_imported(monkeypatch) -> None:
    def interrupted(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib, "import_module", interrupted)
    assert dispatcher.main(["train"]) == 130


def test_the_module_runs_as_a_program() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "autovul", "trian"],
        capture_output=True, text=True, cwd=Path(autovul.__file__).parents[1], timeout=60, check=False,
    )  # fmt: skip
    assert finished.returncode == 2
    assert finished.stderr.count("\n") == 1


def test_whatever_is_wrong_with_a_file_is_a_line(capsys) -> None:
    @cli.command("train")
    def main(argv=None) -> None:
        raise OSError(errno.ENAMETOOLONG, "File name too long", "data/xxx")

    assert main([]) == 1
    assert capsys.readouterr().err == "autovul train: data/xxx: File name too long\n"


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_what_a_terminal_cannot_write_is_no_error(monkeypatch, encoding) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))

    @cli.command("report")
    def main(argv=None) -> None:
        print("NAS \u2212 manual: 3")

    assert main([]) == 0
    assert raw.getvalue() == b"NAS ? manual: 3\n"


def test_without_a_terminal_nothing_is_said_and_nothing_fails(monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)

    @cli.command("train")
    def main(argv=None) -> None:
        show = Progress()
        show.start(1, 0)
        show.say("a line")
        show.advance("a step")
        show.close()

    assert main([]) == 0

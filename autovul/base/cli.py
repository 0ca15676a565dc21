"""From a command line and configuration files to checked settings, and from errors to one line and an exit status."""

from __future__ import annotations

import errno
import functools
import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autovul.base import config
from autovul.base.config import Configuration, Layer
from autovul.base.errors import Interrupted, UsageError, UserError, nearest
from autovul.base.options import OptionError, Options
from autovul.base.settings import flags, option_help
from autovul.base.settings.command import AlgorithmChoice, Command, Declared, builtin
from autovul.base.settings.flags import Given
from autovul.base.settings.known_options import LEFT_OUT, KnownOptions
from autovul.base.settings.option_help import reference

__all__ = ["AlgorithmChoice", "Command", "KnownOptions", "Settings", "command", "parse", "reference"]

_DISK_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
# torch reports a full disk as a RuntimeError of its archive writer.
_TORCH_WRITER = ("PytorchStreamWriter failed", "unexpected pos", "No space left on device")


@dataclass(frozen=True)
class Settings:
    """What a command runs with. Each group is an attribute: ``settings.training.lr``.

    Args:
        command: The command's name.
        groups: The options by attribute name; those of the algorithm are ``algorithm``.
        algorithm_name: The canonical name of the algorithm, where the command has a choice.
        dataset: The name of the data set in use, where the command has one.
        values: Every option's value.
        sources: Where each value comes from: ``default``, ``flag --lr``, ``argument`` or ``file:line``.
        config_file: The file of ``--config``, where there is one.
    """

    command: str
    groups: Mapping[str, Options]
    algorithm_name: str | None
    dataset: str | None
    values: Mapping[str, Any]
    sources: Mapping[str, str]
    config_file: Path | None

    def __getattr__(self, name: str) -> Any:
        groups = self.__dict__.get("groups", {})
        if name not in groups:
            raise AttributeError(f"settings of this command have no group {name!r}{nearest(name, groups)}")
        return groups[name]

    def effective(self) -> dict[str, Any]:
        """Every option's value, flat and ready for JSON."""
        return {name: _plain(value) for name, value in self.values.items()}

    def source(self, name: str) -> str:
        """Where an option's value comes from."""
        return self.sources[name]


def parse(
    command: Command,
    argv: Sequence[str] | None,
    known: KnownOptions,
    layers: Sequence[Layer] | None = None,
) -> Settings:
    """Read flags and configuration files and check everything in them.

    Args:
        command: The command at hand; `known` must cover it.
        argv: The arguments after the command's name; None for the process's own.
        known: All names that may occur in files.
        layers: The configuration files, lowest first; None for `config.default_layers`.

    Raises:
        UsageError: The first mistake.
        ValueError: `known` does not cover the command.
        SystemExit: With status 0, after ``-h`` or ``--print_config`` has been answered.
    """
    if command.name not in known.sections:
        raise ValueError(f"known does not cover the command {command.name!r}")
    argv = sys.argv[1:] if argv is None else [*argv]
    layers = config.default_layers() if layers is None else layers
    selected = flags.collect(argv, [*builtin(), *command.selectors()])[0]
    if flags.asks_for_help(argv):
        files = config.load(layers[:1], known)
        print(option_help.page(command, _algorithm(command, selected, files, None), files), flush=True)
        raise SystemExit(0)
    config_file = selected["config"].value if "config" in selected else None
    files = config.load(layers, known, config_file)
    dataset = _dataset(command, selected, files)
    algorithm = _algorithm(command, selected, files, dataset)
    files = files.with_recipe(command, algorithm)
    given = _given(command, algorithm, argv, known)
    print_config = given.pop("print_config", Given(False, "")).value
    given.pop("config", None)
    settings = _settings(command, algorithm, dataset, given, files, config_file)
    _require_effect(command.declared(algorithm), given, settings.values)
    for line in files.warnings(dataset):
        print(f"autovul {command.name}: warning: {line}", file=sys.stderr)
    if print_config:
        print(option_help.table(command, algorithm, settings.values, settings.sources), flush=True)
        raise SystemExit(0)
    return settings


def command(name: str) -> Callable[[Callable[[Sequence[str] | None], int | None]], Callable[..., int]]:
    """A decorator for a command's ``main(argv=None)``: errors become one line on stderr and an exit status.

    Status 2 is a mistake in what was asked for, 1 any other failure that is not the program's; 130 and 143 an
    interruption, 141 a reader that went away. Other exceptions are defects and keep their traceback.
    """

    def decorate(main: Callable[[Sequence[str] | None], int | None]) -> Callable[..., int]:
        @functools.wraps(main)
        def run(argv: Sequence[str] | None = None) -> int:
            _speak_anyway()
            try:
                status = main(argv)
                if sys.stdout is not None:  # closed, or a program without a console
                    sys.stdout.flush()
            except BrokenPipeError:
                # Python flushes stdout once more at exit; that must not fail again.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                return 141
            except (Exception, KeyboardInterrupt) as error:
                answer = _answer(error)
                if answer is None:
                    raise
                status, line = answer
                if not (isinstance(error, UsageError | Interrupted) and _is_one_of_several()):
                    print(f"autovul {name}: {' '.join(line.split())}", file=sys.stderr)
            return status or 0

        return run

    return decorate


def _speak_anyway() -> None:
    """Let streams of another encoding than UTF-8 write "?" for what they do not know, rather than fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower().replace("-", "") != "utf8":
            stream.reconfigure(errors="replace")


def _is_one_of_several() -> bool:
    """Whether torchrun has started this process beside its machine's first, which tells what happens to all."""
    return "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("LOCAL_RANK", "0") != "0"


def _answer(error: BaseException) -> tuple[int, str] | None:
    """The exit status and the line for an error that is not a defect of the program."""
    match error:
        case Interrupted():
            return error.status, str(error)
        case UsageError():
            return 2, str(error)
        case UserError():
            return 1, str(error)
        case KeyboardInterrupt():
            return 130, "interrupted"
        case OSError(errno=number) if number in _DISK_FULL:
            return 1, f"no space left on the disk{f' for {error.filename}' if error.filename else ''}"
        case OSError() if error.filename:
            return 1, f"{error.filename}: {error.strerror or error}"
        case FileNotFoundError() | PermissionError() | IsADirectoryError() | NotADirectoryError():
            return 1, str(error)
        case RuntimeError() if any(sign in str(error) for sign in _TORCH_WRITER):
            return 1, f"a file could not be written; is the disk full? ({error})"
    return None


def _dataset(command: Command, selected: Mapping[str, Given], files: Configuration) -> str | None:
    for each in command.selectors():
        if each.name == command.dataset_option:
            return _resolve(each, selected, files, None, (command.name,)).value
    return None


def _algorithm(
    command: Command, selected: Mapping[str, Given], files: Configuration, dataset: str | None
) -> str | None:
    for each in command.selectors():
        if each.group == "":
            return _resolve(each, selected, files, dataset, (command.name,)).value
    return None


def _resolve(
    each: Declared, given: Mapping[str, Given], files: Configuration, dataset: str | None, sections: Sequence[str]
) -> Given:
    """An option's value: from its flag, else from the files, else its default."""
    if each.name in given:
        return given[each.name]
    found = files.value(each, dataset, sections)
    return Given(*found) if found else Given(each.default, "default")


def _given(command: Command, algorithm: str | None, argv: Sequence[str], known: KnownOptions) -> dict[str, Given]:
    declared = [*builtin(), *command.declared(algorithm)]
    given, unknown, words = flags.collect(argv, declared)
    if unknown:
        raise UsageError(f"{unknown[0]}: {_unknown_flag(unknown[0], command, algorithm, declared, known)}")
    return {**given, **flags.positional(declared, words, argv)}


def _require_effect(declared: Sequence[Declared], given: Mapping[str, Given], values: Mapping[str, Any]) -> None:
    """No flag changes an option that does nothing. A file may: it is written for many command lines."""
    for each in declared:
        if not each.needs or each.name not in given or values[each.name] == each.default:
            continue
        name, _, listed = each.needs.partition("=")
        suiting, chosen = listed.split("|"), values[name]
        several = chosen if isinstance(chosen, (list, tuple)) else (chosen,)
        if not (any(one in suiting for one in several) if listed else chosen):
            wanted = f"--{name} {' or '.join(suiting)}".rstrip()
            raise UsageError(f"{each.flags[-1]} does nothing without {wanted}")


def _unknown_flag(
    flag: str, command: Command, algorithm: str | None, declared: Sequence[Declared], known: KnownOptions
) -> str:
    spelled = flags.spelling(flag)
    name = spelled.removeprefix("--")
    if name not in known.owners:  # the negation of a switch, if it is not a name that begins so
        name = name.removeprefix("no_")
    for each in declared:
        if each.name == name:
            if each.is_switch:
                return f"the switch is {each.flags[-1]}, or {each.negation}"
            return (
                "is given as words, without a flag" if each.positional else f"{each.flags[-1]} takes a value, no switch"
            )
    if name in known.owners:
        here = f"{command.name} --{command.algorithm.flag} {algorithm}" if command.algorithm else command.name
        return f"belongs to {known.owner(name)}, not to {here}"
    names = [each.name for each in declared if not each.positional]
    return LEFT_OUT.get(name) or f"unknown flag{nearest(name, names, count=1).replace(': ', ': --')}"


def _settings(
    command: Command,
    algorithm: str | None,
    dataset: str | None,
    given: Mapping[str, Given],
    files: Configuration,
    config_file: Path | None,
) -> Settings:
    sections = (algorithm, command.name) if algorithm else (command.name,)
    explicit: dict[str, dict[str, Any]] = {group: {} for group in command.groups}
    sources: dict[str, str] = {}
    declared = command.declared(algorithm)
    resolved = {each.name: _resolve(each, given, files, dataset, sections) for each in declared}
    misplaced = {*command.misplaced({name: each.value for name, each in resolved.items()})} - set(given)
    for each in declared:
        value, source = resolved[each.name].value, resolved[each.name].source
        if each.name in misplaced and source != "default":
            sources[each.name] = f"default (that of {source} does not suit)"
            continue
        sources[each.name] = source
        if each.group and source != "default":
            explicit.setdefault(each.group, {})[each.name] = value
    classes = dict(command.groups)
    values: dict[str, Any] = {}
    if command.algorithm and algorithm:
        classes["algorithm"] = command.algorithm.registry.get(algorithm)
        values[command.algorithm.flag] = algorithm
    groups = {name: _build(options, explicit.get(name, {})) for name, options in classes.items()}
    for group in groups.values():
        values.update({name: getattr(group, name) for name in type(group).model_fields})
    effective = {name: values[name] for name in sources}
    return Settings(command.name, groups, algorithm, dataset, effective, sources, config_file)


def _build(options: type[Options], values: Mapping[str, Any]) -> Options:
    try:
        return options(**values)
    except OptionError as error:
        raise OptionError(f"{error.option}: {error.rule}" if error.option else error.rule or str(error)) from None


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value

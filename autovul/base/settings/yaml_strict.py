"""A YAML subset without surprises: every value knows its line, and what YAML leaves to chance is refused.

Deviations from YAML 1.1: ``1e-2`` is a number; ``010``, ``1:30``, ``1_000``, dates and ``.inf`` are text; duplicate
keys, aliases, tags and keys that are not text are errors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from autovul.base.errors import UsageError
from autovul.base.settings.option_types import INTEGER, LONGEST_NUMBER, NUMBER, quote

ENDINGS = (".yaml", ".yml")
_PREFIX = "tag:yaml.org,2002:"
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


@dataclass(frozen=True)
class Located:
    """A value and where it stands.

    Args:
        value: A scalar, a list of scalars, or a mapping from text to `Located`.
        place: ``file:line``.
        text: The scalar or list as the file writes it, more or less.
    """

    value: Any
    place: str
    text: str = ""


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # none of YAML 1.1's

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()
        problem = None
        if isinstance(event, yaml.AliasEvent):
            problem = f"aliases (*{event.anchor}) are not read"
        elif getattr(event, "tag", None) is not None:
            problem = f"tags ({event.tag}) are not read"
        if problem:
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        return super().compose_node(parent, index)


def _whole(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?:{pattern})\Z")


_Loader.add_implicit_resolver(f"{_PREFIX}null", _whole("~|null|Null|NULL|"), None)
_Loader.add_implicit_resolver(f"{_PREFIX}bool", re.compile(rf"(?i:{'|'.join(_BOOLEANS)})\Z"), None)
_Loader.add_implicit_resolver(f"{_PREFIX}int", _whole(INTEGER.pattern), None)
_Loader.add_implicit_resolver(f"{_PREFIX}float", _whole(NUMBER.pattern), None)


def load(path: Path) -> dict[str, Located]:
    """The mapping that a file holds; empty for a file of comments only.

    Raises:
        UsageError: The file cannot be read, or is not a mapping of this subset; the message opens with ``file:line``.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except IsADirectoryError:
        raise UsageError(f"{path}: a folder, not a file") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise UsageError(f"{path}:{mark.line + 1 if mark else 1}: {error.problem or error.context}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UsageError(f"{path}:{line}: the character U+{error.character:04X} is not allowed") from None
    except RecursionError:
        raise UsageError(f"{path}: nested too deeply") from None
    if node is None:
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise UsageError(f"{_place(path, node)}: must be a mapping from option names to values")
    return dict(_mapping(path, node))


def _mapping(path: Path, node: yaml.MappingNode) -> Mapping[str, Located]:
    found: dict[str, Located] = {}
    for key_node, value_node in node.value:
        place = _place(path, key_node)
        if key_node.tag != f"{_PREFIX}str":
            what = f" {key_node.value!r}" if isinstance(key_node, yaml.ScalarNode) else ""
            raise UsageError(f"{place}: the key{what} is not text: put it in quotes")
        key = key_node.value
        if key in found:
            raise UsageError(
                f"{place}: {quote(key)} is given twice (first in line {found[key].place.rpartition(':')[2]})"
            )
        found[key] = _located(path, key_node, value_node)
    return found


def _located(path: Path, key_node: yaml.Node, node: yaml.Node) -> Located:
    place = _place(path, key_node)
    if isinstance(node, yaml.MappingNode):
        return Located(_mapping(path, node), place)
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            if not isinstance(item, yaml.ScalarNode):
                raise UsageError(f"{_place(path, item)}: a list holds plain values only")
        return Located([_scalar(item) for item in node.value], place, f"[{', '.join(i.value for i in node.value)}]")
    return Located(_scalar(node), place, node.value or ("" if node.tag == f"{_PREFIX}str" else "nothing"))


def _scalar(node: yaml.Node) -> Any:
    match node.tag.removeprefix(_PREFIX):
        case "null":
            return None
        case "bool":
            return _BOOLEANS[node.value.lower()]
        case "int" if len(node.value) < LONGEST_NUMBER:
            return int(node.value)
        case "float":
            return float(node.value)
    return node.value


def _place(path: Path, node: yaml.Node) -> str:
    return f"{path}:{node.start_mark.line + 1}"

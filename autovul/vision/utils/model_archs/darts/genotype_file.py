"""Genotypes in files. What is read is data: names and numbers, checked one by one, never evaluated."""

from __future__ import annotations

import ast
import itertools
import json
import re
import reprlib
import textwrap
from pathlib import Path
from typing import Any, TypeGuard

import yaml

from autovul.base.atomic import whole_file
from autovul.base.errors import UsageError, nearest
from autovul.vision.utils.model_archs.darts.genotype import NUM_INPUTS, OPERATIONS, Edge, Genotype

MAX_NODES = 12
MAX_BYTES = 64 * 1024
_AS_PRINTED = re.compile(r"^[^#\n]*\bGenotype\(", re.MULTILINE)


class GenotypeError(UsageError, ValueError):
    """A file that should hold a genotype does not."""


def load_genotype(path: str | Path) -> Genotype:
    """Read a genotype from a file.

    The file is a mapping with the keys of `Genotype`: ``normal`` and ``reduce`` are lists of ``[operation, state]``,
    ``normal_concat`` and ``reduce_concat`` lists of states. Or it is the text that DARTS prints,
    ``Genotype(normal=[('sep_conv_3x3', 1), …], normal_concat=range(2, 6), …)``.

    Args:
        path: A ``.json`` file, or YAML under any other ending, or DARTS's text under any ending; at most 64 KiB.

    Raises:
        GenotypeError: The file is missing, neither of these, or has a cell that cannot be built (unknown operation, odd
            number of edges, more than 12 nodes, a state that does not exist yet, an empty concatenation). The
            message names file, cell and edge.
    """
    path = Path(path)
    content = _parse(path)
    fields = list(Genotype._fields)
    if not isinstance(content, dict) or set(content) != set(fields):
        found = _shown(sorted(map(str, content))) if isinstance(content, dict) else type(content).__name__
        keys = f"exactly the keys {', '.join(fields)}"
        raise GenotypeError(f"{path}: a genotype is a mapping, or a text Genotype(…), with {keys}; found {found}")
    normal, reduce = (_edges(content[cell], f"{path}: {cell}") for cell in ("normal", "reduce"))
    return Genotype(
        normal=normal,
        normal_concat=_concat(content["normal_concat"], len(normal) // 2, f"{path}: normal_concat"),
        reduce=reduce,
        reduce_concat=_concat(content["reduce_concat"], len(reduce) // 2, f"{path}: reduce_concat"),
    )


def write_genotype(path: str | Path, genotype: Genotype) -> None:
    """Write a genotype as YAML that `load_genotype` reads back, whole or not at all."""
    lines = []
    for field, values in genotype._asdict().items():
        items = (f"[{item[0]}, {item[1]}]" if isinstance(item, tuple) else str(item) for item in values)
        lines.append(f"{field}: [{', '.join(items)}]\n")
    with whole_file(path) as file:
        file.write("".join(lines).encode())


def _parse(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise GenotypeError(f"{path}: larger than {MAX_BYTES} bytes, so it is no genotype")
        text = path.read_text(encoding="utf-8-sig")
        if _AS_PRINTED.search(text):
            return _parse_printed(text, path)
        return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise GenotypeError(f"{path}: cannot be read as a genotype ({error.strerror})") from None
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        if isinstance(error, GenotypeError):
            raise
        reason = " ".join(str(error).split())
        kind = "JSON" if path.suffix == ".json" else "YAML"
        raise GenotypeError(f"{path}: not {kind} ({reason})") from None


def _parse_printed(text: str, path: Path) -> dict[str, Any]:
    """What DARTS's text says, by the keys of `Genotype`: literals and ``range`` alone are read."""
    try:
        statements = ast.parse(textwrap.dedent(text)).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise GenotypeError(f"{path}{line}: no text of the form Genotype(normal=[…], …)") from None
    call = statements[0].value if len(statements) == 1 and isinstance(statements[0], ast.Expr | ast.Assign) else None
    if not _is_call(call, "Genotype"):
        raise GenotypeError(f"{path}: must hold one Genotype(…) and nothing else but comments and NAME = before it")
    names = [keyword.arg or "**" for keyword in call.keywords]
    if call.args or len(set(names)) < len(names):
        found = _shown(["a value without a name"] * len(call.args) + names)
        raise GenotypeError(
            f"{path}: Genotype(…) takes each of {', '.join(Genotype._fields)} once, by name; got {found}"
        )
    return {name: _literal(each.value, f"{path}: {name}") for name, each in zip(names, call.keywords, strict=True)}


def _is_call(node: ast.AST | None, name: str) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def _literal(node: ast.expr, where: str) -> Any:
    """A literal's value, or the numbers of a ``range``; of a long one more than any cell has nodes."""
    try:
        if _is_call(node, "range") and not node.keywords:
            return [*itertools.islice(range(*map(ast.literal_eval, node.args)), MAX_NODES + 1)]
        return ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError, MemoryError):
        raise GenotypeError(f"{where}: must be a list of plain values or a range (line {node.lineno})") from None


def _edges(value: Any, where: str) -> tuple[Edge, ...]:
    if not isinstance(value, list | tuple) or not value or len(value) % 2 or len(value) > 2 * MAX_NODES:
        count = f"{len(value)} edges" if isinstance(value, list | tuple) else type(value).__name__
        raise GenotypeError(f"{where}: must be a list of two edges a node, 1 to {MAX_NODES} nodes; found {count}")
    return tuple(_edge(item, NUM_INPUTS + index // 2, f"{where}, edge {index}") for index, item in enumerate(value))


def _edge(value: Any, num_states: int, where: str) -> Edge:
    if not isinstance(value, list | tuple) or len(value) != 2 or not isinstance(value[0], str):
        raise GenotypeError(f"{where}: must be [operation, state], got {_shown(value)}")
    operation, state = value
    if operation not in OPERATIONS:
        known = f"{nearest(operation, OPERATIONS)}; there are: {', '.join(OPERATIONS)}"
        raise GenotypeError(f"{where}: unknown operation {_shown(operation)}{known}")
    if type(state) is not int or not 0 <= state < num_states:
        raise GenotypeError(f"{where}: state must be a whole number from 0 to {num_states - 1}, got {_shown(state)}")
    return operation, state


def _concat(value: Any, num_nodes: int, where: str) -> tuple[int, ...]:
    last = NUM_INPUTS + num_nodes - 1
    if (
        not isinstance(value, list | tuple)
        or not value
        or len(value) > num_nodes
        or any(type(state) is not int or not NUM_INPUTS <= state <= last for state in value)
        or len(set(value)) < len(value)
    ):
        raise GenotypeError(f"{where}: must list different nodes from {NUM_INPUTS} to {last}, got {_shown(value)}")
    return tuple(value)


def _shown(value: Any) -> str:
    """A value in one short line, however large or nested it is."""
    try:
        return " ".join(reprlib.repr(value).split())
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a number of thousands of digits"

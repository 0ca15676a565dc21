"""Genotypes in YAML or JSON files. What is read is data: names and numbers, checked one by one, never evaluated."""

from __future__ import annotations

import json
import reprlib
from pathlib import Path
from typing import Any

import yaml

from autovul.base.atomic import whole_file
from autovul.base.errors import UsageError, nearest
from autovul.vision.utils.model_archs.darts.genotype import NUM_INPUTS, OPERATIONS, Edge, Genotype

MAX_NODES = 12
MAX_BYTES = 64 * 1024


class GenotypeError(UsageError, ValueError):
    """A file that should hold a genotype does not."""


def load_genotype(path: str | Path) -> Genotype:
    """Read a genotype from a file.

    The file is a mapping with the keys of `Genotype`: ``normal`` and ``reduce`` are lists of ``[operation, state]``,
    ``normal_concat`` and ``reduce_concat`` lists of states.

    Args:
        path: A ``.json`` file, or YAML under any other ending; at most 64 KiB.

    Raises:
        GenotypeError: The file is missing, no such mapping, or has a cell that cannot be built (unknown operation, odd
            number of edges, more than 12 nodes, a state that does not exist yet, an empty concatenation). The
            message names file, cell and edge.
    """
    path = Path(path)
    content = _parse(path)
    fields = list(Genotype._fields)
    if not isinstance(content, dict) or set(content) != set(fields):
        found = _shown(sorted(map(str, content))) if isinstance(content, dict) else type(content).__name__
        raise GenotypeError(f"{path}: a genotype is a mapping with exactly the keys {', '.join(fields)}; found {found}")
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
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise GenotypeError(f"{path}: cannot be read as a genotype ({error.strerror})") from None
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        if isinstance(error, GenotypeError):
            raise
        reason = " ".join(str(error).split())
        kind = "JSON" if path.suffix == ".json" else "YAML"
        raise GenotypeError(f"{path}: not {kind} ({reason})") from None


def _edges(value: Any, where: str) -> tuple[Edge, ...]:
    if not isinstance(value, list) or not value or len(value) % 2 or len(value) > 2 * MAX_NODES:
        count = f"{len(value)} edges" if isinstance(value, list) else type(value).__name__
        raise GenotypeError(f"{where}: must be a list of two edges a node, 1 to {MAX_NODES} nodes; found {count}")
    return tuple(_edge(item, NUM_INPUTS + index // 2, f"{where}, edge {index}") for index, item in enumerate(value))


def _edge(value: Any, num_states: int, where: str) -> Edge:
    if not isinstance(value, list) or len(value) != 2 or not isinstance(value[0], str):
        raise GenotypeError(f"{where}: must be [operation, state], got {_shown(value)}")
    operation, state = value
    if operation not in OPERATIONS:
        hint = nearest(operation, OPERATIONS) or f"; there are: {', '.join(OPERATIONS)}"
        raise GenotypeError(f"{where}: unknown operation {_shown(operation)}{hint}")
    if type(state) is not int or not 0 <= state < num_states:
        raise GenotypeError(f"{where}: state must be a whole number from 0 to {num_states - 1}, got {_shown(state)}")
    return operation, state


def _concat(value: Any, num_nodes: int, where: str) -> tuple[int, ...]:
    last = NUM_INPUTS + num_nodes - 1
    if (
        not isinstance(value, list)
        or not value
        or len(value) > num_nodes
        or any(type(state) is not int or not NUM_INPUTS <= state <= last for state in value)
        or len(set(value)) < len(value)
    ):
        raise GenotypeError(f"{where}: must list different nodes from {NUM_INPUTS} to {last}, got {_shown(value)}")
    return tuple(value)


def _shown(value: Any) -> str:
    """A value in one short line, however large or nested it is."""
    return " ".join(reprlib.repr(value).split())

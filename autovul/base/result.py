"""One frozen record for each finished run, to and from JSON; reports are made from these files alone."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import numbers
import operator
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from autovul.base.atomic import whole_file
from autovul.base.errors import UserError
from autovul.base.settings.option_types import is_unicode, shorten

SCHEMA_VERSION = 1
# Options that change how a run is watched or where it writes, and nothing of what it finds.
_OUTPUT = ("color", "log_dir", "overwrite", "result_dir", "save", "tensorboard", "tqdm", "verbose")
NOT_IDENTITY = frozenset([*_OUTPUT, "download", "num_workers", "resume", "resume_changed"])
# What a run may differ in without measuring anything else.
BOOKKEEPING = NOT_IDENTITY | {
    *("seed", "device", "benchmark", "deterministic", "config", "command", "experiment", "suffix"),
    *("dataset", "model", "model_arch", "genotype", "model_path", "data_dir", "data_path", "model_dir", "attack_dir"),
    "grey",  # which the digest of the data tells
    *("valid_batch_size", "test_batch_size", "validate_interval", "at_most"),
}
# Options that came later, with what every run before did: it keeps its name, and its key in a sweep.
ADDED = {"grey": False, "eot_samples": 1}
DESTROYED = "the attack's training took the clean accuracy"  # how a doubt begins that is none about accuracies
LARGEST = 1e100  # of a metric: squares and sums of it stay finite
Status = Literal["ok", "diverged", "failed"]
# Raised by hand when the meaning of an experiment's records changes, so that older ones count as not there; 1 unless
# it stands here.
VERSIONS: Mapping[str, int] = {}


class ResultError(UserError):
    """A file that is not a valid result record."""


@dataclass(frozen=True)
class Metric:
    """A measured number with what it takes to read it.

    Args:
        value: The number; None where it could not be measured (never NaN).
        unit: "%", "nats", "images/s", …; an empty string for a pure number.
        count: How many samples the value is a mean or a rate over; None where that makes no sense.
    """

    value: float | None
    unit: str = ""
    count: int | None = None

    def __post_init__(self) -> None:
        if self.value is not None:
            if isinstance(self.value, bool) or not isinstance(self.value, numbers.Real):
                raise TypeError(f"a metric's value must be a number or None, got {self.value!r}")
            if not isinstance(self.value, int | float):
                object.__setattr__(self, "value", float(self.value))  # NumPy's numbers are not JSON's
            if not abs(self.value) <= LARGEST:
                raise ValueError(f"a metric's value must be a finite number or None, got {shorten(str(self.value))}")
        if self.count is not None:
            object.__setattr__(self, "count", operator.index(self.count))


@dataclass(frozen=True)
class Result:
    """What one run found, and everything needed to judge and repeat it.

    Args:
        experiment: What kind of run: "train", "validate", "adv_attack", …
        dataset: The data set's name.
        model: The network's canonical name with its suffix.
        group: A key of `autovul.base.groups.GROUPS`.
        seed: The seed of the run.
        metrics: The figures by name.
        status: "ok"; "diverged" where the loss or the logits were not finite; "failed".
        algorithm: The attack or method, where the experiment has several.
        options: Every effective option, flat.
        counts: Queries, forward and backward passes (each of one image): of attack or tool, its trainings and their
            validation. docs/report.md says what they cover.
        series: Figures over epochs, steps or budgets: a list of rows.
        seconds: Durations by phase.
        peak_memory: The largest amount of memory held, in bytes.
        data_sha256, weights_sha256: What was measured on and what was measured.
        facts: The network's parameters, multiply-adds, depth and skips; of a cell network also its genotype.
        environment: Code version, library versions, device, creation time (UTC).
        files: What the run wrote beside this record, by role.
        message: Why the status is not "ok".
        version: The version of the experiment, see `VERSIONS`.
    """

    experiment: str
    dataset: str
    model: str
    group: str
    seed: int
    metrics: Mapping[str, Metric]
    status: Status = "ok"
    algorithm: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    series: tuple[Mapping[str, Any], ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    peak_memory: int | None = None
    data_sha256: str = ""
    weights_sha256: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    message: str = ""
    version: int = 1
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if self.status not in get_args(Status):
            raise ValueError(f"status must be one of {', '.join(get_args(Status))}, got {self.status!r}")
        object.__setattr__(self, "seed", operator.index(self.seed))
        for name, metric in self.metrics.items():
            if not isinstance(metric, Metric):
                raise TypeError(f"metric {name} must be a Metric, got {metric!r}")

    def replace(self, **changes: Any) -> Result:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def to_json(self) -> str:
        """The record as JSON text; not-a-number and infinities are refused, not written."""
        return json.dumps(dataclasses.asdict(self), indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Result:
        """Read a record back.

        Raises:
            ResultError: The text is not a record of this schema version.
        """
        try:
            data = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise ResultError(f"not valid JSON ({error})") from None
        if not isinstance(data, dict):
            raise ResultError("not a result record")
        version = data.get("schema_version")
        if version != SCHEMA_VERSION:
            raise ResultError(f"schema version {version!r}, this program reads {SCHEMA_VERSION}")
        try:
            _check_values("record", data)
            _check_types(data)
            data["metrics"] = {name: Metric(**metric) for name, metric in data["metrics"].items()}
            data["series"] = tuple(data["series"])
            return cls(**data)
        except (TypeError, ValueError, KeyError, RecursionError) as error:
            raise ResultError(f"not a result record ({error})") from None

    def file_name(self) -> str:
        """A name that runs share only if they share network, data, algorithm, seed and every option that matters.

        The options of a command say which data and weights; without those, their digests do.
        """
        identity = {
            name: value
            for name, value in self.options.items()
            if name not in NOT_IDENTITY and (name not in ADDED or value != ADDED[name])
        }
        if "dataset" not in self.options:  # a record from the library, whose options do not say what was measured
            identity |= {"data_sha256": self.data_sha256, "weights_sha256": self.weights_sha256}
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()
        parts = [self.dataset, self.model, self.algorithm, f"s{self.seed}", digest[:10]]
        return re.sub(r"[^\w.+-]+", "-", "_".join(part for part in parts if part)) + ".json"

    def path(self, result_dir: str | Path) -> Path:
        """Where `write` puts the record."""
        return Path(result_dir) / self.experiment / self.file_name()

    def write(self, result_dir: str | Path) -> Path:
        """Write the record atomically to ``{result_dir}/{experiment}/`` and return the file's path."""
        path = self.path(result_dir)
        with whole_file(path) as file:
            file.write((self.to_json() + "\n").encode())
        return path


def version_of(experiment: str) -> int:
    """The version of an experiment's records that this program makes."""
    return VERSIONS.get(experiment, 1)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


_TEXT = ("experiment", "dataset", "model", "group", "status", "algorithm", "data_sha256", "weights_sha256", "message")
_MAPPINGS = ("metrics", "options", "counts", "seconds", "facts", "environment", "files")


def _check_types(data: Mapping[str, Any]) -> None:
    for name in _TEXT:
        _require(isinstance(data[name], str), name, "text", data[name])
    for name in _MAPPINGS:
        _require(isinstance(data[name], dict), name, "a mapping", data[name])
    rows = data["series"]
    _require(isinstance(rows, list) and all(isinstance(row, dict) for row in rows), "series", "a list of rows", rows)
    _require(_is_count(data["seed"]), "seed", "a whole number", data["seed"])
    _require(_is_count(data.get("version", 1)), "version", "a whole number", data.get("version"))
    memory = data["peak_memory"]
    _require(memory is None or _is_count(memory), "peak_memory", "a whole number", memory)
    for name in ("counts", "seconds"):
        for key, value in data[name].items():
            _require(_is_number(value), f"{name}: {key}", "a number", value)
    for name, metric in data["metrics"].items():
        value, count = metric["value"], metric["count"]
        _require(value is None or _is_number(value), f"metric {name}", "a number", value)
        _require(count is None or _is_count(count), f"the count of metric {name}", "a whole number", count)
        _require(isinstance(metric["unit"], str), f"the unit of metric {name}", "text", metric["unit"])


def _check_values(name: str, value: Any) -> None:
    """Refuse, however deep they lie, numbers that no float holds and text that no page can show: lone surrogates."""
    if isinstance(value, dict):
        for key, each in value.items():
            _require(is_unicode(key), name, "a mapping with names in Unicode", key)
            _check_values(f"{name}: {key}", each)
    elif isinstance(value, list):
        for each in value:
            _check_values(name, each)
    elif isinstance(value, str):
        _require(is_unicode(value), name, "text in Unicode", value)
    elif not isinstance(value, bool) and value is not None:
        _require(_is_number(value), name, "a number that a float holds", value)


def _require(condition: bool, name: str, allowed: str, value: Any) -> None:
    if not condition:
        raise TypeError(f"{name} must be {allowed}, got {shorten(repr(value))}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def read_results(paths: str | Path | Sequence[str | Path]) -> tuple[list[Result], list[tuple[Path, str]]]:
    """Read every record in files and folders.

    Returns:
        The valid records of the versions that this program makes, and for each other file its path and the reason.
    """
    results, refused = [], []
    files = _json_files(map(Path, [paths] if isinstance(paths, str | Path) else paths))
    for path in {path.resolve(): path for path in files}.values():
        try:
            result = Result.from_json(path.read_text(encoding="utf-8"))
            _require_version(result)
            results.append(result)
        except (ResultError, OSError, UnicodeDecodeError) as error:
            shown = str(path).encode(errors="backslashreplace").decode()  # a file's name may be any bytes
            refused.append((Path(shown), str(error)))
    return results, refused


def _require_version(result: Result) -> None:
    """Records of another version mean something else, and cannot be compared."""
    wanted = version_of(result.experiment)
    if result.version != wanted:
        raise ResultError(f"a record of {result.experiment} of version {result.version}; only version {wanted} counts")


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _json_files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*.json") if not _is_hidden(p.relative_to(path)))
        elif path.exists():
            yield path
        else:
            raise UserError(f"{path}: no such file or folder")

"""What has been found out already: result records by the key of the run that made them, and whether they still hold."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from autovul.base.atomic import whole_file
from autovul.base.environ import code_version
from autovul.base.errors import UserError
from autovul.base.result import BOOKKEEPING, Result, ResultError, version_of
from autovul.base.sweep.plan import Catalogue, Run
from autovul.base.sweep.subject import key_of, key_of_record, plain

Done = Literal["ok", "diverged"]
START_SECONDS = 3.0  # what a run takes besides what its record counts: loading data, building the network


@dataclass(frozen=True)
class Entry:
    """The part of a record that says whether it holds."""

    path: Path
    status: str
    version: int
    data_sha256: str
    weights_sha256: str
    facts: Mapping[str, Any]  # of the network
    kind: tuple[str, str, str]  # experiment, algorithm, data set
    about: str
    options: Mapping[str, Any]  # of a training


class Ledger:
    """The records of a result folder.

    Args:
        result_dir: The folder; what the sweep itself keeps lies in its hidden folder ``.sweep``.
        catalogue: Gives the digests of data and weights, which are kept here by size and time of the files.
    """

    def __init__(self, result_dir: Path, catalogue: Catalogue) -> None:
        self.result_dir, self.catalogue = result_dir, catalogue
        self._entries: dict[str, list[Entry]] = defaultdict(list)
        self._seen: dict[Path, tuple[int, int]] = {}
        self._hashes = Hashes(result_dir / ".sweep" / ".hashes.json")
        self._data: dict[str, str] = {}
        self._made: dict[tuple[str, str], Mapping[str, Any]] = {}
        self._cost_keys: dict[str, str] = {}  # of runs: a live line asks for all of them again and again
        self._costs: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))

    def refresh(self, experiments: Iterable[str]) -> None:
        """Read what is new among the records of these kinds of experiment."""
        for experiment in set(experiments):
            for path in (self.result_dir / experiment).glob("*.json"):
                with contextlib.suppress(FileNotFoundError):  # another sweep may replace it
                    stamp = path.stat()
                    if path.name.startswith(".") or self._seen.get(path) == (stamp.st_mtime_ns, stamp.st_size):
                        continue
                    self._forget(path)
                    self._seen[path] = (stamp.st_mtime_ns, stamp.st_size)
                    with contextlib.suppress(ResultError, UnicodeDecodeError):  # the report names these files
                        self._take(path, Result.from_json(path.read_text(encoding="utf-8")))

    def status(self, run: Run) -> Done | None:
        """How the run ended, if a record of it holds: of these options, this version, data, weights and code."""
        if not self._entries.get(run.key):
            return None  # without reading any data: a plan can be shown before there are any
        version, data = version_of(run.subject.experiment), self.data_sha256(run)
        weights = self.weights_sha256(run.subject.weights) if run.subject.weights else None
        made = self._made_of(run)
        for entry in self._entries.get(run.key, ()):
            if entry.status not in ("ok", "diverged"):
                continue
            if (entry.version, entry.data_sha256) != (version, data):
                continue
            if any(entry.facts.get(name) != value for name, value in made.items()):
                continue
            # A training whose weights were taken away since is still a result; see `Sweep` for those who need them.
            fits = weights == entry.weights_sha256 or (run.subject.trains and weights is None)
            fits = fits or (not run.subject.trains and entry.weights_sha256 in self._loaded_sha256(run))
            if run.subject.weights is None or fits or (run.subject.trains and entry.status == "diverged"):
                return "ok" if entry.status == "ok" else "diverged"
        return None

    def data_sha256(self, run: Run) -> str:
        """The digest of the run's data set."""
        data = run.settings.data
        question = json.dumps(data.reading, sort_keys=True, default=str)
        if question not in self._data:
            files = [path for path in sorted(data.directory.rglob("*")) if path.is_file()]
            self._data[question] = self._hashes.find(question, files, lambda: self.catalogue.data_sha256(data))
        return self._data[question]

    def weights_sha256(self, path: Path) -> str | None:
        """The digest of a file of weights; None where there is none."""
        if not path.is_file():
            return None
        return self._hashes.find(str(path), [path], lambda: self.catalogue.weights_sha256(path))

    def _made_of(self, run: Run) -> Mapping[str, Any]:
        """What a network of one's own is made of now; nothing for the others."""
        options = run.subject.options
        network = str(options.get("model")), str(options.get("genotype"))
        if network not in self._made:
            self._made[network] = self.catalogue.made_of(options)
        return self._made[network]

    def _loaded_sha256(self, run: Run) -> list[str]:
        """The digests that a run may record of weights which are not in the form in which autovul writes them."""
        path, auxiliary = run.subject.weights, run.subject.options.get("auxiliary")
        if path is None or not path.is_file():
            return []
        question = f"{path} as loaded, auxiliary {auxiliary}, with any prefix"
        return self._hashes.find(question, [path], lambda: self.catalogue.loaded_sha256(path, run.subject)).split()

    def require_own_weights(self, run: Run) -> None:
        """Make sure that a training does not overwrite weights that it would not make again.

        Raises:
            UserError: There are such weights: of a training with other options, or from elsewhere.
        """
        path = run.subject.weights
        if path is None or not path.is_file() or path.with_suffix(".state").exists():
            return
        digest = self.weights_sha256(path)
        makers = {
            key: entry
            for key, found in self._entries.items()
            for entry in found
            if entry.kind[0] == "train" and entry.weights_sha256 == digest
        }
        if run.key in makers:
            return
        where = "move the file away, or let --model_dir put the new weights into a folder of their own"
        if makers:
            other = _differences([*makers.values()][0].options, run.subject.options)
            raise UserError(
                f"{path} was trained with other options ({other}), and training would overwrite it: {where}"
            )
        raise UserError(
            f"{path} holds weights that no training recorded in {self.result_dir} made, and training would overwrite "
            f"them: {where}. --result_dir names the folder of their records, if there is one; --published_weights "
            "measures what lies in the model folder under the networks' plain names, --given_weights what lies here"
        )

    def fail(self, run: Run, message: str) -> None:
        """Record that a run came to nothing, unless in the place of what it measured before: that stays."""
        failure = run.subject.failed(message)
        path = failure.path(self.result_dir)
        if all(entry.path != path or entry.status == "failed" for entry in self._entries.get(run.key, ())):
            failure.write(self.result_dir)

    def forgive(self, run: Run) -> None:
        """Take away the records of the run's failures, now that it went well."""
        for entry in self._entries.get(run.key, ()):
            if entry.status == "failed":
                with contextlib.suppress(OSError):
                    entry.path.unlink()

    def diagnosis(self, run: Run) -> str:
        """What the record of the run that was read last says of it."""
        found = self._entries.get(run.key)
        return found[-1].about if found else ""

    def seconds(self, run: Run) -> float | None:
        """How long the run may take, by what runs with its options took; None where there was none.

        Of the same network if there are such, else of any.
        """
        subject = run.subject
        if run.key not in self._cost_keys:
            kind = subject.experiment, subject.algorithm, subject.dataset
            self._cost_keys[run.key] = _cost_key(*kind, subject.options)
        by_model = self._costs.get(self._cost_keys[run.key], {})
        found = by_model.get(subject.model) or [seconds for each in by_model.values() for seconds in each]
        return statistics.fmean(found) + START_SECONDS if found else None

    def _take(self, path: Path, result: Result) -> None:
        entry = Entry(
            path=path,
            status=result.status,
            version=result.version,
            data_sha256=result.data_sha256,
            weights_sha256=result.weights_sha256,
            facts=result.facts,
            kind=(result.experiment, result.algorithm, result.dataset),
            about=result.message,
            options=result.options if result.experiment == "train" else {},
        )
        self._entries[key_of_record(result)].append(entry)
        if result.status == "ok":
            cost = _cost_key(*entry.kind, result.options)
            self._costs[cost][result.model].append(sum(result.seconds.values()))

    def _forget(self, path: Path) -> None:
        if path in self._seen:
            for key, entries in self._entries.items():
                self._entries[key] = [entry for entry in entries if entry.path != path]


def _cost_key(experiment: str, algorithm: str, dataset: str, options: Mapping[str, Any]) -> str:
    """Equal for runs that differ in network and seed only."""
    return key_of(experiment, algorithm, dataset, "", 0, options)


def _differences(recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    names = [name for name in wanted if name not in BOOKKEEPING and plain(recorded.get(name)) != plain(wanted[name])]
    return ", ".join(f"{name} {recorded.get(name)} instead of {wanted[name]}" for name in names[:3]) or "unknown ones"


class Hashes:
    """Digests of files that need not be read again while their sizes and times stay.

    Args:
        path: Where they are kept.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._known = json.loads(path.read_text())
            assert isinstance(self._known, dict)
        except (OSError, ValueError, AssertionError):
            self._known = {}  # only a cache

    def find(self, question: str, files: Iterable[Path], compute: Callable[[], str]) -> str:
        """The digest for a question about files: the kept one, or a new one."""
        stamps: list[Any] = [[str(path), stat.st_size, stat.st_mtime_ns] for path in files for stat in [path.stat()]]
        # What comes from no file of the user's comes with the program or its libraries.
        stamps = stamps or [code_version(), *map(importlib.metadata.version, ("numpy", "scikit-learn"))]
        kept = self._known.get(question)
        if kept and kept["files"] == stamps:
            return kept["digest"]
        digest = compute()
        self._known[question] = {"files": stamps, "digest": digest}
        with whole_file(self.path) as file:
            file.write(json.dumps(self._known).encode())
        return digest

"""What a run will record, told from its arguments alone: no network is built and no image is read for a plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autovul.base.checkpoint import digest, load_state
from autovul.base.cli import Settings
from autovul.base.errors import UsageError
from autovul.base.groups import GROUPS
from autovul.base.options import OptionError
from autovul.base.registry import UnknownName
from autovul.base.settings.known_options import KnownOptions
from autovul.base.sweep.subject import Subject
from autovul.vision import commands, datasets, models
from autovul.vision.datasets import DataOptions
from autovul.vision.models.darts import from_file, is_file
from autovul.vision.models.factory import STRUCTURE
from autovul.vision.models.facts import made_of_cells
from autovul.vision.models.own import find, is_own, refuse_module, source_sha256
from autovul.vision.models.registry import by_group, networks
from autovul.vision.models.weights import as_loaded, bared, model_path
from autovul.vision.utils.model_archs.darts.genotypes import load_genotype


class Planning:
    """What the sweep, which knows nothing about images, asks about networks, commands and files."""

    def known_options(self) -> KnownOptions:
        """Every option of every command."""
        return commands.known_options()

    def networks(self, names: Sequence[str]) -> list[tuple[str, str]]:
        """Networks as (name, group); a group stands for all its networks of the paper.

        Raises:
            UnknownName: There is no such network and no such group.
            UsageError: A network of one's own cannot be imported, a file holds no genotype, or two have the same name.
        """
        found: dict[str, str] = {}
        for name in names:
            if name in GROUPS:
                found.update(dict.fromkeys(by_group()[name], name))
            elif is_own(name):
                find(name)  # a slip in the name is told before anything runs
                found[name] = "yours"
            elif is_file(name):
                network = from_file(name)
                found[name if network.group == "yours" else network.name] = network.group
            else:
                try:
                    found[networks.canonical(name)] = networks.get(name).group
                except UnknownName as error:
                    refuse_module(name)
                    groups = ", ".join(group for group in GROUPS if group != "yours")
                    raise UnknownName(f"{error}; a group is one of {groups}") from None
        for name, count in Counter(map(self.canonical, found)).items():
            if count > 1:
                raise UsageError(f"{name}: {count} networks of this name, whose weights and results would be mixed up")
        return [*found.items()]

    def canonical(self, network: str) -> str:
        """The name of a network in results and in the names of files."""
        if is_file(network):
            return from_file(network).name
        return network.replace(":", ".") if is_own(network) else networks.canonical(network)

    def flags(self, network: str) -> tuple[str, ...]:
        """What tells a command which network it is."""
        return ("--model=darts", f"--genotype={network}") if is_file(network) else (f"--model={network}",)

    def takes(self, network: str, option: str) -> bool:
        """Whether a network has an option of structure; any other option is not the network's affair."""
        if option not in STRUCTURE or is_own(network):
            return option not in STRUCTURE
        return option in (from_file(network) if is_file(network) else networks.get(network)).takes

    def subject(self, argv: Sequence[str]) -> tuple[Subject, Settings]:
        """What a command with these arguments is about, and its settings.

        Raises:
            UsageError: The arguments are wrong.
        """
        settings = commands.read(argv[0], argv[1:])
        options = settings.effective()
        if settings.algorithm_name:
            options |= settings.algorithm.in_pixel_units().model_dump(mode="json")
        model = settings.model.genotype or settings.model.model
        if settings.model.model_arch:
            raise OptionError("model: the sweep names cell networks directly, such as drnas")
        subject = Subject(
            experiment=settings.command,
            algorithm=settings.algorithm_name or "",
            dataset=settings.data.dataset,
            model=self.canonical(model),
            group=from_file(model).group if is_file(model) else models.group(model),
            seed=settings.environment.seed,
            options=options,
        )
        return subject.replace(weights=self._weights(subject, settings)), settings

    def for_network(self, subject: Subject, name: str, group: str, seed: int, suffix: str) -> Subject:
        """The same run of another network and seed, without reading its arguments again."""
        weights = subject.weights
        if weights is not None:
            weights = model_path(weights.parents[2], subject.dataset, self.canonical(name), suffix)
        chosen = {} if is_file(name) else {"model": name}
        options = {**subject.options, **chosen, "seed": seed, "suffix": suffix}
        return subject.replace(model=self.canonical(name), group=group, seed=seed, options=options, weights=weights)

    def made_of(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """What the record of a network of one's own will say that it is made of: its code, or the cells of its file."""
        if file := options.get("genotype"):
            return made_of_cells(load_genotype(file))
        name = str(options.get("model", ""))
        return {"source_sha256": source_sha256(name)} if is_own(name) else {}

    def data_sha256(self, data: DataOptions) -> str:
        """The digest of a data set, which is read for it (and fetched, with ``download``)."""
        return datasets.from_options(data).sha256

    def weights_sha256(self, path: Path) -> str:
        """The digest of a file of weights."""
        return digest(load_state(path))

    def loaded_sha256(self, path: Path, subject: Subject) -> str:
        """The digest of what the run's network has once it has read a file of weights, which others may have made.

        Several, with spaces between, where all keys of the file have a prefix, which may be the network's own or not.
        """
        loaded = as_loaded(load_state(path), auxiliary=bool(subject.options.get("auxiliary")))
        return " ".join(map(digest, bared(loaded)))

    def _weights(self, subject: Subject, settings: Settings) -> Path | None:
        if settings.command != "train" and not settings.model.pretrain:
            return None
        options: Any = settings.model
        return model_path(options.model_dir, subject.dataset, subject.model, options.suffix)

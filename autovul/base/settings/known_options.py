"""Everything that an option, flag or section can be called, over all commands; and what is said of other names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from autovul.base.errors import nearest
from autovul.base.settings.command import Command, Declared

_FEW = 3  # as many owners of an option as a message names
_UNUSED = "is left out, as no experiment of the paper uses it"
_SMOOTHING = f"randomised smoothing {_UNUSED}; wrap the model in Python to attack a smoothed one"
_SKIP_GRADIENT = f"the skip gradient method {_UNUSED}; --grad_method chooses how gradients are found"
LEFT_OUT = {
    "pre_conditioner": f"K-FAC {_UNUSED}; --OptimType chooses the optimiser",
    "sgm": _SKIP_GRADIENT,
    "sgm_gamma": _SKIP_GRADIENT,
    "randomized_smooth": _SMOOTHING,
    "rs_sigma": _SMOOTHING,
    "rs_n": _SMOOTHING,
    "official": f"loading torchvision's weights {_UNUSED}; --pretrain loads the weights found in --model_dir",
    "transform": f"a choice of transform {_UNUSED}; --auto_augment and --cutout choose the augmentation",
    "dataset_normalize": "normalising in the data set is left out, as every model does it itself; leave the flag away",
    "cache_threshold": "caching is left out, as data sets are kept in memory whole; leave the flag away",
    "flush_secs": f"TensorBoard's flush interval {_UNUSED}; leave the flag away, --log_dir says where the log is",
    "output": f"a choice of what to print {_UNUSED}; --verbose chooses how much is printed",
}


@dataclass(frozen=True)
class KnownOptions:
    """The union of the options of all commands and algorithms.

    Args:
        options: Every declaration of an option, by its name.
        sections: For each command and algorithm, the declarations of the options that its section of a file may hold.
        owners: Who understands an option, in words: ``train``, or ``backdoor --attack imc``.
        dataset_options: The options that name a data set.
        selectors: The options on which the choice of a section depends.
        algorithms: The names of the algorithms.
        datasets: The registered data sets, to notice a misspelt one.
    """

    options: dict[str, list[Declared]] = field(default_factory=dict)
    sections: dict[str, dict[str, list[Declared]]] = field(default_factory=dict)
    owners: dict[str, list[str]] = field(default_factory=dict)
    dataset_options: set[str] = field(default_factory=set)
    selectors: set[str] = field(default_factory=set)
    algorithms: set[str] = field(default_factory=set)
    datasets: tuple[str, ...] = ()

    @classmethod
    def of(cls, commands: Iterable[Command], datasets: Iterable[str] = ()) -> KnownOptions:
        """Collect the options of these commands.

        Raises:
            ValueError: A section has the name of an option.
        """
        known = cls(datasets=tuple(datasets))
        for command in commands:
            known._add(command)
        for name in known.sections:
            if name in known.options:
                raise ValueError(f"{name!r} is the name of an option and of a section")
        return known

    def _add(self, command: Command) -> None:
        selectors = {each.name for each in command.selectors()}
        self.selectors.update(selectors)
        self.dataset_options.update(selectors & {command.dataset_option})
        self.algorithms.update(command.algorithms())
        for each in command.common():
            self._declare(each, command.name, (command.name, *command.algorithms()))
        for algorithm in command.algorithms():
            assert command.algorithm is not None
            for each in command.own(algorithm):
                self._declare(each, f"{command.name} --{command.algorithm.flag} {algorithm}", (command.name, algorithm))
        for section in (command.name, *command.algorithms()):
            self.sections.setdefault(section, {})

    def _declare(self, each: Declared, owner: str, sections: Iterable[str]) -> None:
        self.options.setdefault(each.name, []).append(each)
        self.owners.setdefault(each.name, []).append(owner)
        for section in sections:
            self.sections.setdefault(section, {}).setdefault(each.name, []).append(each)

    def owner(self, name: str) -> str:
        """Who understands an option, in few words."""
        owners = self.owners[name]
        return ", ".join(owners[:_FEW]) + (f" and {len(owners) - _FEW} more" if len(owners) > _FEW else "")

    def explain_unknown(self, name: str) -> str:
        """What to say of a name that no option has."""
        return LEFT_OUT.get(name) or f"unknown option{nearest(name, [*self.options, *self.sections], count=1)}"

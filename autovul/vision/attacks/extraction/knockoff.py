"""Model extraction by Knockoff nets: train a copy on a victim's answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, field_validator, model_validator
from torch import nn

from autovul.base import environ
from autovul.base.checkpoint import save_state
from autovul.base.errors import UserError
from autovul.base.metrics import NonFiniteOutput
from autovul.base.options import option
from autovul.base.progress import Progress
from autovul.base.result import Result
from autovul.base.training.history import History, total
from autovul.base.training.random_state import preserved_random_state
from autovul.vision import models
from autovul.vision.attacks.base import Attack, Setup, device_of, registry, require_all_classes, require_model_and_data
from autovul.vision.attacks.extraction.adaptive_sampling import Reward
from autovul.vision.attacks.extraction.figures import answers, compare, means
from autovul.vision.attacks.extraction.native_thief import thief_seed, train_thief
from autovul.vision.attacks.extraction.queries import AdaptiveQueries, Pool, ask_at_random
from autovul.vision.attacks.extraction.transfer_set import TransferSet, load_fitting
from autovul.vision.attacks.record import record
from autovul.vision.attacks.retraining import Retraining
from autovul.vision.attacks.victim import Victim, questioned
from autovul.vision.models.fresh import fresh, thawed
from autovul.vision.models.own import OwnModel

if TYPE_CHECKING:
    from autovul.vision.datasets import ImageDataset

Budget = Annotated[int, Field(ge=1)]


@registry.register("knockoff")
class Knockoff(Attack):
    r"""Knockoff nets: images are sent to the victim, and a fresh network, the thief, learns its answers.

    Measured over the validation split: :math:`-\sum_k p_k \log q_k`, the mean cross entropy between the victim's
    probabilities p and the thief's q, in nats; the smaller, the better the copy.

    With several budgets the victim is asked once, for the largest; a smaller budget's transfer set is the beginning
    of a larger one's, and every thief begins with the same weights. The thief's weights and order of batches are drawn
    from seeds of their own: with the run's seed they would be those that the victim began with.

    Source: Orekondy et al., Knockoff Nets (arXiv 1812.02766). Deviations from the artifact: soft answers are
    probabilities, never logits; agreement and accuracy stand beside the cross entropy.
    """

    experiment: ClassVar[str] = "extraction"
    name: ClassVar[str] = "knockoff"
    recipe: ClassVar[Mapping[str, Any]] = {"epoch": 25, "lr": 0.025, "validate_interval": 25}

    nb_stolen: tuple[Budget, ...] = option(
        (5000,), "Query budgets: one number or several, a thief for each.", min_length=1, unit="queries"
    )
    at_most: bool = option(False, "Leave out budgets above the number of images there are instead of stopping.")
    sampling: Literal["random", "adaptive"] = option(
        "random", "Which images are sent: random ones, or from the classes that taught most so far."
    )
    label_mode: Literal["hard", "soft"] = option(
        "hard", "What the victim answers: its class (hard, as published) or its probabilities (soft)."
    )
    augment: Literal["once", "anew", "none"] = option(
        "once", "Vary the images: once, before they are sent (as published); anew in each epoch, the answer kept; none."
    )
    tmodel: str | None = option(
        None,
        "The thief's network; none: the victim's architecture. Options of structure (width, layers, …) are the "
        "thief's too where it takes them.",
    )
    tmodel_arch: str | None = option(None, "The thief's genotype, with --tmodel darts.")
    adaptive_reward: Reward = option(
        "all",
        "Adaptive: what an answer is worth by: its certainty, its diversity, the thief's loss on it, or the sum.",
        needs="sampling=adaptive",
    )
    adaptive_round: int = option(
        100,
        "Adaptive: queries between two updates of the network that judges them.",
        ge=2,
        unit="queries",
        needs="sampling=adaptive",
    )
    engine: Literal["native", "art"] = option("native", "Who trains the thief: autovul, or ART's KnockoffNets.")
    export_transfer: str | None = option(None, "Write the transfer set to this .npz file.", min_length=1)
    transfer_set: str | None = option(
        None, "Learn from this transfer set and send no images to the victim.", min_length=1
    )
    query_batch: int | None = option(
        None, "Queries in one forward pass; none: 32 on a CPU, elsewhere 4096, or what memory holds.", ge=1
    )

    @field_validator("nb_stolen", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, int) else value

    @model_validator(mode="after")
    def _consistent(self) -> Knockoff:
        if len(set(self.nb_stolen)) < len(self.nb_stolen):
            raise ValueError(f"nb_stolen names a budget twice: {', '.join(map(str, self.nb_stolen))}")
        if self.tmodel_arch is not None and self.tmodel not in (None, "darts"):
            raise ValueError(f"tmodel_arch goes with --tmodel darts, got --tmodel {self.tmodel}")
        if self.engine == "art" and (self.augment == "anew" or self.sampling == "adaptive"):
            raise ValueError("engine art takes augment once or none and sampling random")
        if self.transfer_set is not None and self.sampling == "adaptive":
            raise ValueError("sampling: with transfer_set nothing is sampled")
        return self

    def run(self, model: nn.Module, dataset: ImageDataset, setup: Setup = Setup()) -> Result:
        """Ask the victim, train a thief for each budget, and compare them over the validation split.

        Args:
            model: The victim; takes pixels in [0, 1] and gives logits.
            dataset: Its training images are the attacker's pool; its validation images judge.
            setup: ``training`` is the thief's recipe; a ``folder`` gets the thieves' weights and logs.

        Returns:
            ``cross_entropy`` and ``kl_divergence`` (nats), ``agreement`` and ``thief_accuracy`` (%), each the mean over
            the budgets, with a row for each in ``series``; ``victim_accuracy``; ``queries``, those of the largest
            budget. If a thief diverges, the status says so and no mean is given.

        Raises:
            UserError: A budget exceeds the pool or the transfer set.
            NonFiniteOutput: The victim gave NaN.
        """
        require_model_and_data(model, dataset)
        device = device_of(model)
        with environ.measure(device, "queries") as asking, questioned(model, self.query_batch) as victim:
            clean = require_all_classes(answers(victim, dataset.valid), dataset)
            self._require_comparable(clean.shape[1], dataset)
            transfer = self._transfer(model, victim, dataset, setup, work := [])
        work.append(History(forward=victim.forward))
        rows: list[dict[str, Any]] = []
        files, message, precision = {}, "", "fp32"
        with environ.measure(device, "training") as training:
            for budget in self._budgets(len(transfer)):
                thief, diverged = self.steal(model, transfer.head(budget), dataset, setup, work)
                if self.engine != "art":
                    precision = self._retraining(dataset, setup).precision(thief)
                found = None if diverged else self._answers(thief, dataset)
                work.append(History(forward=0 if diverged else len(dataset.valid)))
                if found is None:
                    message = f"the thief with {budget} queries diverged: its loss, a weight or an answer is not finite"
                    break
                rows.append({"budget": budget, **compare(clean, found, dataset.valid)})
                files.update(self._save(thief, budget, setup))
        for budget in self._budgets(len(transfer)):
            self._retraining(dataset, setup).finish(_stem(budget))
        return record(
            self,
            model,
            dataset,
            setup,
            status="diverged" if message else "ok",
            message=message,
            metrics={} if message else means(rows, clean, dataset.valid),
            series=tuple(rows),
            counts={"queries": 0 if self.transfer_set else len(transfer), **total(work)},
            seconds={**asking.seconds, **training.seconds},
            peak_memory=training.peak_memory,
            environment={"precision": precision},
            files=files,
        )

    def query(self, model: nn.Module, dataset: ImageDataset, setup: Setup = Setup()) -> TransferSet:
        """Only ask the victim: the transfer set of the largest budget.

        Args:
            model, dataset, setup: As for `run`.
        """
        with questioned(model, self.query_batch) as victim:
            return self._query(model, victim, dataset, setup, [])

    def steal(
        self,
        model: nn.Module,
        transfer: TransferSet,
        dataset: ImageDataset,
        setup: Setup = Setup(),
        work: list[History] | None = None,
    ) -> tuple[nn.Module, bool]:
        """Only train a thief.

        Args:
            model: The victim, for its architecture; it is not asked.
            transfer: What the thief learns from.
            dataset, setup: As for `run`.
            work: Gets what the training took.

        Returns:
            The thief, on the victim's device and in eval mode, and whether its training diverged.
        """
        thief = self._fresh(model, dataset, setup.seed).to(device_of(model))
        retraining = self._retraining(dataset, setup)
        if self.engine == "art":
            from autovul.vision.attacks.extraction import art_thief

            history = art_thief.train_thief(thief, transfer, dataset, retraining.options, retraining.setup)
        else:
            history = train_thief(thief, transfer, retraining, _stem(len(transfer)), anew=self.augment == "anew")
        if work is not None:
            work.append(history)
        return thief, history.status != "ok"

    def _answers(self, thief: nn.Module, dataset: ImageDataset) -> torch.Tensor | None:
        """A thief's logits of the validation split; None if some are not finite, which finite weights can give."""
        try:
            with questioned(thief, self.query_batch) as copy:
                return answers(copy, dataset.valid)
        except NonFiniteOutput:
            return None

    def _transfer(
        self, model: nn.Module, victim: Victim, dataset: ImageDataset, setup: Setup, work: list[History]
    ) -> TransferSet:
        """The largest budget's transfer set: from the victim or from a file."""
        if self.transfer_set is None:
            transfer = self._query(model, victim, dataset, setup, work)
        else:
            transfer = load_fitting(self.transfer_set, dataset, self.label_mode)
        if self.export_transfer is not None:
            transfer.save(self.export_transfer)
        return transfer

    def _query(
        self, model: nn.Module, victim: Victim, dataset: ImageDataset, setup: Setup, work: list[History]
    ) -> TransferSet:
        budget = self._budgets(len(dataset.train))[-1]
        retraining = self._retraining(dataset, setup)
        pool = Pool(dataset.train, setup.seed, retraining.augmentation if self.augment == "once" else None)
        if self.sampling == "random":
            return ask_at_random(victim, pool, budget, self.label_mode)
        scout, seed = self._fresh(model, dataset, setup.seed).to(victim.device), retraining.setup.seed
        queries = AdaptiveQueries(
            pool, seed, scout, retraining.options, setup.batch_size, self.adaptive_round, self.adaptive_reward
        )
        show = Progress("auto" if setup.progress else "off")
        show.start(-(-budget // self.adaptive_round), done=0)
        try:
            return queries.ask(victim, budget, self.label_mode, partial(show.advance, "adaptive queries"))
        finally:
            show.close()
            work.extend(queries.work)

    def _budgets(self, available: int) -> list[int]:
        """The budgets in ascending order; where none is small enough and none was insisted on, what there is."""
        largest = max(self.nb_stolen)
        if largest <= available:
            return sorted(self.nb_stolen)
        if self.at_most or "nb_stolen" not in self.model_fields_set:
            return sorted(budget for budget in self.nb_stolen if budget <= available) or [available]
        where = self.transfer_set or "the training set"
        raise UserError(f"nb_stolen: {largest} queries wanted, {available} images in {where}")

    def _require_comparable(self, logits: int, dataset: ImageDataset) -> None:
        """A thief of another architecture has a logit for each class of the data, and cannot learn of more."""
        other = self.tmodel or self.tmodel_arch
        if other is not None and logits != dataset.num_classes:
            raise UserError(
                f"the victim gives {logits} logits and {dataset.name} has {dataset.num_classes} classes, which is what "
                f"{other} would be built for: leave out tmodel, or give the victim as many logits as there are classes"
            )

    def _fresh(self, model: nn.Module, dataset: ImageDataset, seed: int) -> nn.Module:
        """The thief before training."""
        with preserved_random_state(device_of(model)):  # a copy draws its weights where it lies
            environ.seed_everything(thief_seed(seed))
            if self.tmodel is None and self.tmodel_arch is None:
                thief = fresh(model)
            else:
                thief = models.relative(model, self.tmodel or "darts", self.tmodel_arch, dataset)
                if isinstance(thief, OwnModel):
                    thief.fresh()  # refuses one that comes out the same each time, trained perhaps
        # A victim may be frozen, and a copy of its architecture then is too.
        return thawed(thief)

    def _retraining(self, dataset: ImageDataset, setup: Setup) -> Retraining:
        return Retraining(self, dataset, replace(setup, seed=thief_seed(setup.seed)))

    def _save(self, thief: nn.Module, budget: int, setup: Setup) -> dict[str, str]:
        if setup.folder is None or (setup.training is not None and not setup.training.save):
            return {}
        path = setup.folder / f"{_stem(budget)}.pth"
        save_state(path, thief.state_dict())
        return {f"thief with {budget} queries": str(path)}


def _stem(budget: int) -> str:
    return f"thief_{budget}"

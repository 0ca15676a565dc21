"""Membership inference: was an image part of the training set?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import field_validator, model_validator
from torch import Tensor, nn

from autovul.base import environ
from autovul.base.errors import UserError
from autovul.base.options import option
from autovul.base.progress import Progress
from autovul.base.result import Metric, Result
from autovul.vision.attacks.base import Attack, Setup, device_of, registry, require_all_classes, require_model_and_data
from autovul.vision.attacks.hop_skip_jump import BoundaryPoints, HopSkipJump, image_seed
from autovul.vision.attacks.membership.outcome import Outcome, Searched
from autovul.vision.attacks.membership.sample import Sample, SampleRule
from autovul.vision.attacks.membership.scores import Score, baseline
from autovul.vision.attacks.record import record
from autovul.vision.attacks.victim import Victim, questioned
from autovul.vision.datasets import Augmentation

if TYPE_CHECKING:
    from autovul.vision.datasets import ImageDataset

Method = Literal["boundary", "confidence", "entropy", "loss"]
_SEARCHED = "method=boundary"
FILTERS = {"published": (False, True), "none": (False, False), "both": (True, True)}


@registry.register("membership")
class Membership(Attack):
    r"""Label-only membership inference by the distance to the decision boundary, and three simple baselines beside it.

    The score of an image x is :math:`\lVert x' - x \rVert_\infty`, with x′ the point of another class that
    `HopSkipJump` finds near it. Members are thought to be farther from the boundary. Images that the network gets
    wrong are measured as the others are, by the distance to leaving the class that it says; or they score 0.

    Source: Choquette-Choo et al., Label-Only Membership Inference Attacks (arXiv 2007.14321), section 4.2; sample and
    options after the artifact. Deviations from it: members are not cropped and mirrored (an option), images for which
    no other class is found are kept out instead of scoring 0, and the boundary attack ends with a binary search.
    """

    experiment: ClassVar[str] = "membership"
    name: ClassVar[str] = "membership"

    method: tuple[Method, ...] = option(
        ("boundary", "confidence", "entropy", "loss"), "Scores to compare; all but boundary cost one query an image.",
        min_length=1,
    )  # fmt: skip
    sample_num: int = option(50, "Members to try, and as many non-members.", ge=2, unit="images")
    at_most: bool = option(False, "Where fewer images exist than sample_num asks for, take all instead of stopping.")
    sample_seed: int | None = option(
        None, "Seed of the choice of images; none: 30 with the seed 1228, and another with each other seed.",
        ge=0, le=2**32 - 1,
    )  # fmt: skip
    confidence_band: tuple[float, float] = option(
        (0.999, 0.99999), "Least and greatest top confidence of the images that pass the filter."
    )
    confidence_filter: Literal["published", "none", "both"] = option(
        "published", "Whom the filter applies to: published (non-members alone), none, or both sides."
    )
    augment_members: bool = option(False, "Crop and mirror members at random first, as the artifact does.")
    misclassified: Literal["keep", "zero"] = option(
        "keep", "Images that the network gets wrong: keep (distance to leaving what it says) or zero (score 0).",
        needs=_SEARCHED,
    )  # fmt: skip
    engine: Literal["native", "art"] = option(
        "native", "Who searches the boundary: autovul, or ART image by image.", needs=_SEARCHED
    )
    max_iter: int = option(10, "Iterations of the boundary search.", ge=0, needs=_SEARCHED)
    max_eval: int = option(100, "Queries of one gradient estimate, at most.", ge=1, needs=_SEARCHED)
    init_eval: int = option(25, "Queries of the first gradient estimate.", ge=1, needs=_SEARCHED)
    init_size: int = option(50, "Random images tried as a start.", ge=1, needs=_SEARCHED)
    max_queries: int = option(
        2000, "Queries an image, at most; then the point that it has by then counts.", ge=1, needs=_SEARCHED
    )
    closing_search: bool = option(
        True, "End with a binary search, as the paper does and ART does not.", needs=_SEARCHED
    )
    query_batch: int | None = option(
        None, "Queries in one forward pass; none: 32 on a CPU, elsewhere 4096, or what memory holds.", ge=1
    )

    @field_validator("method", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _consistent(self) -> Membership:
        low, high = self.confidence_band
        if not 0 <= low < high <= 1:
            raise ValueError(f"confidence_band must be two numbers with 0 <= low < high <= 1, got {low},{high}")
        if len(set(self.method)) < len(self.method):
            raise ValueError(f"method names one twice: {', '.join(self.method)}")
        if self.init_eval > self.max_eval:
            raise ValueError(f"init_eval must be at most max_eval ({self.max_eval}), got {self.init_eval}")
        return self

    def run(self, model: nn.Module, dataset: ImageDataset, setup: Setup = Setup()) -> Result:
        """Try every method on members and non-members.

        Args:
            model: Takes pixels in [0, 1] and gives logits.
            dataset: Its training images are the members, its validation images the non-members.
            setup: ``seed`` seeds the searches and the bootstrap; a ``folder`` gets ``roc.png`` and ``scores.npz``.

        Returns:
            For each method ``{method}_auc`` with members positive, its 95 % bootstrap interval (``_low``, ``_high``),
            the published ``_mirrored`` one (the larger of AUC and 1 − AUC) and the true positive rate at 1 % false
            positives (None below 100 non-members). For the boundary also median distances of both sides.

        Raises:
            UserError: Too few images pass the filter, or for too few a point of another class was found.
            NonFiniteOutput: The model gave NaN.
        """
        require_model_and_data(model, dataset)
        device = device_of(model)
        with environ.measure(device) as cost, questioned(model, self.query_batch) as victim:
            sample = self._rule(setup.seed).draw(victim, dataset, self._variation(dataset), setup.seed)
            logits = require_all_classes(victim.logits(sample.images), dataset)
            predicted = logits.argmax(1).cpu()
            searched = self._search(victim, sample, predicted, setup) if "boundary" in self.method else None
            everyone = torch.ones_like(sample.member)
            scores = [
                Score("boundary", searched.linf, searched.found)
                if searched is not None and method == "boundary"
                else Score(method, baseline(method, logits, sample.labels), everyone)
                for method in self.method
            ]
            outcome = Outcome(sample, predicted, scores, searched, setup.seed)
            metrics = outcome.metrics()
        return record(
            self,
            model,
            dataset,
            setup,
            metrics=metrics,
            series=outcome.series,
            counts={**outcome.counts(), "forward": victim.forward},
            seconds=cost.seconds,
            peak_memory=cost.peak_memory,
            environment=self._notes(metrics),
            files=outcome.write(setup.folder) if setup.folder is not None else {},
        )

    def search(self) -> HopSkipJump:
        """The boundary search by these options."""
        names = ("max_iter", "max_eval", "init_eval", "init_size", "closing_search")
        # One query of each image is spent on the class that its search starts from.
        return HopSkipJump(**{name: getattr(self, name) for name in names}, max_queries=self.max_queries - 1)

    def _notes(self, metrics: Mapping[str, Metric]) -> dict[str, list[str]]:
        """What is to be known of figures under the published filter."""
        if self.confidence_filter != "published":
            return {}
        areas = {method: metrics[f"{method}_auc"].value for method in self.method}
        below = [method for method, area in areas.items() if area is not None and area < 0.5]
        seen = f", of which an AUC below 0.5 ({', '.join(below)}; mirrored above) is a sign" if below else ""
        return {
            "notes": [
                "the published filter picks non-members by the network's confidence in them, and members not: that can "
                f"make a difference by itself{seen}; --confidence_filter none or both treats the sides alike"
            ]
        }

    def _rule(self, seed: int) -> SampleRule:
        exact = "sample_num" in self.model_fields_set and not self.at_most
        filtered = FILTERS[self.confidence_filter]
        # A repetition is of everything, the choice of images included; 30 is the artifact's, whose seed is 1228.
        chosen = (30 + seed - 1228) % 2**32 if self.sample_seed is None else self.sample_seed
        return SampleRule(self.sample_num, exact, self.confidence_band, filtered, chosen)

    def _variation(self, dataset: ImageDataset) -> Augmentation | None:
        return Augmentation(flip=dataset.flip) if self.augment_members else None

    def _search(self, victim: Victim, sample: Sample, predicted: Tensor, setup: Setup) -> Searched:
        """Search the boundary near each image (near the correctly classified ones, if the others score 0)."""
        wrong = predicted != sample.labels
        wanted = torch.ones_like(wrong) if self.misclassified == "keep" else ~wrong
        count = len(wrong)
        queries = torch.ones(count, dtype=torch.int64)
        zeros = torch.zeros(2, count, dtype=torch.float32)
        found = Searched(wanted, zeros[0], zeros[1], torch.ones_like(wrong), torch.zeros_like(wrong), queries)
        groups = wanted.nonzero().squeeze(1).split(victim.batch)
        show = Progress("auto" if setup.progress else "off")
        show.start(len(groups) * self.max_iter if self.engine == "native" else int(wanted.sum()), done=0)
        for index in groups:
            seeds = [image_seed(setup.seed, int(sample.member[i]), int(sample.index[i])) for i in index.tolist()]
            images, tick = sample.images[index], partial(show.advance, "boundary search")
            points = self._engine()(self.search(), victim, images, predicted[index], seeds, tick)
            offset = (points.images.cpu() - images).flatten(1)
            found.l2[index], found.linf[index] = torch.linalg.vector_norm(offset, dim=1), offset.abs().amax(1)
            found.found[index], found.capped[index] = points.found.cpu(), points.capped.cpu()
            queries[index] += points.queries.cpu()
        show.close()
        self._require_two(found.found, sample.member)
        return found

    def _engine(self) -> Callable[..., BoundaryPoints]:
        if self.engine == "native":
            return HopSkipJump.run
        from autovul.vision.attacks.membership.art_boundary import boundary_points

        return boundary_points

    def _require_two(self, found: Tensor, member: Tensor) -> None:
        for name, side in (("members", member), ("non-members", ~member)):
            if int((found & side).sum()) < 2:
                raise UserError(
                    f"boundary: no random image of another class was found for {int((~found & side).sum())} of "
                    f"{int(side.sum())} {name}: raise --init_size (now {self.init_size}) or --max_queries (now "
                    f"{self.max_queries}), or leave boundary out of --method"
                )

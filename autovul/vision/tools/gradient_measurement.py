"""The gradient variance of a network on a data set, with the two things controlled that the paper leaves open."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import nn

from autovul.base import environ
from autovul.base.errors import UsageError, UserError
from autovul.base.options import Options, option
from autovul.base.progress import Progress
from autovul.base.result import Metric, Result
from autovul.vision.attacks.base import device_of, require_fitting
from autovul.vision.attacks.record import identify
from autovul.vision.datasets import ImageDataset
from autovul.vision.datasets.splits import count_or_all, legacy_shuffle
from autovul.vision.models.base import ImageModel
from autovul.vision.tools.gradient_variance import CHUNK, GradientVariance, gradient_variance
from autovul.vision.tools.initialisation import Init, initialise
from autovul.vision.tools.norm_statistics import estimate_norm_statistics
from autovul.vision.tools.per_sample import Method

STATISTICS_BATCH = 128


class GradientMeasurement(Options):
    """How gradient variance is measured: of which images, and of a network in which state."""

    sample_num: int = option(512, "Validation images whose gradients are compared.", ge=2, unit="images")
    clip_norm: float | None = option(5.0, "L2 norm to which each gradient is clipped; none: not at all.", gt=0)
    init: Init = option(
        "published",
        "Initialisation: published (each network's own), or one rule for all: default (PyTorch's), kaiming (He's).",
    )
    norm_statistics: Literal["running", "batch"] = option(
        "running", "Statistics of batch norms: running (as they stand), or estimated on training images first (batch)."
    )
    statistics_num: int = option(1024, "Training images of that estimate.", ge=2, unit="images")
    seeds: int = option(1, "Repetitions, each with the next seed for weights and images and its own result.", ge=1)
    chunk: int = option(CHUNK, "Images whose gradients are computed together; bounds the memory.", ge=1, unit="images")
    per_sample: Method = option(
        "auto", "How gradients of single images are found: auto takes by rule the one that is fastest, all are exact."
    )

    def seed_list(self, first: int, *, pretrain: bool = False) -> list[int]:
        """The seeds of the repetitions.

        Args:
            first: The run's seed.
            pretrain: Whether the network is a trained one.

        Raises:
            UsageError: An initialisation is asked for, and the weights are trained ones.
        """
        if pretrain and self.init != "published":
            raise UsageError(f"init {self.init!r} draws the weights anew: it does not go with pretrain")
        return [*range(first, first + self.seeds)]

    def prepare(self, model: nn.Module, dataset: ImageDataset, seed: int = 1228) -> nn.Module:
        """A copy of ``model`` in the state that is measured: by ``init`` and ``norm_statistics``.

        Args:
            model: Left as it is.
            dataset: Its training images give the statistics.
            seed: Of the weights drawn and the images taken.

        Raises:
            UsageError: The rule ``init`` does not cover a layer.
            UserError: Fewer training images exist than were explicitly asked for.
        """
        device = device_of(model)
        with torch.no_grad():  # parameters of a scripted module would be no leaves
            model = copy.deepcopy(model).cpu()  # so that a seed gives the same weights on every device
        initialise(model, self.init, seed)
        model.to(device)
        if device.type == "cpu" and isinstance(model, ImageModel) and model.takes_channels_last():
            model.to(memory_format=torch.channels_last)  # for cells estimating is up to twice as fast
        if self.norm_statistics == "batch":
            index = legacy_shuffle(len(dataset.train), seed)
            index = index[: self._count("statistics_num", len(index), f"training images of {dataset.name}")]
            # A batch of one image has no variance of its own: the last one is never alone.
            batches = index.tensor_split(max(1, len(index) // STATISTICS_BATCH))
            estimate_norm_statistics(model, (dataset.train.pixels(batch).to(device) for batch in batches))
        return model

    def run(
        self,
        model: nn.Module,
        dataset: ImageDataset,
        *,
        seed: int = 1228,
        progress: bool = False,
        prepared: bool = False,
    ) -> Result:
        """Measure a network in the state that the options ask for; the given one stays as it is.

        Args:
            model: Takes pixels in [0, 1] and gives logits.
            dataset: Gives the images: the first of the validation split in seeded order.
            seed: Of the images, and of what `prepare` draws.
            progress: Whether progress is shown on stderr.
            prepared: Whether `prepare` has made the model, so that it is taken as it is.

        Returns:
            The sum, its decimal logarithm and what they were computed from; ``series`` has a row for each layer.

        Raises:
            UserError: Fewer images exist than were explicitly asked for; all gradients vanish, or some are not finite;
                or the model has fewer logits than there are classes.
        """
        require_fitting(model, dataset)
        if not prepared:
            model = self.prepare(model, dataset, seed)
        index = legacy_shuffle(len(dataset.valid), seed)
        index = index[: self._count("sample_num", len(index), f"validation images of {dataset.name}")]
        device = device_of(model)
        show = Progress("auto" if progress else "off")
        show.start(-(-len(index) // self.chunk), done=0)
        try:
            with environ.measure(device) as cost:
                found = gradient_variance(
                    model,
                    dataset.valid.pixels(index).to(device),
                    dataset.valid.labels[index].to(device),
                    self.clip_norm,
                    chunk=self.chunk,
                    method=self.per_sample,
                    advance=lambda images: show.advance("gradient variance"),
                )
        except UserError:
            raise
        except ValueError as error:
            raise UserError(f"grad_var: {error}") from None
        finally:
            show.close()
        if found.total == 0:
            raise UserError(f"{dataset.name}: the gradients of all {found.samples} images are the same")
        made = {"options": {**self.model_dump(), "seed": seed, "seeds": 1}, "seed": seed, **identify(model, dataset)}
        return _record(found, seconds=cost.seconds, peak_memory=cost.peak_memory, **made)

    def _count(self, name: str, available: int, what: str) -> int:
        return count_or_all(getattr(self, name), available, exact=name in self.model_fields_set, what=what)


def _record(found: GradientVariance, **made: Any) -> Result:
    """The figures as a record; ``made`` are its other fields."""
    count = found.samples
    return Result(
        experiment="grad_var",
        metrics={
            "log10_gradient_variance": Metric(found.log10, "", count),
            "gradient_variance": Metric(found.total, "", count),
            "zero_gradients": Metric(found.zero_gradients, "images", count),
            "clipped_gradients": Metric(100 * found.clipped / count, "%", count),
            "mean_gradient_norm": Metric(found.mean_norm, "", count),
        },
        series=tuple(
            {"layer": layer.name, "parameters": layer.parameters, "gradient_variance": layer.total}
            for layer in found.layers
        ),
        counts={"images": count, "forward": count, "backward": count},
        **made,
    )


def over_seeds(results: Sequence[Result]) -> str:
    """One line on repetitions: mean and sample standard deviation of the logarithm."""
    values = [result.metrics["log10_gradient_variance"].value or 0.0 for result in results]
    spread = statistics.stdev(values)
    return f"log10 gradient variance over {len(values)} seeds: {statistics.mean(values):.3f} ± {spread:.3f}"

"""Loss contours of one or several networks on a data set, with their pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import model_validator
from torch import nn

from autovul.base import environ
from autovul.base.options import Options, option
from autovul.base.progress import Progress
from autovul.base.result import Metric, Result
from autovul.vision.attacks.base import device_of, require_fitting
from autovul.vision.attacks.record import identify
from autovul.vision.datasets import ImageDataset
from autovul.vision.datasets.splits import count_or_all, legacy_shuffle
from autovul.vision.models.options import ModelOptions
from autovul.vision.tools.contour_pictures import draw_contours, draw_surfaces, save_contours
from autovul.vision.tools.loss_contour import POINTS, SPANS, LossContour, Space, axis, loss_contour

RECORDED = 41  # points a side of the grid in a record


class ContourMeasurement(Options):
    """Which plane the loss is drawn on, and over which images."""

    compare: tuple[str, ...] = option((), "Further networks, drawn beside --model on the same scale.")
    space: Space = option("parameter", "What is moved: the first convolution's weights, or the input.")
    points: int = option(POINTS, "Points a side of the grid; an odd number has the centre on it.", ge=2)
    span: float | None = option(
        None, f"The grid is -span … span ({SPANS['parameter']} for parameters, {SPANS['input']} for input).", gt=0
    )
    weights: str | None = option(None, "Move these weights instead, by parameter name (parameter space only).")
    sample_num: int = option(100, "Validation images that the loss is a mean over.", ge=1, unit="images")

    @model_validator(mode="after")
    def _consistent(self) -> ContourMeasurement:
        if self.weights is not None and self.space == "input":
            raise ValueError("weights names what is moved in parameter space: it does not go with space input")
        return self

    def networks(self, model: ModelOptions) -> list[ModelOptions]:
        """The options of every network that is drawn: ``model`` and, built alike, those of ``compare``."""
        others = [{"model": name, "model_arch": None, "genotype": None} for name in self.compare]
        return [model, *(model.model_copy(update=other) for other in others)]

    def measure(
        self,
        model: nn.Module,
        dataset: ImageDataset,
        *,
        seed: int = 1228,
        batch_size: int = 100,
        progress: bool = False,
    ) -> tuple[LossContour, Result]:
        """The contour of one network, and the record of it.

        Args:
            model: Takes pixels in [0, 1] and gives logits; left exactly as it is.
            dataset: Gives the images: the first of the validation split in seeded order.
            seed: Of images and directions.
            batch_size: Images a forward pass.
            progress: Whether progress is shown on stderr.

        Returns:
            The contour; and loss at the centre, its mean change over the grid, and the largest loss, in nats.

        Raises:
            UserError: Fewer images exist than were explicitly asked for, the directions do not exist, or the model has
                fewer logits than there are classes.
        """
        require_fitting(model, dataset)
        device = device_of(model)
        index, exact = legacy_shuffle(len(dataset.valid), seed), "sample_num" in self.model_fields_set
        what = f"validation images of {dataset.name}"
        index = index[: count_or_all(self.sample_num, len(index), exact=exact, what=what)]
        grid = axis(self.span or SPANS[self.space], self.points)
        show = Progress("auto" if progress else "off")
        show.start(self.points**2, done=0)

        def advance(points: int) -> None:
            for _ in range(points):
                show.advance("loss contour")

        try:
            with environ.measure(device) as cost:
                contour = loss_contour(
                    model,
                    dataset.valid.pixels(index).to(device),
                    dataset.valid.labels[index].to(device),
                    self.space,
                    alphas=grid,
                    betas=grid,
                    parameter=self.weights,
                    seed=seed,
                    batch_size=batch_size,
                    advance=advance,
                )
        finally:
            show.close()
        # Which networks were drawn beside it says nothing of this one.
        made = {"options": {**self.model_dump(), "compare": ()}, "seed": seed, **identify(model, dataset)}
        return contour, _record(contour, seconds=cost.seconds, peak_memory=cost.peak_memory, **made)

    def draw(self, contours: Mapping[str, LossContour], folder: Path, *, seed: int = 1228) -> dict[str, str]:
        """Write both pictures and the numbers, named after space, networks and seed; their paths by role."""
        stem = f"{self.space}_{'+'.join(contours)}"[:120] + f"_s{seed}"
        files = {role: folder / f"{stem}_{role}.png" for role in ("contour", "surface")}
        files["numbers"] = folder / f"{stem}.npz"
        draw_contours(files["contour"], contours)
        draw_surfaces(files["surface"], contours)
        save_contours(files["numbers"], contours)
        return {role: str(path) for role, path in files.items()}


def _record(contour: LossContour, **made: Any) -> Result:
    """The figures as a record; ``made`` are its other fields."""
    figures = {
        "center_loss": contour.center,
        "mean_loss_change": contour.mean_change,
        "largest_loss": contour.loss.max().item(),
    }
    count, points = contour.samples, contour.loss.numel() + (0.0 not in contour.alphas)
    return Result(
        experiment="loss_contour",
        environment={"span": contour.alphas[-1], "moved": contour.parameter or contour.space},
        metrics={name: Metric(value, "nats", count) for name, value in figures.items()},
        series=_series(contour),
        counts={"images": count, "forward": count * points},
        **made,
    )


def _series(contour: LossContour) -> tuple[dict[str, Any], ...]:
    """The grid as rows: α and the losses along β; of more than 41 points a side every second, third, … and the ends."""
    size = len(contour.alphas)
    kept = sorted({*range(0, size, -(-(size - 1) // (RECORDED - 1))), size - 1})
    return tuple(
        {
            "alpha": round(contour.alphas[row], 9),
            "losses": [round(contour.loss[row, column].item(), 6) for column in kept],
        }
        for row in kept
    )

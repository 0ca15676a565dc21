"""``autovul membership``: tell the images that a classifier was trained on from others."""

from __future__ import annotations

from collections.abc import Sequence

from autovul.base.cli import command
from autovul.vision import commands, datasets, models, recording


@command("membership")
def main(argv: Sequence[str] | None = None) -> int:
    """Load the weights, score members and non-members, draw the ROC curves, and write the result."""
    settings = commands.read("membership", argv)
    device = settings.environment.apply()
    dataset = datasets.from_options(settings.data)
    model = models.from_options(settings.model, dataset).to(device)
    result = settings.algorithm.run(model, dataset, recording.setup(settings, dataset, model))
    return recording.hand_over(recording.complete(result, settings, dataset, model, device), settings)


if __name__ == "__main__":
    raise SystemExit(main())

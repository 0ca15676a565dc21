"""``autovul validate``: measure a trained classifier on the validation split."""

from __future__ import annotations

from collections.abc import Sequence

from autovul.base.cli import command
from autovul.vision import commands, datasets, models, recording, validation


@command("validate")
def main(argv: Sequence[str] | None = None) -> int:
    """Load the weights, measure, and write the result."""
    settings = commands.read("validate", argv)
    recording.require_places(settings)
    device = settings.environment.apply()
    models.require_known(settings.model)
    dataset = datasets.from_options(settings.data)
    model = models.from_options(settings.model, dataset, settings.data).to(device)
    recording.require_same_cells(model, settings)
    result = validation.validate(
        model, dataset, seed=settings.environment.seed, batch_size=settings.data.valid_batch_size
    )
    return recording.hand_over(recording.complete(result, settings, dataset, model, device), settings)


if __name__ == "__main__":
    raise SystemExit(main())

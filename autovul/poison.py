"""``autovul poison``: train on poisoned data and see what it does to a classifier."""

from __future__ import annotations

from collections.abc import Sequence

from autovul.base.cli import command
from autovul.vision import commands, datasets, models, recording


@command("poison")
def main(argv: Sequence[str] | None = None) -> int:
    """Build the network, poison its training, validate, and write the result."""
    settings = commands.read("poison", argv)
    device = settings.environment.apply()
    dataset = datasets.from_options(settings.data)
    model = models.from_options(settings.model, dataset).to(device)
    result = settings.algorithm.run(model, dataset, recording.setup(settings, dataset, model))
    return recording.hand_over(recording.complete(result, settings, dataset, model, device), settings)


if __name__ == "__main__":
    raise SystemExit(main())

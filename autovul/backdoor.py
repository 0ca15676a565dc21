"""``autovul backdoor``: plant a backdoor into a trained classifier and measure it."""

from __future__ import annotations

from collections.abc import Sequence

from autovul.base.cli import command
from autovul.vision import commands, datasets, models, recording


@command("backdoor")
def main(argv: Sequence[str] | None = None) -> int:
    """Load the weights, plant the backdoor into a copy, measure both, and write the result."""
    settings = commands.read("backdoor", argv)
    device = settings.environment.apply()
    dataset = datasets.from_options(settings.data)
    model = models.from_options(settings.model, dataset).to(device)
    result = settings.algorithm.run(model, dataset, recording.setup(settings, dataset, model))
    return recording.hand_over(recording.complete(result, settings, dataset, model, device), settings)


if __name__ == "__main__":
    raise SystemExit(main())

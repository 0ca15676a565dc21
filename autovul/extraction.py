"""``autovul extraction``: steal a trained classifier by training a copy on its answers."""

from __future__ import annotations

from collections.abc import Sequence

from autovul.base.cli import command
from autovul.vision import commands, datasets, models, recording


@command("extraction")
def main(argv: Sequence[str] | None = None) -> int:
    """Load the victim's weights, ask it, train thieves, compare, and write the result."""
    settings = commands.read("extraction", argv)
    device = settings.environment.apply()
    dataset = datasets.from_options(settings.data)
    model = models.from_options(settings.model, dataset).to(device)
    result = settings.algorithm.run(model, dataset, recording.setup(settings, dataset, model))
    return recording.hand_over(recording.complete(result, settings, dataset, model, device), settings)


if __name__ == "__main__":
    raise SystemExit(main())

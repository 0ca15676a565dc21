"""What the commands of the five attacks do, each for the attacks of its own experiment."""

from __future__ import annotations

from collections.abc import Sequence

from autovul.vision import commands, datasets, models, recording


def run(name: str, argv: Sequence[str] | None) -> int:
    """Build or load the network, attack it, and write the result."""
    settings = commands.read(name, argv)
    attack = settings.algorithm.in_pixel_units()
    recording.require_places(settings)
    device = settings.environment.apply()
    models.require_known(settings.model)
    dataset = datasets.from_options(settings.data)
    model = models.from_options(settings.model, dataset, settings.data).to(device)
    recording.require_same_cells(model, settings)
    result = attack.run(model, dataset, recording.setup(settings, dataset, model))
    return recording.hand_over(recording.complete(result, settings, dataset, model, device), settings)

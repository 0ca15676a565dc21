"""``autovul adv_attack``: attack a trained classifier with adversarial examples."""

from __future__ import annotations

from collections.abc import Sequence

from autovul.base.cli import command
from autovul.vision import commands, datasets, models, recording


@command("adv_attack")
def main(argv: Sequence[str] | None = None) -> int:
    """Load the weights, attack, draw examples, and write the result."""
    settings = commands.read("adv_attack", argv)
    device = settings.environment.apply()
    dataset = datasets.from_options(settings.data)
    model = models.from_options(settings.model, dataset).to(device)
    attack = settings.algorithm.in_pixel_units()
    result = attack.run(model, dataset, recording.setup(settings, dataset, model))
    return recording.hand_over(recording.complete(result, settings, dataset, model, device), settings)


if __name__ == "__main__":
    raise SystemExit(main())

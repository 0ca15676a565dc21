"""``autovul grad_var``: how much a network's gradient differs from image to image."""

from __future__ import annotations

from collections.abc import Sequence

from autovul.base.cli import command
from autovul.base.environ import seed_everything
from autovul.vision import commands, datasets, models, recording
from autovul.vision.tools.gradient_measurement import over_seeds


@command("grad_var")
def main(argv: Sequence[str] | None = None) -> int:
    """Build the network for each seed, measure it, and write its result."""
    settings = commands.read("grad_var", argv)
    recording.require_places(settings)
    device = settings.environment.apply()
    models.require_known(settings.model)
    dataset = datasets.from_options(settings.data)
    results = []
    for seed in settings.tool.seed_list(settings.environment.seed, pretrain=settings.model.pretrain):
        seed_everything(seed)
        model = models.from_options(settings.model, dataset, settings.data).to(device)
        recording.require_same_cells(model, settings)
        model = settings.tool.prepare(model, dataset, seed)
        result = settings.tool.run(model, dataset, seed=seed, progress=settings.environment.tqdm, prepared=True)
        results.append(result)
        recording.hand_over(recording.complete(result, settings, dataset, model, device), settings)
    if len(results) > 1:
        print(over_seeds(results))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

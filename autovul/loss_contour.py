"""``autovul loss_contour``: draw the loss around a network's weights, or around its images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autovul.base.cli import command
from autovul.vision import commands, datasets, models, recording


@command("loss_contour")
def main(argv: Sequence[str] | None = None) -> int:
    """Build the networks, evaluate the grid for each, draw them side by side, and write the results."""
    settings = commands.read("loss_contour", argv)
    recording.require_places(settings)
    environment, tool = settings.environment, settings.tool
    device = environment.apply()
    chosen = tool.networks(settings.model)
    for each in chosen:
        models.require_known(each)
    dataset = datasets.from_options(settings.data)
    # All are built before the first is measured: what is missing is said at once.
    networks = [(each, models.from_options(each, dataset, settings.data).to(device)) for each in chosen]
    recording.require_same_cells(networks[0][1], settings)
    contours, records = {}, []
    for options, model in networks:
        contour, result = tool.measure(
            model, dataset, seed=environment.seed, batch_size=settings.data.valid_batch_size, progress=environment.tqdm
        )
        contours[result.model] = contour
        record = recording.complete(result, settings, dataset, model, device)
        named = options.model_dump(include={"model", "model_arch", "genotype"})
        records.append(record.replace(options={**record.options, **named}))
    place = Path("image", dataset.name, records[0].model + settings.model.suffix, "loss_contour")
    files = tool.draw(contours, Path(settings.output.attack_dir, place), seed=environment.seed)
    return max(recording.hand_over(record.replace(files=files), settings) for record in records)


if __name__ == "__main__":
    raise SystemExit(main())

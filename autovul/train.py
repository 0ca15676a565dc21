"""``autovul train``: train an image classifier."""

from __future__ import annotations

from collections.abc import Sequence

from autovul.base import distributed
from autovul.base.cli import command
from autovul.vision import commands, datasets, models, recording, training


@command("train")
def main(argv: Sequence[str] | None = None) -> int:
    """Train, save the weights, and write the result; of several processes that torchrun started, the first does."""
    settings = commands.read("train", argv)
    recording.require_places(settings)
    with distributed.joined(settings.environment.device) as team:
        device = settings.environment.apply()
        models.require_known(settings.model)
        dataset = datasets.from_options(settings.data)
        model = models.from_options(settings.model, dataset, settings.data).to(device)
        if settings.training.resume and (record := training.finished(model, dataset, settings)):
            if team.leads:
                print(f"finished already: {record}")
            return 0
        training.require_own_weights(model, dataset, settings)
        result = training.train(model, dataset, settings, device)
    if not team.leads:
        return 0
    status = recording.hand_over(recording.complete(result, settings, dataset, model, device), settings)
    if result.status == "ok":
        training.discard_state(model, dataset, settings)
    return status


if __name__ == "__main__":
    raise SystemExit(main())

"""How a model does on the validation split."""

from __future__ import annotations

from torch import nn

from autovul.base import environ
from autovul.base.errors import UserError
from autovul.base.result import Metric, Result
from autovul.base.trainer import evaluate
from autovul.vision.attacks.base import device_of, require_fitting, require_model_and_data
from autovul.vision.attacks.record import identify
from autovul.vision.datasets import ImageDataset
from autovul.vision.models.quick import quick


def validate(model: nn.Module, dataset: ImageDataset, *, seed: int = 1228, batch_size: int = 100) -> Result:
    """Accuracy and loss over the whole validation split, in fp32.

    Raises:
        TypeError: As `attacks.base.require_model_and_data`.
        UserError: The model gives NaN, or fewer logits than there are classes.
    """
    require_model_and_data(model, dataset)
    device, asked = device_of(model), quick(model)
    require_fitting(asked, dataset)
    with environ.measure(device) as cost:
        found = evaluate(asked, dataset.valid_batches(batch_size, device))
    if found.loss != found.loss:
        raise UserError("the model's logits are not finite: the network has diverged")
    metrics = {
        "valid_accuracy": Metric(100 * found.accuracy, "%", found.count),
        "valid_loss": Metric(found.loss, "nats", found.count),
    }
    if found.top5 is not None:
        metrics["top5_accuracy"] = Metric(100 * found.top5, "%", found.count)
    return Result(
        experiment="validate",
        seed=seed,
        metrics=metrics,
        counts={"images": found.count, "forward": found.count},
        seconds=cost.seconds,
        peak_memory=cost.peak_memory,
        **identify(model, dataset),
    )

"""Batches, the loss on them, and how a model does on them."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autovul.base.training.history import Evaluation
from autovul.base.training.precision import Precision, effective_precision, without_tf32


@runtime_checkable
class Batches(Protocol):
    """A data set in batches, whose content depends only on its seed, the epoch and the batch's place.

    That lets a run resume in the middle of an epoch without replaying its beginning.
    """

    num_samples: int

    def __len__(self) -> int:
        """Batches in an epoch."""
        ...

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Any]]:
        """The batches ``start``, ``start + 1``, … of an epoch (from 0).

        Each is a pair: inputs (N, …), and labels (N,) of int64 or class probabilities (N, classes); or a tuple whose
        first entry is one of these and whose further ones serve a custom step.
        """
        ...


Step = Callable[[nn.Module, Tensor, Any], tuple[Tensor, Tensor]]
"""``step(model, x, y) -> (loss, logits)``: a scalar to differentiate, and logits of x (N, classes) for the accuracy.

A step that takes more than one forward and one backward pass an image says so in an attribute, ``passes``: a pair.
"""


def labels_of(y: Any) -> Tensor:
    """The labels or probabilities of a batch, without what a custom step may carry beside them."""
    return y if isinstance(y, Tensor) else y[0]


def count_correct(logits: Tensor, labels: Tensor) -> Tensor:
    """How many rows of logits are highest at the label, or at the most probable class."""
    classes = labels if labels.ndim == 1 else labels.argmax(dim=1)
    return logits.argmax(dim=1).eq(classes).sum()


def cross_entropy_step(
    model: nn.Module, x: Tensor, y: Any, auxiliary_weight: float = 0.4, label_smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Cross entropy: ``−log softmax(logits)[y]``, or ``−Σ y log softmax(logits)`` for probabilities; batch mean.

    With ``label_smoothing`` s, a label counts as probabilities ``(1 − s) · y + s / classes``.

    A model with an auxiliary head gives ``(logits, auxiliary_logits)`` in training mode; the loss is then
    ``CE(logits) + auxiliary_weight · CE(auxiliary_logits)``.
    """
    labels, output = labels_of(y), model(x)
    loss = functools.partial(F.cross_entropy, target=labels, label_smoothing=label_smoothing)
    if isinstance(output, Tensor):
        return loss(output), output
    logits, auxiliary = output
    return loss(logits) + auxiliary_weight * loss(auxiliary), logits


def evaluate(model: nn.Module, batches: Batches, *, precision: str = "fp32") -> Evaluation:
    """Mean cross entropy and accuracy over one pass, in evaluation mode; the model's modes are as before afterwards.

    Args:
        model: Maps inputs to logits (N, classes).
        batches: Moved to the model's device where they are elsewhere.
        precision: ``fp32``, ``auto``, ``bf16`` or ``fp16``.

    Raises:
        ValueError: There are no samples.
    """
    return evaluate_pairs(model, batches.epoch(0), precision=precision)


@torch.no_grad()
def evaluate_pairs(model: nn.Module, pairs: Iterable[tuple[Tensor, Any]], *, precision: str = "fp32") -> Evaluation:
    """`evaluate` over pairs (x, y) from anywhere."""
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    autocast = Precision(effective_precision(precision, device, model), device.type).autocast
    count, rows = 0, []
    with evaluation_mode(model), without_tf32():
        for x, y in pairs:
            labels = labels_of(y).to(device, non_blocking=True)
            with autocast():
                logits = model(x.to(device, non_blocking=True))
            count += len(logits)
            rows.append(_measure(logits.float(), labels))  # stays on the device: reading each would wait for it
    if not count:
        raise ValueError("evaluate needs at least one sample")
    loss, correct, top5 = torch.stack(rows).sum(dim=0).tolist()
    return Evaluation(loss / count, correct / count, top5 / count if logits.shape[1] > 5 else None, count)


def _measure(logits: Tensor, labels: Tensor) -> Tensor:
    exact = torch.float32 if logits.device.type == "mps" else torch.float64
    loss = F.cross_entropy(logits, labels, reduction="sum")
    classes = labels if labels.ndim == 1 else labels.argmax(dim=1)
    ranked = logits.topk(min(5, logits.shape[1])).indices.eq(classes[:, None])
    ranked &= logits.isnan().any(dim=1, keepdim=True).logical_not()  # NaN ranks highest and would count as a hit
    return torch.stack([loss.to(exact), ranked[:, 0].sum().to(exact), ranked.sum().to(exact)])


@contextlib.contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """The model in eval mode for a while; each module's mode is as before afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training

"""What makes the figures of a network doubtful: found by asking it, and by its accuracy."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from autovul.base.result import DESTROYED, Metric
from autovul.vision.attacks.base import untouched
from autovul.vision.attacks.victim import questioned

RANDOM = (
    "two passes over the same images gave different logits: the network draws at random in eval mode, so that every "
    "figure holds its chance, and boundary distances mean nothing; adv_attack --eot_samples 10 takes the mean of ten "
    "gradients"
)
PROBABILITIES = (
    "it gives probabilities, not logits (all lie within 0 and 1): leave the softmax or sigmoid out of forward, else "
    "losses, confidences and stop conditions are wrong"
)
NEIGHBOURS = (
    "an image alone has other logits than among others: the network mixes the images of a batch in eval mode, so that "
    "figures depend on which are attacked together"
)
_SCALE = "it is at chance on pixels in [0, 1], which are what autovul gives, and above it on the same {}: {}"
TIMES_255 = _SCALE.format("times 255", "forward must not divide by 255, else what looks like robustness is none")
NORMALISED = _SCALE.format("with mean 0 and deviation 1", "let forward normalise them")
NOTHING_STOLEN = (
    "its thief has learnt nothing from {:,.0f} queries (it agrees with it on {:.1f} % of the images), a failure "
    "of its training and no strength of the victim: try another --lr, --grad_clip or a longer --epoch"
)
# The accuracy of the network itself, before any attack; in poison_random, which trains anew, that of no wrong labels.
ACCURACIES = ("valid_accuracy", "clean_accuracy_before", "victim_accuracy", "clean_accuracy_0pct")


def doubts(model: nn.Module, images: Tensor) -> list[str]:
    """Reasons to doubt what is measured on a model; none where it gives the same finite logits each time.

    Args:
        model: Left as it was.
        images: (N, C, H, W), in [0, 1], on the model's device; a few are enough.
    """
    with untouched(model), torch.no_grad():
        first, second, alone = (model(asked).float() for asked in (images, images, images[:1]))
    if not bool(first.isfinite().all()):
        return []
    found = []
    # A GPU may add up in another order each time, and of another batch in another way.
    largest = 1e-3 * first.abs().amax()
    if bool((first - second).abs().amax() > largest):
        found.append(RANDOM)
    elif bool((first[:1] - alone).abs().amax() > largest):
        found.append(NEIGHBOURS)
    if bool(((first >= 0) & (first <= 1 + 1e-3)).all()):
        found.append(PROBABILITIES)
    return found


def doubts_of_accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> list[str]:
    """Whether a trained model is at chance, and then whether it wants other pixels.

    Args:
        model: Left as it was.
        images: (N, C, H, W), in [0, 1]; some hundred of all classes.
        labels: (N,).
    """
    accuracy = _accuracy(model, images, labels)
    doubt = "" if accuracy is None else _chance(accuracy, labels)
    if not doubt:
        return []
    mean, deviation = images.mean((0, 2, 3), keepdim=True), images.std((0, 2, 3), keepdim=True)
    others = {TIMES_255: 255 * images, NORMALISED: (images - mean) / deviation.clamp(min=1 / 255)}
    accuracies = {name: _accuracy(model, pixels, labels) or 0.0 for name, pixels in others.items()}
    best = max(accuracies, key=accuracies.__getitem__)
    # Noise that became an answer is a little better than chance on some pixels.
    learnt = _most_frequent(labels) + (1 - _most_frequent(labels)) / 4
    return [best if accuracies[best] > learnt and not _chance(accuracies[best], labels) else doubt]


def doubts_of_figures(metrics: Mapping[str, Metric], labels: Tensor) -> list[str]:
    """Whether the network of a record is at chance, its thief is, or an attack that trains it has destroyed it.

    Args:
        metrics: The record's.
        labels: Of the validation images.
    """
    known = {name: metric.value for name, metric in metrics.items() if metric.value is not None}
    accuracy = next((known[name] for name in ACCURACIES if name in known), None)
    if accuracy is None:
        return []
    if doubt := _chance(accuracy / 100, labels):
        return [doubt]
    if "agreement" in known and "queries" in known:
        agreed = known.get(f"agreement_{known['queries']:.0f}_queries", known["agreement"])
        return [NOTHING_STOLEN.format(known["queries"], agreed)] if _chance(agreed / 100, labels) else []
    before, after = (known.get(name) for name in ("clean_accuracy_before", "clean_accuracy"))
    if before is None or after is None or before - after <= (before - 100 * _most_frequent(labels)) / 2:
        return []
    return [
        f"{DESTROYED} from {before:.1f} to {after:.1f} %, so that its success rate cannot be compared: try a smaller "
        "--lr"
    ]


def _accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float | None:
    """As a share; None where there are no answers that are finite, as to pixels that the network does not want."""
    try:
        with questioned(model) as victim:
            return (victim.labels(images).cpu() == labels).double().mean().item()
    except Exception:  # the user's code, on pixels that it may refuse in any way
        return None


def _chance(accuracy: float, labels: Tensor) -> str:
    """The doubt about an accuracy (a share) on images of these labels, or nothing.

    Clearly above are three standard deviations of a network that names the most frequent class as often as it is, and
    half of what there is to learn, of which few images would else ask more than all.
    """
    share = _most_frequent(labels)
    if accuracy > min(share + 3 * math.sqrt(share * (1 - share) / len(labels)), (1 + share) / 2):
        return ""
    return (
        f"its accuracy, {100 * accuracy:.1f} %, is not clearly above that of always naming the most frequent class, "
        f"{100 * share:.1f} %: a network that has learnt nothing shows no vulnerability"
    )


def _most_frequent(labels: Tensor) -> float:
    """The share of the class that most images are of."""
    return labels.bincount().max().item() / len(labels)

"""What all attacks share: they hold hyper-parameters, leave the model as they found it, and give a result record."""

from __future__ import annotations

import hashlib
import operator
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from autovul.base.errors import UserError
from autovul.base.memory import is_out_of_memory
from autovul.base.options import Options
from autovul.base.registry import Registry
from autovul.base.training.options import TrainingOptions
from autovul.base.training.precision import without_tf32
from autovul.vision.datasets import ImageDataset
from autovul.vision.models.base import structure
from autovul.vision.models.probe import probing

if TYPE_CHECKING:
    from autovul.base.result import Result
    from autovul.vision.datasets import Augmentation

registry: Registry[type[Attack]] = Registry("attack")


@dataclass(frozen=True)
class Setup:
    """How an attack runs, as opposed to what it does.

    Args:
        seed: Of everything that is drawn.
        attack_batch: Images attacked together; it changes speed and memory only (but for what is drawn at random:
            restarts and black-box noise).
        training: The recipe of the training that is part of some attacks; None: the attack's own.
        batch_size: Images of a training batch.
        valid_batch: Validation images that pass a network together.
        augmentation: How training images are varied; None: as `Attack.recipe` says.
        progress: Whether progress is shown on stderr.
        folder: Where pictures, triggers and models go, a path or text; None: nowhere.
        log_folder: Where the logs of trainings go; None: nowhere.
        options_recorded: Whether whoever writes the record adds the options of training and data, as the commands do.

    Raises:
        TypeError, ValueError: A value is of another type, or a batch is empty.
    """

    seed: int = 1228
    attack_batch: int = 100
    training: TrainingOptions | None = None
    batch_size: int = 96
    valid_batch: int = 100
    augmentation: Augmentation | None = None
    progress: bool = False
    folder: Path | None = None
    log_folder: Path | None = None
    options_recorded: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", operator.index(self.seed))
        if self.training is not None and not isinstance(self.training, TrainingOptions):
            raise TypeError(f"training must be TrainingOptions(…) or None, got {_kind(self.training)}")
        for name in ("attack_batch", "batch_size", "valid_batch"):
            if operator.index(getattr(self, name)) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("folder", "log_folder"):
            if (given := getattr(self, name)) is not None:
                object.__setattr__(self, name, Path(given))


class Attack(Options):
    """An attack as a value: two with equal hyper-parameters are equal, and neither model nor data is part of it.

    Attributes:
        experiment: The experiment, and the command, that the attack belongs to.
        name: The name it is registered under.
        recipe: What it asks of the options of other groups (training, data) where nobody says otherwise.
    """

    experiment: ClassVar[str]
    name: ClassVar[str]
    recipe: ClassVar[Mapping[str, Any]] = {}

    def in_pixel_units(self) -> Attack:
        """The attack with its options as the command line means them; most are meant as they stand."""
        return self

    def in_short(self) -> str:
        """What the head line of a summary says of it, in pixel units."""
        return ""

    @abstractmethod
    def run(self, model: nn.Module, dataset: ImageDataset, setup: Setup = Setup()) -> Result:
        """Attack ``model`` as the protocol says and measure the outcome on ``dataset``; `record` makes the record."""


def describe(model: nn.Module) -> dict[str, Any]:
    """Name and group of a model for a result record; any module will do.

    One without a ``name`` is called by its class and a digest of its `structure`, so that records of two networks are
    not taken for those of one.
    """
    name = getattr(model, "name", None)
    if not isinstance(name, str):
        digest = hashlib.sha256(repr(sorted(structure(model))).encode()).hexdigest()
        name = f"{type(model).__name__}-{digest[:6]}"
    return {"model": name, "group": getattr(model, "group", "yours")}


def device_of(model: nn.Module) -> torch.device:
    """Where the model's first parameter or buffer lies; the CPU if it has none."""
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return torch.device("cpu")


@contextmanager
def untouched(model: nn.Module) -> Iterator[nn.Module]:
    """The model in eval mode with no parameter asking for gradients; afterwards everything is as it was.

    Inside, gradients are recorded, whatever the mode outside; of tensors that ``inference_mode`` made, of their copies
    only. Restored are each module's mode, each parameter's ``requires_grad``, every buffer with its content, and the
    random state of torch (a model may draw at inference). ``.grad`` is never written, because nothing asks for it.
    """
    wanted = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    with probing(model), without_tf32(), torch.inference_mode(False), torch.enable_grad():
        try:
            for parameter, _ in wanted:
                parameter.requires_grad_(False)
            yield model
        finally:
            for parameter, want in wanted:
                parameter.requires_grad_(want)


def require_images(images: Tensor) -> Tensor:
    """Check a batch of images: floating point, (N, C, H, W), every pixel in [0, 1].

    Raises:
        ValueError: It is not; the message says in which way.
    """
    if not isinstance(images, Tensor) or images.ndim != 4 or not images.is_floating_point():
        raise ValueError(f"images must be a floating-point tensor (N, C, H, W), got {_kind(images)}")
    if len(images) and not bool(((images >= 0) & (images <= 1)).all()):
        raise ValueError("images must lie in [0, 1]")
    return images


def require_classes(labels: Tensor, count: int, name: str = "labels") -> Tensor:
    """Check the classes of a batch: int64, (count,), none below 0.

    Raises:
        ValueError: They are not; the message says in which way.
    """
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or labels.shape != (count,):
        raise ValueError(f"{name} must be an int64 tensor ({count},), got {_kind(labels)}")
    if count and int(labels.min()) < 0:
        raise ValueError(f"{name} must be class indices of at least 0, got {int(labels.min())}")
    return labels


def require_logits(output: Any) -> Tensor:
    """Check what a model gives for images: a tensor (N, classes).

    Raises:
        UserError: It is something else, such as a tuple or a dictionary that holds it.
    """
    if not isinstance(output, Tensor) or output.ndim != 2:
        raise UserError(f"the model must give logits (N, classes), and gives {_kind(output)}: wrap it so that it does")
    return output


def ask(model: nn.Module, images: Tensor) -> Tensor:
    """A model's logits for the first images that it is asked about, with the mistakes of foreign models told.

    Args:
        model: As it was handed over.
        images: (N, C, H, W) on its device.

    Raises:
        UserError: It takes no such images, gives no logits, or changes its input in place, so that whatever goes on
            with the images would go on with others.
    """
    given = images.clone()
    try:
        logits = require_logits(model(given))
    except (RuntimeError, TypeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        message = " ".join(str(error).split())
        raise UserError(f"the model does not take images, {_kind(images)}: {message[:300]}") from error
    if not torch.equal(given, images):
        raise UserError("the model changes its input in place (as x -= mean does): let it compute x = x - mean")
    return logits


def require_differentiable(value: Tensor, advice: str = "this attack makes its trigger by gradients") -> Tensor:
    """Check that autograd leads from a value back to the image.

    Args:
        value: What shall be descended.
        advice: Why it is needed, or what else to do, as a clause.

    Raises:
        UserError: It does not: something on the way is computed without it (NumPy, ``torch.no_grad``).
    """
    if not value.requires_grad:
        raise UserError(f"what the model gives is not differentiable in the image: {advice}")
    return value


def require_all_classes(logits: Tensor, dataset: ImageDataset) -> Tensor:
    """Check that a model has a logit (N, classes) for each class of a data set; it may have more.

    Raises:
        UserError: It has fewer.
    """
    if logits.shape[1] < dataset.num_classes:
        raise UserError(
            f"the model gives {logits.shape[1]} logits and {dataset.name} has {dataset.num_classes} classes: "
            "it is a model of other data"
        )
    return logits


def require_model_and_data(model: object, dataset: object) -> None:
    """Check what a library's user hands over.

    Raises:
        TypeError: It is something else, such as the name of a model or of a data set.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, such as models.create(…) makes, got {_kind(model)}")
    if not isinstance(dataset, ImageDataset):
        raise TypeError(f"dataset must be an ImageDataset, such as datasets.create(…) makes, got {_kind(dataset)}")


def require_fitting(model: nn.Module, dataset: ImageDataset) -> None:
    """Check that a model has a logit for each class of a data set, on two images.

    For what trains or takes losses, where a label beyond the logits would end in an error of PyTorch's; on CUDA in one
    that ends the process.

    Raises:
        TypeError: As `require_model_and_data`.
        UserError: It has fewer, or `ask` finds a mistake.
    """
    require_model_and_data(model, dataset)
    with untouched(model), torch.no_grad():
        require_all_classes(ask(model, dataset.valid.pixels(slice(0, 2)).to(device_of(model))), dataset)


def _kind(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{value.dtype} of shape {tuple(value.shape)}"
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"

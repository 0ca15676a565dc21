"""What every model offers, and the way the project's own networks are put together."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from autovul.base.checkpoint import save_state
from autovul.base.errors import UsageError, nearest
from autovul.vision.models.registry import DataShape, Network, Parts
from autovul.vision.models.weights import fitting

IN_PLACE = re.compile(r"(, )?inplace=True")  # computes the same


def structure(model: nn.Module) -> set[str]:
    """What a network is made of: each submodule's kind and settings, and each tensor's shape, by name.

    Equal for two networks that differ in weights only. Of modules that are not PyTorch's the settings are not known.
    """
    found = set()
    for name, module in model.named_modules():
        kind = f"{type(module).__module__}.{type(module).__qualname__}"
        settings = module.extra_repr() if kind.startswith("torch.nn.") else ""
        found.add(f"{name}: {kind}({IN_PLACE.sub('', settings)})")
    for name, tensor in model.state_dict().items():
        if isinstance(tensor, torch.Tensor):
            found.add(f"{name}: {'open' if is_lazy(tensor) else tuple(tensor.shape)}")
    return found


class ImageModel(nn.Module):
    """A classifier that takes pixels in [0, 1] and gives logits.

    Attributes:
        name: Canonical name; checkpoints, folders and results carry it.
        group: A key of `autovul.base.groups.GROUPS`.
        num_classes: Number of logits.
        data_shape: (channels, height, width) of an image.
        auxiliary_weight: Weight of the auxiliary head's loss, where there is such a head.
    """

    auxiliary_head: nn.Module | None
    builder: Callable[[], ImageModel] | None = None

    def __init__(
        self, name: str, group: str, num_classes: int, data_shape: DataShape, auxiliary_weight: float = 0.4
    ) -> None:
        super().__init__()
        self.name = name
        self.group = group
        self.num_classes = num_classes
        self.data_shape = data_shape
        self.auxiliary_head = None
        self.auxiliary_weight = auxiliary_weight

    def fresh(self) -> ImageModel:
        """The same network built anew, in eval mode on the CPU, with weights drawn from torch's global generator.

        Raises:
            UsageError: The model was not made by `models.create`, which alone knows how to build it, or was rebuilt by
                hand since.
        """
        if self.builder is None:
            raise UsageError(f"{self.name} cannot be built anew: it was not made by models.create")
        built = self.builder()
        own, original = structure(self), structure(built)
        if changed := [*sorted(own - original), *sorted(original - own)]:
            raise UsageError(
                f"{self.name} cannot be built anew: it was changed since models.create made it ({changed[0]}), and new "
                "weights would be those of the original. Put your network into a function, and create that "
                "(package.module:build)"
            )
        return built

    def takes_channels_last(self) -> bool:
        """Whether the network computes the same with its convolutions stored channels last."""
        return True

    def get_fm(self, x: torch.Tensor) -> torch.Tensor:
        """Feature maps before the pooling, (N, F, h, w), of images (N, C, H, W) in [0, 1]."""
        raise NotImplementedError

    def get_final_fm(self, x: torch.Tensor) -> torch.Tensor:
        """Features that the classifier sees, (N, F), of images (N, C, H, W) in [0, 1]."""
        raise NotImplementedError

    def get_layer(self, x: torch.Tensor, name: str) -> torch.Tensor:
        """Output of a layer.

        Args:
            x: Images (N, C, H, W) in [0, 1].
            name: A submodule as ``named_modules`` calls it ("flatten", "features.layer1.0"), or "logits". Of a layer
                that runs several times, the last output is taken.

        Raises:
            UsageError: There is no such layer, or it does not run or gives no tensor.
        """
        if name == "logits":
            output = self(x)
            return output[0] if isinstance(output, tuple) else output
        layers = self._layers()
        if name not in layers:
            raise UsageError(f"{self.name} has no layer {name!r}{nearest(name, ['logits', *layers])}")
        outputs: list[Any] = []

        def keep(module: nn.Module, inputs: Any, output: Any) -> None:
            # A copy: what follows the layer, such as an activation, may overwrite its output in place.
            outputs.append(output.clone() if isinstance(output, torch.Tensor) else output)

        handle = layers[name].register_forward_hook(keep)
        try:
            self(x)
        finally:
            handle.remove()
        if not outputs or not isinstance(outputs[-1], torch.Tensor):
            raise UsageError(f"layer {name!r} of {self.name} gives no tensor in this mode")
        return outputs[-1]

    def _layers(self) -> dict[str, nn.Module]:
        return {name: module for name, module in self.named_modules() if name}

    def load(self, path: str | Path) -> None:
        """Load weights from a file that `save`, or the published artifact, has written.

        Raises:
            UserError: The file is missing or damaged, or its keys or shapes are not this model's.
        """
        title, has_head = f"{self.name} with {self.num_classes} classes", self.auxiliary_head is not None
        self.load_state_dict(fitting(path, self.state_dict(), title, has_head=has_head))

    def save(self, path: str | Path) -> None:
        """Write the bare ``state_dict`` to a file, whole or not at all."""
        save_state(path, self.state_dict())


class Normalize(nn.Module):
    """(x − mean) / std for each channel. It has no keys in the ``state_dict``.

    Args:
        mean: Of pixels in [0, 1], one per channel.
        std: Positive, one per channel.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self._values = {"mean": tuple(mean), "std": tuple(std)}
        for name, values in self._values.items():
            self.register_buffer(name, torch.tensor(values).view(-1, 1, 1), persistent=False)

    def _apply(self, fn: Any, recurse: bool = True) -> Normalize:
        # Going to another type rounds once, from the numbers as given: float64 gets all their digits.
        super()._apply(fn, recurse)
        for name, values in self._values.items():
            buffer = getattr(self, name)
            setattr(self, name, torch.tensor(values, dtype=buffer.dtype, device=buffer.device).view(-1, 1, 1))
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if isinstance(x, torch.Tensor) and not x.is_floating_point():  # torch.fx puts a stand-in in its place
            raise ValueError(f"images must be pixels from 0 to 1, got {x.dtype}: see ImageSplit.pixels")
        return (x - self.mean) / self.std


class ComposedModel(ImageModel):
    """normalize → features → pool (global average) → flatten → classifier.

    In train mode a model with an auxiliary head returns ``(logits, auxiliary logits)``.

    Args:
        network: Where name and group come from.
        parts: Features, classifier and perhaps an auxiliary head.
        num_classes: Number of logits.
        data_shape: (channels, height, width) of an image.
        mean, std: Of the pixels in [0, 1], one per channel.
        auxiliary_weight: Weight of the auxiliary head's loss.
    """

    def __init__(
        self,
        network: Network,
        parts: Parts,
        num_classes: int,
        data_shape: DataShape,
        mean: Sequence[float],
        std: Sequence[float],
        auxiliary_weight: float = 0.4,
    ) -> None:
        super().__init__(network.name, network.group, num_classes, data_shape, auxiliary_weight)
        self.normalize = Normalize(mean, std)
        self.features = parts.features
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = parts.classifier
        if parts.auxiliary_head is not None:
            self.auxiliary_head = parts.auxiliary_head

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        if self.training and self.auxiliary_head is not None:
            features, tap = cast(Any, self.features).forward_auxiliary(self.normalize(x))
            logits = self.classifier(self.flatten(self.pool(features)))
            return logits, self.auxiliary_head(tap)
        return self.classifier(self.get_final_fm(x))

    def get_fm(self, x: torch.Tensor) -> torch.Tensor:
        return self.features(self.normalize(x))

    def get_final_fm(self, x: torch.Tensor) -> torch.Tensor:
        return self.flatten(self.pool(self.get_fm(x)))

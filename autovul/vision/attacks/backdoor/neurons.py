"""Logits and the activations of one layer from a single forward pass."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from autovul.base.errors import UsageError, nearest
from autovul.vision.models.own import OwnModel

FINAL = "flatten"  # what the project's own networks call the features that the classifier sees


class Neurons:
    """Runs a model and listens to one of its layers; a context manager, outside of which the model has no hooks.

    Each channel of a layer counts as a neuron: feature maps (N, C, H, W) are averaged over their area, tokens (N, T, F)
    over the tokens. What linear layers and layer norms take and give has its channels in the last dimension; so has
    what other layers give in three dimensions, unless they are 1-D ones (`torch.nn.Conv1d` and the like).

    Args:
        model: Any module that maps images to logits; in training mode also to (logits, auxiliary logits).
        layer: A submodule as ``named_modules`` calls it, or "logits". "flatten" stands for the features that the
            classifier sees; in a model without a layer of that name, for what its last linear layer is given.

    Attributes:
        forward: Images that went through the model here.
        backward: Those that gradients were then taken of; who takes them counts them.

    Raises:
        UsageError: There is no such layer.
    """

    def __init__(self, model: nn.Module, layer: str = FINAL) -> None:
        self.model, self.layer = model, layer
        self.forward = self.backward = 0
        inner = model.network if isinstance(model, OwnModel) else model
        layers = {name: module for name, module in inner.named_modules() if name}
        self._linear: list[nn.Module] = []
        self._listened: nn.Module | None = layers.get(layer)
        if self._listened is None and layer == FINAL:
            self._linear = [module for module in layers.values() if isinstance(module, nn.Linear)]
        if self._listened is None and not self._linear and layer != "logits":
            name = getattr(model, "name", type(model).__name__)
            raise UsageError(f"preprocess_layer: {name} has no layer {layer!r}{nearest(layer, ['logits', *layers])}")
        self._heard: list[Any] = []
        self._listens = False  # to its own calls alone: the model is called by others too, such as validation
        self._handles: list[Any] = []

    @classmethod
    def hears(cls, model: nn.Module) -> bool:
        """Whether a model has the features that its classifier sees."""
        try:
            cls(model)
        except UsageError:
            return False
        return True

    def __enter__(self) -> Neurons:
        if self._listened is not None:
            self._handles = [self._listened.register_forward_hook(lambda module, inputs, output: self._hear(output))]
        else:
            self._handles = [
                linear.register_forward_hook(lambda module, inputs, output: self._hear(inputs[0], output))
                for linear in self._linear
            ]
        return self

    def _hear(self, activations: Any, given: Any = None) -> None:
        if not self._listens:
            return
        # A copy: what follows a layer, such as an activation, may overwrite its output in place.
        self._heard.append((activations.clone() if isinstance(activations, Tensor) else activations, given))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles, self._heard = [], []

    def __call__(self, images: Tensor) -> tuple[Any, Tensor]:
        """Run the model.

        Args:
            images: (N, C, H, W), in [0, 1].

        Returns:
            What the model gives, and the activations (N, F). Of a layer that runs several times, the last.

        Raises:
            UsageError: The layer does not run, or gives no tensor with a row for each image.
        """
        self.forward += len(images)
        self._heard, self._listens = [], True
        try:
            output = self.model(images)
        finally:
            self._listens = False
        logits = output[0] if isinstance(output, tuple) else output
        heard: Any = self._heard[-1][0] if self._heard else None
        # An auxiliary head is linear too, and may run last.
        heard = next((activations for activations, given in self._heard if given is logits), heard)
        if self._listened is None and not self._linear:
            heard = logits
        if not isinstance(heard, Tensor) or heard.ndim < 2 or len(heard) != len(images):
            raise UsageError(f"preprocess_layer: {self.layer!r} gives no activations for each image")
        if heard.ndim > 2:
            heard = heard.flatten(1, -2).mean(1) if self._has_channels_last(heard.ndim) else heard.flatten(2).mean(2)
        return output, heard

    def _has_channels_last(self, dimensions: int) -> bool:
        layer = self._listened
        # Norms derived from the layer norm, such as torchvision's LayerNorm2d, are for feature maps.
        if self._linear or isinstance(layer, nn.Linear) or type(layer) is nn.LayerNorm:
            return True
        return dimensions == 3 and not type(layer).__name__.endswith("1d")


@torch.no_grad()
def mean_activations(neurons: Neurons, batches: Any) -> Tensor:
    """The mean activation (F,) of each neuron over one pass of ``batches``, in float64; model in eval mode."""
    total, count = torch.zeros(1), 0
    for images, _ in batches.epoch(0):
        activations = neurons(images)[1]
        total = total.to(activations.device, torch.float64) + activations.double().sum(0)
        count += len(images)
    return total / count

"""Three exact ways to the gradients of each image's loss, and the rule that chooses between them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from autovul.vision.tools.layer_gradients import of_layer, supports
from autovul.vision.tools.sample_gradients import Block, Plain, SampleGradients

Method = Literal["auto", "layers", "vmap", "loop"]


@dataclass(frozen=True)
class BatchGradients:
    """Gradients of each image's cross entropy with respect to all parameters of a network.

    Args:
        parts: Names, as a prefix, and gradients of the layers.
    """

    parts: list[tuple[str, SampleGradients]]

    def norms(self) -> Tensor:
        """(N,): L2 norms over all parameters."""
        return torch.stack([part.squared_norms() for _, part in self.parts]).sum(0).sqrt()

    def blocks(self, scale: Tensor) -> Iterator[Block]:
        """As `SampleGradients.blocks`, with full names."""
        for prefix, part in self.parts:
            for name, place, block in part.blocks(scale):
                yield prefix + name, place, block


class Unsupported(Exception):
    """A method does not fit the network."""


def by_layers(model: nn.Module, images: Tensor, labels: Tensor) -> BatchGradients:
    """One forward and one backward pass for all images, then each layer's gradients from its input and output.

    Only for networks in which every parameter belongs to a known layer that runs once.

    Raises:
        Unsupported: It is no such network.
    """
    if not _known(model):
        raise Unsupported("not every parameter belongs to a layer of its own of a known kind")
    owners = _owners(model)
    waiting: dict[str, tuple[Tensor, int, torch.Size]] = {}
    seen: set[str] = set()
    parts: list[tuple[str, SampleGradients]] = []

    def take(name: str, returned: Tensor | None) -> None:
        taken, version, shape = waiting.pop(name)
        if taken._version != version:
            raise Unsupported(f"the input of {name} is overwritten")
        back = taken.new_zeros(shape) if returned is None else returned
        parts.extend((f"{name}." if name else "", part) for part in of_layer(owners[name], taken, back))

    def note(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if not output.requires_grad:
                raise Unsupported(f"nothing flows back to {name}")
            if name in seen:
                raise Unsupported("a layer runs more than once")
            seen.add(name)
            waiting[name] = inputs[0].detach(), inputs[0]._version, output.shape
            # An activation may overwrite the output in place: what comes here is still the layer's own.
            output.register_hook(lambda returned: take(name, returned))

        return hook

    handles = [module.register_forward_hook(note(name)) for name, module in owners.items()]
    pixels = images.detach().requires_grad_()
    try:
        loss = F.cross_entropy(model(pixels), labels, reduction="sum")
    finally:
        for handle in handles:
            handle.remove()
    # Each layer's gradients are taken on the way back, so that what went in and came back need not be kept.
    torch.autograd.grad(loss, pixels, allow_unused=True)
    for name in [*waiting]:
        take(name, None)
    return BatchGradients(parts)


def by_vmap(model: nn.Module, images: Tensor, labels: Tensor) -> BatchGradients:
    """`torch.func.vmap` over the gradient of one image; for any network without data-dependent control flow.

    Raises:
        Unsupported: The network's course depends on its data, or it draws at random.
    """
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}

    def loss(parameters: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        logits = torch.func.functional_call(model, parameters, (image[None],))
        return F.cross_entropy(logits, label[None])

    over_images = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))
    try:
        with warnings.catch_warnings():
            # An operator without a batching rule runs image by image, which nobody who reads a figure can help.
            warnings.filterwarnings("ignore", "There is a performance drop", UserWarning)
            gradients = over_images(parameters, images.detach(), labels)
    except RuntimeError as error:
        reasons = {
            "data-dependent control flow": "what it does depends on its data",
            "called random operation": "it draws at random",
        }
        if reason := next((why for sign, why in reasons.items() if sign in str(error)), None):
            raise Unsupported(reason) from None
        raise
    return BatchGradients([("", Plain({name: gradient.flatten(1) for name, gradient in gradients.items()}))])


def by_loop(model: nn.Module, images: Tensor, labels: Tensor) -> BatchGradients:
    """One image after the other; for everything that autograd follows."""
    parameters = dict(model.named_parameters())
    found = {name: parameter.new_empty(len(images), parameter.numel()) for name, parameter in parameters.items()}
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    try:
        for row in range(len(images)):
            loss = F.cross_entropy(model(images[row : row + 1].detach()), labels[row : row + 1])
            gradients = torch.autograd.grad(loss, [*parameters.values()], materialize_grads=True)
            for kept, gradient in zip(found.values(), gradients, strict=True):
                kept[row] = gradient.flatten()
    finally:
        for parameter in parameters.values():
            parameter.requires_grad_(False)
    return BatchGradients([("", Plain({name: kept.detach() for name, kept in found.items()}))])


METHODS = {"layers": by_layers, "vmap": by_vmap, "loop": by_loop}


def choose(model: nn.Module, images: Tensor, labels: Tensor, *, trusted: bool) -> str:
    """The fastest method that is exact for a network; the same network always gets the same.

    ``layers`` where it applies. Otherwise ``vmap``, except on a CPU for a network with grouped convolutions, which it
    makes slower than a loop; and ``loop`` where that fails too. A method is tried on two images and must agree with
    the loop, since a network may mix the images of a batch in ways that its layers do not show.

    Args:
        model: In eval mode; nothing in it asks for gradients.
        images: At least two.
        labels: Their classes.
        trusted: Take ``layers`` without a trial wherever the layers allow it.
    """
    if _known(model) and (trusted or _agrees(by_layers, model, images[:2], labels[:2])):
        return "layers"
    grouped = any(isinstance(module, nn.Conv2d) and module.groups > 1 for module in model.modules())
    if not (grouped and images.device.type == "cpu") and _agrees(by_vmap, model, images[:2], labels[:2]):
        return "vmap"
    return "loop"


def _known(model: nn.Module) -> bool:
    shared = len(list(model.parameters())) < len(list(model.named_parameters(remove_duplicate=False)))
    return not shared and all(supports(module) for module in _owners(model).values())


def _agrees(method: Callable[..., BatchGradients], model: nn.Module, images: Tensor, labels: Tensor) -> bool:
    try:
        found = _whole(method(model, images, labels), model, len(images))
    except Exception:  # what a foreign network raises under a method that does not fit it can be anything
        return False
    expected = _whole(by_loop(model, images, labels), model, len(images))
    return all(
        torch.allclose(found[name], whole, rtol=1e-3, atol=1e-4 * float(whole.abs().max()))
        for name, whole in expected.items()
    )


def _whole(gradients: BatchGradients, model: nn.Module, count: int) -> dict[str, Tensor]:
    """(N, entries) for each parameter, sorted, as a layer orders them in its own way; 0 where there is no gradient."""
    whole = {name: p.new_zeros(count, p.numel()) for name, p in model.named_parameters()}
    like = next(model.parameters())
    for name, place, block in gradients.blocks(torch.ones(count, dtype=like.dtype, device=like.device)):
        for row, entries in zip(whole[name], block, strict=True):
            place(row).copy_(entries)
    return {name: entries.sort(dim=1).values for name, entries in whole.items()}


def _owners(model: nn.Module) -> dict[str, nn.Module]:
    """The modules that own parameters; a parametrised layer owns those of its parametrisation."""
    owners: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        if isinstance(module, parametrize.ParametrizationList):
            continue
        if parametrize.is_parametrized(module) or any(p is not None for p in module._parameters.values()):
            owners[name] = module
    return owners

"""Your own network, named as ``package.module:build``."""

from __future__ import annotations

import ast
import copy
import hashlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from autovul.base.errors import UsageError
from autovul.base.registry import UnknownName
from autovul.vision.models.base import ImageModel
from autovul.vision.models.probe import grey_images, probing
from autovul.vision.models.registry import DataShape


def is_own(name: str) -> bool:
    """Whether a model's name is of the form ``package.module:build``."""
    return ":" in name


def refuse_module(name: str) -> None:
    """Make sure that a name is not that of a module or a Python file without the function in it.

    Raises:
        UnknownName: It is; the message says how the network is named.
    """
    is_file = name.endswith(".py") and Path(name).is_file()
    module = Path(name).stem if is_file else name
    if is_file or Path(f"{name.replace('.', '/')}.py").is_file() or _is_installed(name):
        raise UnknownName(
            f"unknown model {name!r}: your own is named by module and function, as {module}:build, where build makes "
            "the network"
        )


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except Exception:  # the packages around it are imported, and can raise anything
        return False


class OwnModel(ImageModel):
    """Any ``nn.Module`` that maps pixels in [0, 1] to logits, with the methods of the project's models.

    Keys of its ``state_dict``, names of its layers and files of its weights are those of the module itself.

    Args:
        spec: ``package.module:build``; modules in the current directory are found too. ``build`` is called with
            ``num_classes`` and ``data_shape`` where it takes them, and returns the module. A function that takes any
            keyword (``**kwargs``) is given ``num_classes``.
        num_classes: Number of logits.
        data_shape: (channels, height, width) of an image.
        auxiliary_weight: Weight of the auxiliary head's loss, if the module gives its logits in training mode.

    Raises:
        UsageError: It cannot be imported or called, or does not give logits of the right shape.
    """

    def __init__(self, spec: str, num_classes: int, data_shape: DataShape, auxiliary_weight: float = 0.4) -> None:
        super().__init__(spec.replace(":", "."), "yours", num_classes, data_shape, auxiliary_weight)
        self.spec = spec
        self.network = _build(spec, num_classes, data_shape)
        self.register_state_dict_post_hook(_name_as_the_module)
        self.register_load_state_dict_pre_hook(_name_as_the_wrapper)
        _check_logits(self.network, spec, num_classes, data_shape)

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        output = self.network(x)
        if isinstance(output, torch.Tensor) or not self.training:
            return output
        if isinstance(output, tuple) and [type(item) for item in output] == [torch.Tensor] * 2:
            return output
        found = f"{len(output)} outputs" if isinstance(output, tuple) else type(output).__name__
        raise UsageError(f"{self.spec}: must give logits, in training mode perhaps auxiliary ones too; gave {found}")

    def fresh(self) -> ImageModel:
        """As for every model; but weights that are the same each time are no new ones.

        Raises:
            UsageError: ``build`` gives the same weights each time.
        """
        model = super().fresh()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(torch.initial_seed() + 1)
            twin = super().fresh()
        pairs = [*zip(model.parameters(), twin.parameters(), strict=True)]
        if pairs and all(torch.equal(first, second) for first, second in pairs):
            raise UsageError(
                f"{self.name} gives the same weights each time, and here new ones are needed: it must draw them anew. "
                f"Trained weights go into a file {{model_dir}}/image/{{dataset}}/{self.name}.pth"
            )
        return model

    def takes_channels_last(self) -> bool:
        """As for every model, found by trying: `Tensor.view` refuses what a convolution stored so gives.

        A copy is tried, in both modes, since a part may work in one of them only, and may count what it is asked.
        """
        images = grey_images(self.network, self.data_shape, 2).float()
        try:
            trial = copy.deepcopy(self.network).to(memory_format=torch.channels_last)
            with probing(trial), torch.no_grad():
                trial(images)
                trial.train()(images)
        except Exception:  # what a foreign network raises can be anything
            return False
        return True

    def get_fm(self, x: torch.Tensor) -> torch.Tensor:
        """Feature maps, by the module's own ``get_fm`` or ``forward_features`` (timm's name), or of its ``features``.

        Raises:
            UsageError: The module has none of them.
        """
        for name in ("get_fm", "forward_features"):
            if callable(method := getattr(self.network, name, None)):
                return method(x)
        if "features" in self._layers():
            return self.get_layer(x, "features")
        raise UsageError(f"{self.name} has no feature maps: give its class a method get_fm, or name a layer instead")

    def get_final_fm(self, x: torch.Tensor) -> torch.Tensor:
        """Features (N, F), by the module's own ``get_final_fm``, else what its last linear layer is given.

        Where a linear layer is given more than a vector an image, such as tokens, its features are in the last
        dimension, and the mean is taken over the others.

        Raises:
            UsageError: The module has neither.
        """
        if callable(method := getattr(self.network, "get_final_fm", None)):
            return method(x)
        inputs: list[torch.Tensor] = []
        linear = [module for module in self.network.modules() if isinstance(module, nn.Linear)]
        handles = [layer.register_forward_pre_hook(lambda module, args: inputs.append(args[0])) for layer in linear]
        try:
            self(x)
        finally:
            for handle in handles:
                handle.remove()
        if not inputs:
            raise UsageError(f"{self.name} has no final features: give its class a method get_final_fm")
        return inputs[-1].flatten(1, -2).mean(1) if inputs[-1].ndim > 2 else inputs[-1]

    def _layers(self) -> dict[str, nn.Module]:
        return {name: module for name, module in self.network.named_modules() if name}


def _name_as_the_module(wrapper: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    """Keys of a ``state_dict`` without the wrapper's own ``network.``, also where the wrapper is wrapped again."""
    own = f"{prefix}network."
    for key in [key for key in state if key.startswith(own)]:
        state[prefix + key.removeprefix(own)] = state.pop(key)


def _name_as_the_wrapper(wrapper: nn.Module, state: dict[str, Any], prefix: str, *rest: Any) -> None:
    """The other way round, before a ``state_dict`` is loaded."""
    for key in [key for key in state if key.startswith(prefix)]:
        state[f"{prefix}network.{key.removeprefix(prefix)}"] = state.pop(key)


def source_sha256(spec: str) -> str:
    """SHA-256 of the module that a spec names, comments and layout aside; what it imports is not looked at.

    Every version of Python gives the same. An empty string where there is no source to read.
    """
    find(spec)
    path = getattr(sys.modules[spec.partition(":")[0]], "__file__", None)
    if path is None or not path.endswith(".py"):
        return ""
    code = ast.parse(Path(path).read_text(encoding="utf-8"))
    return hashlib.sha256(repr(_syntax(code)).encode()).hexdigest()


def _syntax(code: ast.AST) -> list[Any]:
    """A syntax tree as a flat list: of each node its kind and the names of its fields, then what these hold.

    Empty fields are left out, because new versions of Python add such, and so are empty texts in f-strings, which only
    some versions have.
    """
    found: list[Any] = []
    rest: list[Any] = [code]
    while rest:  # by hand: a long chain of elif is deeper than Python recurses
        node = rest.pop()
        if isinstance(node, ast.AST):
            fields = {name: value for name, value in ast.iter_fields(node) if value is not None and value != []}
            if isinstance(node, ast.JoinedStr):
                fields["values"] = [each for each in node.values if getattr(each, "value", None) != ""]
            found.append((type(node).__name__, *fields))
            rest.extend(reversed(fields.values()))
        elif isinstance(node, list):
            found.append(len(node))
            rest.extend(reversed(node))
        else:
            found.append(hex(node) if type(node) is int else node)  # of decimals Python writes 4,300 at the most
    return found


def _build(spec: str, num_classes: int, data_shape: DataShape) -> nn.Module:
    build = find(spec)
    parameters = inspect.signature(build).parameters
    open_ended = any(item.kind is inspect.Parameter.VAR_KEYWORD for item in parameters.values())
    offered: dict[str, Any] = {}
    # What takes any keyword mostly hands it on, to a constructor that knows num_classes by the field's habit.
    if "num_classes" in parameters or open_ended:
        offered["num_classes"] = num_classes
    if "data_shape" in parameters:
        offered["data_shape"] = tuple(data_shape)
    try:
        network = build(**offered)
    except Exception as error:
        raise UsageError(f"{spec}: the call failed ({_one_line(error)})") from error
    if not isinstance(network, nn.Module):
        raise UsageError(f"{spec}: must give a torch.nn.Module, gave {type(network).__name__}")
    return network


def find(spec: str) -> Callable[..., Any]:
    """The function or class that a spec names.

    Raises:
        UsageError: It cannot be imported or called.
    """
    module_name, _, attribute = spec.partition(":")
    # An installed `autovul` command does not search the current directory. It stays on the path for the sake of
    # imports inside the function, and of worker processes, which inherit the path.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        found = importlib.import_module(module_name)
    except Exception as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name == module_name.partition(".")[0]
        where = f"; looked for in {os.getcwd()} and the folders of PYTHONPATH" if absent else ""
        raise UsageError(f"{spec}: cannot import {module_name!r} ({_one_line(error)}){where}") from error
    build = getattr(found, attribute, None)
    if not callable(build):
        raise UsageError(f"{spec}: module {module_name!r} has no function or class {attribute!r}")
    return build


def _check_logits(network: nn.Module, spec: str, num_classes: int, data_shape: DataShape) -> None:
    images = grey_images(network, data_shape, 2).float()  # which is what data sets give, whatever the network's type
    try:
        if any(is_lazy(tensor) for tensor in (*network.parameters(), *network.buffers())):
            with torch.no_grad():
                network.eval()(images)
        with probing(network), torch.no_grad():
            given = images.clone()
            logits = network(given)
    except Exception as error:
        raise UsageError(f"{spec}: fails on images of shape {tuple(images.shape)} ({_one_line(error)})") from error
    if not isinstance(logits, torch.Tensor) or logits.shape != (2, num_classes):
        found = f"shape {tuple(logits.shape)}" if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise UsageError(f"{spec}: must give logits of shape (2, {num_classes}) for 2 images, gave {found}")
    if not torch.equal(given, images):
        raise UsageError(f"{spec}: changes its input in place (as x -= mean does): let it compute x = x - mean")


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"

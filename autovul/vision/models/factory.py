"""From a name and options to a model."""

from __future__ import annotations

import builtins
import functools
import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import nn

from autovul.base.errors import UsageError, UserError
from autovul.base.options import Options
from autovul.vision.datasets.facts import CIFAR_MEAN, CIFAR_STD

# Importing a family registers its networks: the manual ones here, the cells with their module below.
from autovul.vision.models import bit, densenet, dla, resnet, vgg  # noqa: F401
from autovul.vision.models.base import ComposedModel, ImageModel
from autovul.vision.models.darts import FAMILY, from_file
from autovul.vision.models.options import ModelOptions
from autovul.vision.models.own import OwnModel, find, is_own, refuse_module
from autovul.vision.models.registry import DataShape, Network, networks, takers
from autovul.vision.models.weights import find_pretrained

STRUCTURE = ("layers", "init_channels", "dropout", "width", "auxiliary")


class DataFacts(Protocol):
    """What `create` wants to know of a data set."""

    @property
    def name(self) -> str: ...

    @property
    def num_classes(self) -> int: ...

    @property
    def data_shape(self) -> DataShape: ...

    @property
    def mean(self) -> Sequence[float]: ...

    @property
    def std(self) -> Sequence[float]: ...


def list() -> builtins.list[str]:
    """Canonical names: manual networks, searched ones, mitigated ones, variants of the searched ones.

    Beside them there is ``sampled_1``, ``sampled_2``, … without end: cells drawn at random from the space of DARTS.
    """
    return networks.list()


def group(name: str) -> str:
    """The group in which results count a network, a key of `autovul.base.groups.GROUPS`.

    "yours" for ``package.module:build``.

    Raises:
        UnknownName: There is no network of this name.
    """
    return "yours" if is_own(name) else networks.get(name).group


def create(
    name: str,
    model_arch: str | None = None,
    num_classes: int = 10,
    data_shape: Sequence[int] = (3, 32, 32),
    dataset: DataFacts | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    **options: Any,
) -> ImageModel:
    """Build a model, in eval mode, with weights drawn from torch's global generator.

    Args:
        name: A name of `list` or another name of the same network ("bit_comp"), "darts" with ``model_arch``, or
            ``package.module:build`` for your own.
        model_arch: Genotype by name, with "darts" only.
        num_classes: Number of logits.
        data_shape: (channels, height, width) of an image.
        dataset: In place of the two, and of mean and std where they are not given.
        mean, std: Of the pixels in [0, 1], one per channel; CIFAR10's by default. Your own model normalises itself.
        options: The other fields of `ModelOptions`.

    Raises:
        UsageError: An unknown name, a value that is not allowed, or an option that the network does not take.
        UserError: ``pretrain``, and the weights are missing or do not fit.
    """
    chosen = ModelOptions(model=name, model_arch=model_arch, **options)
    if chosen.pretrain and dataset is None:
        raise UsageError("pretrain: which weights to load depends on the data set; give dataset as well")
    if dataset is not None:
        num_classes, data_shape = dataset.num_classes, dataset.data_shape
        mean, std = dataset.mean if mean is None else mean, dataset.std if std is None else std
    shape = _checked(num_classes, data_shape)
    if is_own(name):
        _refuse(chosen, name, frozenset())
        model: ImageModel = OwnModel(name, num_classes, shape, chosen.auxiliary_weight)
    else:
        mean, std = CIFAR_MEAN if mean is None else mean, CIFAR_STD if std is None else std
        model = _compose(chosen, num_classes, shape, [*map(float, mean)], [*map(float, std)])
    if chosen.norm_layer == "gn":
        if chosen.auxiliary:
            raise UsageError("auxiliary does not go with norm_layer gn: its last norm sees one pixel a channel")
        _batch_to_group_norm(model)
    model.eval()
    untrained = {**options, "pretrain": False}
    model.builder = functools.partial(create, name, model_arch, num_classes, shape, None, mean, std, **untrained)
    if chosen.pretrain and dataset is not None:
        _load(model, chosen, dataset)
    return model


def relative(model: nn.Module, name: str, model_arch: str | None, dataset: DataFacts) -> ImageModel:
    """`create` for a network beside another: with those of the other's options of structure that it takes.

    Args:
        model: The other network; one that `create` has not made has no such options.
        name, model_arch, dataset: As for `create`.
    """
    builder = model.builder if isinstance(model, ImageModel) else None
    given = builder.keywords if isinstance(builder, functools.partial) else {}
    chosen = ModelOptions(model=name, model_arch=model_arch)
    takes = frozenset() if is_own(name) else _network(chosen).takes
    shared = {key: value for key, value in given.items() if key in takes or key in ("norm_layer", "auxiliary_weight")}
    return create(name, model_arch, dataset=dataset, **shared)


def require_known(options: ModelOptions) -> None:
    """Make sure, without building it, that there is such a network.

    A module of one's own is imported, which may draw random numbers: the generators are to be seeded before.

    Raises:
        UsageError: There is none, or its file of cells or its module cannot be read.
    """
    if is_own(options.model):
        find(options.model)
    else:
        _network(options)


def from_options(options: ModelOptions, dataset: DataFacts, data: Options | None = None) -> ImageModel:
    """`create` from one group of options.

    Args:
        options: Of the model.
        dataset: What it is for.
        data: How it was read, for the command that an error message names.
    """
    values = options.model_dump(exclude={"model", "pretrain"})
    model = create(options.model, dataset=dataset, **values)
    if options.pretrain:
        _load(model, options, dataset, data)
    return model


def _compose(
    chosen: ModelOptions, num_classes: int, data_shape: DataShape, mean: Sequence[float], std: Sequence[float]
) -> ImageModel:
    for key, values in (("mean", mean), ("std", std)):
        if len(values) != data_shape[0]:
            raise UsageError(f"{key} must have one value a channel ({data_shape[0]}), got {values}")
    if not min(std) > 0 or not all(map(math.isfinite, (*mean, *std))):
        raise UsageError(f"mean and std must be finite, and std positive; got {mean} and {std}")
    network = _network(chosen)
    _refuse(chosen, network.name, network.takes)
    parts = network(num_classes, data_shape, **_given(chosen))
    return ComposedModel(network, parts, num_classes, data_shape, mean, std, chosen.auxiliary_weight)


def _network(chosen: ModelOptions) -> Network:
    if chosen.model != "darts":
        for key in ("model_arch", "genotype"):
            if getattr(chosen, key) is not None:
                raise UsageError(f"{key} goes with the model darts only, got the model {chosen.model!r}")
        if chosen.model not in networks:
            refuse_module(chosen.model)
        return networks.get(chosen.model)
    if chosen.genotype is not None:
        if chosen.model_arch is not None:
            raise UsageError("model_arch and genotype both say which cells to use: give one of them")
        return from_file(chosen.genotype)
    network = networks.get(chosen.model_arch or "darts")
    if network.family != FAMILY:
        raise UsageError(f"model_arch: {chosen.model_arch!r} is no cell network; it is the model {network.name!r}")
    return network


def misplaced(values: Mapping[str, Any]) -> builtins.list[str]:
    """The options of structure that the network which the others of `ModelOptions` choose does not take."""
    if is_own(values["model"]):
        return [*STRUCTURE]
    try:
        takes = _network(ModelOptions(**{name: values[name] for name in ("model", "model_arch", "genotype")})).takes
    except UserError:  # told where the network is built
        return []
    return [name for name in STRUCTURE if name not in takes]


def _given(chosen: ModelOptions) -> dict[str, Any]:
    """The options of structure that were set; for a switch, switched on."""
    values = {key: getattr(chosen, key) for key in STRUCTURE}
    return {key: value for key, value in values.items() if value is not None and value is not False}


def _load(model: ImageModel, chosen: ModelOptions, dataset: DataFacts, data: Options | None = None) -> None:
    """Give a model the weights that lie in the model folder; a message tells the command that makes them."""
    names = ("model_arch", "genotype", *STRUCTURE, "norm_layer", "model_dir")
    told = [f"-m {chosen.model}", *_as_flags(chosen, names)]
    told += [] if data is None else _as_flags(data, ("data_dir", "data_path", "num_classes", "image_size", "grey"))
    model.load(find_pretrained(chosen.model_dir, dataset.name, model.name, chosen.suffix, " ".join(told)))


def _as_flags(chosen: Options, names: Sequence[str]) -> builtins.list[str]:
    """How the command line says those of the options that are not as by default."""
    defaults = {name: type(chosen).model_fields[name].default for name in names}
    changed = {name: value for name in names if (value := getattr(chosen, name)) != defaults[name]}
    return [f"--{name}" if value is True else shlex.quote(f"--{name}={value}") for name, value in changed.items()]


def _refuse(chosen: ModelOptions, name: str, takes: frozenset[str]) -> None:
    for key in _given(chosen):
        if key not in takes:
            raise UsageError(f"{name} takes no {key} ({', '.join(takers(key))} only)")


def _checked(num_classes: int, data_shape: Sequence[int]) -> DataShape:
    if type(num_classes) is not int or num_classes < 1:
        raise UsageError(f"num_classes must be a positive whole number, got {num_classes!r}")
    if len(data_shape) != 3 or any(type(size) is not int or size < 1 for size in data_shape):
        raise UsageError(f"data_shape must be (channels, height, width), each at least 1, got {data_shape!r}")
    channels, height, width = data_shape
    return channels, height, width


def _batch_to_group_norm(model: nn.Module) -> None:
    for parent in [*model.modules()]:
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, nn.GroupNorm(child.num_features, child.num_features, eps=child.eps))

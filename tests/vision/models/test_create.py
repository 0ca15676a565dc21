"""`create`: names, options, errors; and that a model goes wherever a plain module goes."""

import copy
import multiprocessing
import pickle
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from autovul.base.errors import UsageError
from autovul.base.options import OptionError
from autovul.vision import models

CELLS = {"layers": 2, "init_channels": 4}


def small(name, **options):
    """A tiny network of each family."""
    return models.create(name, **({"width": 0.125} if name.endswith("_comp") else CELLS), **options)


def test_darts_with_an_architecture_is_the_architecture():
    model = models.create("darts", model_arch="diy_noskip", **CELLS)
    assert (model.name, model.group) == ("diy_noskip", "mitigated")
    assert models.create("darts", **CELLS).name == "darts"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet18_comp", {"layers": 3}, "resnet18_comp takes no layers (cell networks only)"),
        ("resnet18_comp", {"auxiliary": True}, "resnet18_comp takes no auxiliary (cell networks only)"),
        ("resnet18_comp", {"dropout": 0.0}, "resnet18_comp takes no dropout (VGGs, cell networks only)"),
        ("drnas", {"width": 0.5}, "drnas takes no width (BiTs, DenseNets, DLAs, ResNets, VGGs only)"),
        ("drnas", {"model_arch": "darts"}, "model_arch goes with the model darts only, got the model 'drnas'"),
        ("drnas", {"genotype": "x.yaml"}, "genotype goes with the model darts only, got the model 'drnas'"),
        ("darts", {"genotype": "x.yaml", "model_arch": "drnas"}, "model_arch and genotype both say which cells"),
        ("darts", {"model_arch": "resnet18_comp"}, "model_arch: 'resnet18_comp' is no cell network"),
        ("darts", {"model_arch": "drnaz"}, "unknown model 'drnaz' (nearest: drnas"),
        ("resnet18", {}, "unknown model 'resnet18' (nearest: resnet18_comp"),
        ("resnet18_comp", {"num_classes": 0}, "num_classes must be a positive whole number, got 0"),
        ("resnet18_comp", {"data_shape": (32, 32)}, "data_shape must be (channels, height, width)"),
        ("resnet18_comp", {"data_shape": (1, 32, 32)}, "mean must have one value a channel (1)"),
        ("resnet18_comp", {"std": (1.0, 0.0, 1.0)}, "std positive"),
        ("resnet18_comp", {"std": (float("nan"),) * 3}, "mean and std must be finite"),
        ("vgg13_bn_comp", {"data_shape": (3, 16, 16)}, "sides must be at least 32"),
        ("darts", {"auxiliary": True, "data_shape": (3, 64, 64)}, "auxiliary: the head needs images of 29 to 40"),
        ("darts", {"auxiliary": True, "norm_layer": "gn"}, "auxiliary does not go with norm_layer gn"),
        ("resnet18_comp", {"pretrain": True}, "pretrain: which weights to load depends on the data set"),
    ],
)
def test_a_mistake_is_one_line(name, options, message):
    with pytest.raises(UsageError) as caught:
        models.create(name, **options)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_zero_is_a_value_and_not_the_default():
    assert models.create("darts", dropout=0.0, **CELLS).features.cells[0]._ops[0].dropout.p == 0


@pytest.mark.parametrize("options", [{"layers": 1}, {"dropout": 1.0}, {"norm_layer": "ln"}, {"layer": 3}])
def test_values_that_no_network_allows_are_refused(options):
    with pytest.raises(OptionError):
        models.create("darts", **options)


def test_a_data_set_stands_for_classes_shape_mean_and_std():
    data = SimpleNamespace(name="digits", num_classes=4, data_shape=(1, 32, 32), mean=(0.3,), std=(0.6,))
    model = models.create("darts", dataset=data, **CELLS)
    assert (model.num_classes, model.data_shape) == (4, (1, 32, 32))
    assert model.normalize(torch.full((1, 1, 2, 2), 0.9)).flatten().tolist() == pytest.approx([1] * 4)
    options = models.ModelOptions(model="darts", model_arch="sgas", **CELLS)
    assert models.from_options(options, data).name == "sgas"


def test_normalisation_has_no_keys_and_all_digits():
    model = small("resnet18_comp").double()
    assert not any(key.startswith("normalize") for key in model.state_dict())
    pixels = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    for channel, (mean, std) in enumerate(
        zip((0.49139968, 0.48215827, 0.44653124), (0.24703233, 0.24348505, 0.26158768), strict=True)
    ):
        expected = (pixels[:, channel] - mean) / std
        assert torch.equal(model.normalize(pixels)[:, channel], expected)


@pytest.mark.parametrize("name", ["resnet18_comp", "densenet121_comp", "vgg13_bn_comp", "dla34_comp", "darts"])
def test_group_norm_takes_the_place_of_every_batch_norm(name):
    plain, grouped = small(name), small(name, norm_layer="gn")
    assert not any(isinstance(module, nn.BatchNorm2d) for module in grouped.modules())
    replaced = dict(grouped.named_modules())
    for key, module in plain.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            assert isinstance(replaced[key], nn.GroupNorm)
            assert replaced[key].num_groups == replaced[key].num_channels == module.num_features
    assert grouped(torch.rand(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("name", [name for name in models.list() if models.group(name) == "manual"])
def test_width_scales_the_channels_and_one_changes_nothing(name):
    def parameters(width):
        with torch.device("meta"):
            return sum(p.numel() for p in models.create(name, width=width).parameters())

    assert parameters(1.0) == sum(p.numel() for p in models.create(name).parameters())
    assert parameters(0.5) == pytest.approx(parameters(1.0) / 4, rel=0.1)
    assert parameters(1e-6) <= parameters(0.5)
    with torch.no_grad():
        assert models.create(name, width=1e-6)(torch.rand(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("name", ["resnet18_comp", "bit-m-r50x1_comp", "densenet121_comp", "darts"])
def test_a_model_can_be_copied_and_pickled(name):
    model, images = small(name), torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        expected = model(images)
        torch.manual_seed(0)
        before = torch.get_rng_state()
        for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert torch.equal(torch.get_rng_state(), before), "copying draws no random numbers"
            assert list(twin.state_dict()) == list(model.state_dict())
            assert torch.equal(twin(images), expected)
            next(twin.parameters()).add_(1)
            assert torch.equal(model(images), expected)


@pytest.mark.slow
def test_a_model_reaches_a_spawned_process():
    model, images = small("bit_comp"), torch.rand(1, 3, 32, 32)
    with torch.no_grad(), multiprocessing.get_context("spawn").Pool(1) as pool:
        twin = pool.apply(copy.copy, (model,))
        assert torch.allclose(twin(images), model(images), atol=1e-5)


@pytest.mark.parametrize(
    "name", ["bit_comp", *(pytest.param(name, marks=pytest.mark.slow) for name in ("resnet18_comp", "darts"))]
)
def test_a_model_can_be_traced_by_the_compiler_in_one_graph(name):
    model, images = small(name), torch.rand(2, 3, 32, 32)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    with torch.no_grad():
        assert torch.allclose(compiled(images), model(images), atol=1e-5)


def test_layers_can_be_looked_into():
    model, images = small("resnet18_comp"), torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        inner = model.get_layer(images, "features.layer1")
        expected = images
        for layer in (model.normalize, *model.features[:4]):
            expected = layer(expected)
    assert torch.equal(inner, expected)
    assert not any(module._forward_hooks for module in model.modules())
    with pytest.raises(UsageError, match=r"no layer 'features.layer9' \(nearest: features.layer"):
        model.get_layer(images, "features.layer9")

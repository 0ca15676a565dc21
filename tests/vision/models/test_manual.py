"""The manual networks against formulas and slow twins, and their initialisation."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autovul.vision import models
from autovul.vision.utils.model_archs.bit import StandardizedConv2d, bit_features
from autovul.vision.utils.model_archs.dla import dla34_features


def randomised(module, seed=0):
    """The module in float64 and eval mode with every tensor random, statistics and affine parameters included."""
    generator = torch.Generator().manual_seed(seed)
    module = module.double().eval()
    with torch.no_grad():
        for value in [*module.parameters(), *module.buffers()]:
            if value.is_floating_point():
                value.copy_(0.5 + torch.rand(value.shape, generator=generator, dtype=value.dtype))
                if value.ndim > 1:
                    value.sub_(1)
    return module


def test_weight_standardisation_is_its_formula():
    conv = randomised(StandardizedConv2d(4, 3, 3))
    weight = conv.parametrizations.weight.original
    for row, standardised in zip(weight, conv.weight, strict=True):
        deviation = row - row.mean()
        expected = deviation / torch.sqrt((deviation**2).mean() + 1e-10)
        assert torch.allclose(standardised, expected, rtol=1e-12)
    tiny = randomised(StandardizedConv2d(4, 3, 3))
    with torch.no_grad():
        tiny.parametrizations.weight.original.mul_(1e-6)
    original = tiny.parametrizations.weight.original
    variance = original.flatten(1).var(1, unbiased=False)
    ratio = tiny.weight.flatten(1).var(1, unbiased=False)
    assert torch.allclose(ratio, variance / (variance + 1e-10)), "the constant belongs inside the root"


def bit_twin(state, x):
    def conv(x, key, stride=1, padding=0):
        weight = state[f"{key}.parametrizations.weight.original"]
        flat = weight.flatten(1)
        flat = (flat - flat.mean(1, keepdim=True)) / (flat.var(1, unbiased=False, keepdim=True) + 1e-10).sqrt()
        return F.conv2d(x, flat.view_as(weight), stride=stride, padding=padding)

    def norm_relu(x, key):
        return F.group_norm(x, 32, state[f"{key}.weight"], state[f"{key}.bias"]).clamp(min=0)

    x = conv(x, "conv", padding=1)
    for block, count in ((1, 3), (2, 4), (3, 6), (4, 3)):
        for unit in range(1, count + 1):
            name = f"block{block}.unit{unit:02d}"
            stride = 2 if block > 1 and unit == 1 else 1
            active = norm_relu(x, f"{name}.gn1")
            shortcut = conv(active, f"{name}.downsample", stride) if unit == 1 else x
            out = conv(active, f"{name}.conv1")
            out = conv(norm_relu(out, f"{name}.gn2"), f"{name}.conv2", stride, 1)
            x = shortcut + conv(norm_relu(out, f"{name}.gn3"), f"{name}.conv3")
    return norm_relu(x, "gn")


def test_bit_agrees_with_its_twin():
    features = randomised(bit_features(3, channels=32))
    images = torch.rand(2, 3, 16, 16, dtype=torch.float64)
    with torch.no_grad():
        expected = bit_twin(features.state_dict(), images)
        assert torch.allclose(features(images), expected, rtol=1e-9)
    assert expected.shape == (2, 1024, 2, 2) and expected.std() > 0


def dla_twin(state, x):
    """The paper's recursion: a tree is given the outputs that its root has to aggregate beside its own."""

    def norm(x, key):
        mean, var = state[f"{key}.running_mean"], state[f"{key}.running_var"]
        return F.batch_norm(x, mean, var, state[f"{key}.weight"], state[f"{key}.bias"])

    def conv(x, key, stride=1):
        weight = state[f"{key}.weight"]
        return F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    def block(x, name, stride, shortcut):
        out = norm(conv(x, f"{name}.conv1", stride), f"{name}.bn1").relu()
        return (norm(conv(out, f"{name}.conv2"), f"{name}.bn2") + shortcut).relu()

    def tree(x, name, depth, stride, level_root, children):
        bottom = F.max_pool2d(x, stride) if stride > 1 else x
        children = [*children, bottom] if level_root else children
        if depth == 2:
            first = tree(x, f"{name}.tree1", 1, stride, False, [])
            return tree(first, f"{name}.tree2", 1, 1, False, [*children, first])
        projected = bottom
        if f"{name}.project.0.weight" in state:
            projected = norm(conv(bottom, f"{name}.project.0"), f"{name}.project.1")
        first = block(x, f"{name}.tree1", stride, projected)
        second = block(first, f"{name}.tree2", 1, first)
        together = torch.cat([second, first, *children], 1)
        return norm(conv(together, f"{name}.root.conv"), f"{name}.root.bn").relu()

    for level in ("stem", "layer1", "layer2"):
        x = norm(conv(x, f"{level}.conv1"), f"{level}.bn1").relu()
    x = tree(x, "layer3", 1, 1, False, [])
    x = tree(x, "layer4", 2, 2, True, [])
    x = tree(x, "layer5", 2, 2, True, [])
    return tree(x, "layer6", 1, 2, True, [])


def test_dla_agrees_with_its_twin():
    features = randomised(dla34_features(3, channels=(4, 4, 8, 12, 12, 16)))
    images = torch.rand(2, 3, 16, 16, dtype=torch.float64)
    with torch.no_grad():
        expected = dla_twin(features.state_dict(), images)
        assert torch.allclose(features(images), expected, rtol=1e-9)
    assert expected.shape == (2, 16, 2, 2) and expected.std() > 0


@pytest.mark.parametrize(("name", "stages"), [("resnet18", 4), ("wide_resnet50_2", 4), ("resnext50_32x4d", 3)])
def test_residual_networks_are_torchvisions_behind_the_stem(name, stages):
    import torchvision

    with torch.device("meta"):
        theirs = getattr(torchvision.models, name)()
    ours = models.create(f"{name}_comp").features
    stem = [layer for layer in ours if not isinstance(layer, nn.Sequential)]
    assert [type(layer) for layer in stem] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert (stem[0].stride, stem[0].padding, len(ours)) == ((1, 1), (1, 1), 3 + stages)
    x = torch.rand(1, 64, 8, 8)
    for index in range(1, stages + 1):
        layer, reference = getattr(ours, f"layer{index}"), getattr(theirs, f"layer{index}")
        reference.load_state_dict(layer.state_dict(), assign=True)
        with torch.no_grad():
            x, expected = layer.eval()(x), reference.eval()(x)
        assert torch.equal(x, expected)


def test_densenet_is_torchvisions_without_what_follows_its_stem():
    import torchvision

    theirs = torchvision.models.densenet121().features.eval()
    ours = models.create("densenet_comp").features
    names = [name for name, _ in ours.named_children()]
    assert names[:2] == ["conv0", "denseblock1"] and names[-2:] == ["norm5", "relu5"]
    x = torch.rand(1, 64, 8, 8)
    for name in names[1:-1]:
        reference = getattr(theirs, name)
        reference.load_state_dict(getattr(ours, name).state_dict())
        with torch.no_grad():
            x, expected = getattr(ours, name)(x), reference(x)
        assert torch.equal(x, expected)


def std_of(weight):
    return weight.detach().double().std().item()


@pytest.mark.parametrize("name", ["resnet18_comp", "resnext50_32x4d_comp", "vgg13_bn_comp"])
def test_he_initialisation_by_fan_out_where_torchvision_has_it(name):
    torch.manual_seed(0)
    model = models.create(name)
    convs = {key: module for key, module in model.features.named_modules() if isinstance(module, nn.Conv2d)}
    stem = convs.pop("conv1", None)
    for key, conv in convs.items():
        fan_out = conv.out_channels * math.prod(conv.kernel_size)
        assert std_of(conv.weight) == pytest.approx(math.sqrt(2 / fan_out), rel=0.08), key
        assert conv.bias is None or not conv.bias.any()
    if stem is not None:
        assert stem.weight.abs().max() <= 1 / math.sqrt(27), "the stem has PyTorch's default: uniform"


def test_densenet_is_initialised_by_fan_in_but_its_stem_and_classifier_are_not():
    torch.manual_seed(0)
    model = models.create("densenet121_comp")
    stem = model.features.conv0.weight
    assert stem.abs().max() <= 1 / math.sqrt(27)
    for key, module in model.features.named_modules():
        if isinstance(module, nn.Conv2d) and key != "conv0":
            fan_in = module.in_channels * math.prod(module.kernel_size)
            assert std_of(module.weight) == pytest.approx(math.sqrt(2 / fan_in), rel=0.08), key
    assert model.classifier.fc.bias.any()


@pytest.mark.parametrize("name", ["bit_comp", "dla34_comp", "darts"])
def test_pytorchs_default_initialisation_elsewhere(name):
    torch.manual_seed(0)
    model = models.create(name, **({"layers": 3} if name == "darts" else {}))
    for key, value in model.named_parameters():
        if value.ndim == 4:
            bound = 1 / math.sqrt(value[0].numel())
            assert 0.9 * bound < value.abs().max() <= bound, key
            assert std_of(value) == pytest.approx(bound / math.sqrt(3), rel=0.12), key


def test_vgg_has_dropout_between_its_linear_layers():
    kinds = [type(layer) for layer in models.create("vgg13_bn_comp").classifier]
    assert kinds == [nn.Linear, nn.ReLU, nn.Dropout, nn.Linear, nn.ReLU, nn.Dropout, nn.Linear]
    assert {layer.p for layer in models.create("vgg13_bn_comp").classifier if isinstance(layer, nn.Dropout)} == {0.5}
    assert models.create("vgg13_bn_comp", dropout=0.1).classifier.dropout1.p == 0.1
    assert isinstance(models.create("vgg13_bn_comp").features[-1], nn.MaxPool2d)


def test_images_that_are_no_pixels_from_0_to_1_are_refused():
    """Normalised as they are, bytes would be answered without a word."""
    model = models.create("resnet18_comp", width=0.0625)
    with pytest.raises(ValueError, match="images must be pixels from 0 to 1, got torch.uint8"):
        model(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
    assert torch.fx.symbolic_trace(model.normalize)(torch.zeros(1, 3, 2, 2)).shape == (1, 3, 2, 2)

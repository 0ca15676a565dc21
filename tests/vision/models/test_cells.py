"""Cell networks against a twin that works from the state dict and the protocol's rules alone."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autovul.vision import models
from autovul.vision.utils.model_archs.darts import genotypes
from autovul.vision.utils.model_archs.darts.genotypes import GENOTYPES
from autovul.vision.utils.model_archs.darts.network import CellNetwork
from autovul.vision.utils.model_archs.darts.operations import BUILDERS, FactorizedReduce, make_operation, preprocess


def randomised(module):
    module = module.double().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in [*module.parameters(), *module.buffers()]:
            if value.is_floating_point():
                value.copy_(torch.rand(value.shape, generator=generator, dtype=value.dtype) + 0.5 * (value.ndim == 1))
                value.sub_(0.5 * (value.ndim > 1))
    return module


class CellTwin:
    """Evaluates a cell network from its tensors; every operation is written out."""

    def __init__(self, state, genotype, layers):
        self.state, self.genotype, self.layers = state, genotype, layers

    def norm(self, x, key):
        tensors = (self.state[f"{key}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        mean, var, weight, bias = (tensor.view(1, -1, 1, 1) for tensor in tensors)
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias

    def factorised(self, x, key):
        x = x.clamp(min=0)
        even = torch.einsum("nchw,dc->ndhw", x[:, :, ::2, ::2], self.state[f"{key}.reduce.conv1.weight"][:, :, 0, 0])
        odd = torch.einsum("nchw,dc->ndhw", x[:, :, 1::2, 1::2], self.state[f"{key}.reduce.conv2.weight"][:, :, 0, 0])
        return self.norm(torch.cat([even, odd], 1), f"{key}.bn")

    def depthwise(self, x, key, stride, dilation):
        weight = self.state[f"{key}.conv1.weight"]
        padding = dilation * (weight.shape[-1] - 1) // 2
        x = F.conv2d(x.clamp(min=0), weight, None, stride, padding, dilation, groups=x.shape[1])
        return self.norm(F.conv2d(x, self.state[f"{key}.conv2.weight"]), f"{key}.bn")

    def pooled(self, x, stride, average):
        height, width = x.shape[2:]
        rows = []
        for row in range(0, height, stride):
            columns = []
            for column in range(0, width, stride):
                window = x[:, :, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
                columns.append(window.mean((2, 3)) if average else window.amax((2, 3)))
            rows.append(torch.stack(columns, -1))
        return torch.stack(rows, -2)

    def operation(self, name, x, key, stride):
        if name == "skip_connect":
            return x if stride == 1 else self.factorised(x, key)
        if name.endswith("pool_3x3"):
            return self.pooled(x, stride, name.startswith("avg"))
        if name.startswith("sep_conv"):
            x = self.depthwise(x, f"{key}.dil_conv1", stride, 1)
            return self.depthwise(x, f"{key}.dil_conv2", 1, 1)
        if name.startswith("dil_conv"):
            return self.depthwise(x, key, stride, 2)
        assert name == "conv_7x1_1x7"
        x = F.conv2d(x.clamp(min=0), self.state[f"{key}.conv1.weight"], None, (1, stride), (0, 3))
        return self.norm(F.conv2d(x, self.state[f"{key}.conv2.weight"], None, (stride, 1), (3, 0)), f"{key}.bn")

    def preprocessed(self, x, key):
        if f"{key}.reduce.conv1.weight" in self.state:
            return self.factorised(x, key)
        return self.norm(F.conv2d(x.clamp(min=0), self.state[f"{key}.conv.weight"]), f"{key}.bn")

    def __call__(self, x):
        outputs = [self.norm(F.conv2d(x, self.state["stem.0.weight"], padding=1), "stem.1")] * 2
        for index in range(self.layers):
            reduce = index in (self.layers // 3, 2 * self.layers // 3)
            edges = self.genotype.reduce if reduce else self.genotype.normal
            concat = self.genotype.reduce_concat if reduce else self.genotype.normal_concat
            states = [self.preprocessed(outputs[i - 2], f"cells.{index}.preprocess{i}") for i in (0, 1)]
            for node in range(len(edges) // 2):
                total = 0
                for edge in (2 * node, 2 * node + 1):
                    name, source = edges[edge]
                    stride = 2 if reduce and source < 2 else 1
                    total = total + self.operation(name, states[source], f"cells.{index}._ops.{edge}", stride)
                states.append(total)
            outputs.append(torch.cat([states[state] for state in concat], 1))
        return outputs[-1]


@pytest.mark.parametrize("name", GENOTYPES)
@pytest.mark.parametrize("layers", [2, 5])
def test_cell_networks_agree_with_the_twin(name, layers):
    network = randomised(CellNetwork(GENOTYPES[name], init_channels=2, layers=layers))
    images = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        expected = CellTwin(network.state_dict(), GENOTYPES[name], layers)(images)
        assert torch.allclose(network(images), expected, rtol=1e-9)
    assert expected.shape[2:] == (2, 2) and expected.std() > 0


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [7, 8])
def test_an_operation_keeps_channels_and_divides_the_side(name, stride, side):
    operation = make_operation(name, 4, stride, 0.2).eval()
    assert operation(torch.rand(2, 4, side, side)).shape == (2, 4, -(-side // stride), -(-side // stride))


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("stride", [1, 2])
def test_dropout_ends_every_operation_but_the_identity(name, stride):
    operation = make_operation(name, 4, stride, 0.2)
    dropouts = [module for module in operation.modules() if isinstance(module, nn.Dropout)]
    if name == "skip_connect" and stride == 1:
        assert not dropouts
        return
    assert dropouts == [operation[-1]] and dropouts[0].p == 0.2
    images = torch.rand(8, 4, 8, 8) + 0.5
    assert (operation.train()(images) == 0).float().mean() == pytest.approx(0.2, abs=0.05)
    assert not (operation.eval()(images) == 0).all()


def test_preprocessing_has_no_dropout():
    for reduce in (False, True):
        assert not any(isinstance(module, nn.Dropout) for module in preprocess(4, 4, reduce=reduce).modules())


def test_the_second_half_of_a_factorised_reduction_sees_odd_pixels():
    reduce = FactorizedReduce(1, 2)
    with torch.no_grad():
        for conv in (reduce.conv1, reduce.conv2):
            conv.weight.fill_(1)
        result = reduce(torch.arange(16.0).view(1, 1, 4, 4))
        uneven = reduce(torch.arange(9.0).view(1, 1, 3, 3))
    assert result[0].tolist() == [[[0, 2], [8, 10]], [[5, 7], [13, 15]]]
    assert uneven[0, 1].tolist() == [[4, 0], [0, 0]]


def test_factorized_reduction_gives_its_gradient_in_the_layout_of_its_input():
    """Mixed layouts cost narrow cells a tenth of a training step on a CPU."""
    reduce = FactorizedReduce(4, 4).to(memory_format=torch.channels_last)
    found = []
    x = torch.rand(2, 4, 6, 6).to(memory_format=torch.channels_last).requires_grad_() * 1.0
    x.register_hook(found.append)
    reduce(x).sum().backward()
    assert found[0].is_contiguous(memory_format=torch.channels_last)


def test_darts_has_the_dropouts_of_its_genotype():
    model = models.create("darts")
    dropouts = [module for module in model.modules() if isinstance(module, nn.Dropout)]
    # 18 normal cells of 6 operations beside 2 skips; 2 reductions of 5 beside 3 skips from inner states.
    assert len(dropouts) == 18 * 6 + 2 * 5
    assert {module.p for module in dropouts} == {0.2}


def test_shape_options_reach_the_network():
    model = models.create(
        "drnas", layers=6, init_channels=8, dropout=0.3, num_classes=7, data_shape=(1, 16, 16), mean=(0.5,), std=(0.2,)
    )
    assert len(model.features.cells) == 6
    assert model.features.stem[0].weight.shape == (24, 1, 3, 3)
    assert {module.p for module in model.modules() if isinstance(module, nn.Dropout)} == {0.3}
    assert model.classifier.fc.weight.shape == (7, 8 * 4 * 4)
    assert model(torch.rand(2, 1, 16, 16)).shape == (2, 7)


def test_the_auxiliary_head_speaks_in_train_mode_only():
    model = models.create("darts", auxiliary=True, auxiliary_weight=0.3, layers=3, init_channels=4, num_classes=6)
    images = torch.rand(2, 3, 32, 32)
    assert model.auxiliary_weight == 0.3
    assert model(images).shape == (2, 6)
    logits, auxiliary = model.train()(images)
    assert logits.shape == auxiliary.shape == (2, 6)
    assert model.get_layer(images, "logits").shape == (2, 6)
    shapes = {key: tuple(value.shape) for key, value in model.auxiliary_head.named_parameters() if value.ndim > 1}
    channels = 4 * 4 * 4
    assert shapes == {
        "features.2.weight": (128, channels, 1, 1),
        "features.5.weight": (768, 128, 2, 2),
        "classifier.weight": (6, 768),
    }
    auxiliary.sum().backward()
    assert model.features.cells[1].preprocess0.conv.weight.grad is not None
    assert model.features.cells[2].preprocess1.conv.weight.grad is not None


def test_the_auxiliary_head_follows_the_second_reduction():
    network = CellNetwork(genotypes.darts, init_channels=4, layers=7).eval()
    images = torch.rand(2, 3, 16, 16)
    outputs = []
    network.cells[4].register_forward_hook(lambda module, args, output: outputs.append(output))
    with torch.no_grad():
        features, tap = network.forward_auxiliary(images)
    assert torch.equal(tap, outputs[0]) and not torch.equal(tap, features)
    assert tap.shape == (2, network.auxiliary_channels, 4, 4)

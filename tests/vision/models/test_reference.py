"""Every registered network against the published keys, shapes, parameter counts and logits."""

import pytest
import torch

from autovul.vision import models
from autovul.vision.models.registry import networks
from autovul.vision.utils.model_archs.darts.genotypes import VARIANTS

TWENTY = [name for name in models.list() if name not in VARIANTS]


def test_the_registry_holds_the_published_networks_and_the_variants(published):
    assert set(TWENTY) == set(published)
    assert models.list() == [*TWENTY, *VARIANTS]
    groups = [models.group(name) for name in TWENTY]
    assert groups == ["manual"] * 7 + ["nas"] * 10 + ["mitigated"] * 3


@pytest.mark.parametrize("name", TWENTY)
def test_keys_shapes_and_parameters_are_the_published_ones(name, published):
    with torch.device("meta"):
        model = models.create(name)
    shapes = {key: list(value.shape) for key, value in model.state_dict().items()}
    assert shapes == published[name]["state_dict"]
    assert list(shapes) == list(published[name]["state_dict"])
    assert sum(parameter.numel() for parameter in model.parameters()) == published[name]["params"]
    assert (model.name, model.group, model.training) == (name, models.group(name), False)


def test_logits_are_the_published_ones(reference_logits, reference_images, fill):
    assert len(reference_logits) == 9
    for key, expected in reference_logits.items():
        num_classes, name = key.split("/")
        model = models.create(name, num_classes=int(num_classes)).double()
        model.load_state_dict(fill(model.state_dict()), strict=True)
        with torch.no_grad():
            logits = model(reference_images)
        assert (logits - expected).abs().max() <= 1e-9 * expected.abs().max(), key


@pytest.mark.parametrize("name", models.list())
def test_every_network_gives_logits_and_features_that_belong_together(name):
    option = {"layers": 3, "init_channels": 4} if "layers" in networks.get(name).takes else {"width": 0.125}
    model = models.create(name, num_classes=3, **option)
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        logits, maps, features = model(images), model.get_fm(images), model.get_final_fm(images)
        assert logits.shape == (2, 3)
        assert (
            maps.ndim == 4
            and torch.equal(maps.mean((2, 3)), features)
            or torch.allclose(maps.mean((2, 3)), features, atol=1e-6)
        )
        assert torch.equal(model.classifier(features), logits)
        for layer, expected in {"logits": logits, "flatten": features, "features": maps, "classifier": logits}.items():
            assert torch.equal(model.get_layer(images, layer), expected)


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("bit_comp", "bit-m-r50x1_comp"),
        ("densenet_comp", "densenet121_comp"),
        ("darts_v2", "darts"),
        ("pc_darts_cifar", "pc_darts"),
        ("drnas_cifar10", "drnas"),
    ],
)
def test_other_names_mean_the_same_network(alias, name):
    with torch.device("meta"):
        assert models.create(alias).name == name


@pytest.mark.parametrize("name", ["resnet18_comp", "bit_comp", "darts"])
def test_the_seed_decides_the_initial_weights(name):
    option = {"layers": 2, "init_channels": 4} if name == "darts" else {"width": 0.25}

    def weights(seed):
        torch.manual_seed(seed)
        return torch.cat([value.flatten() for value in models.create(name, **option).parameters()])

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


@pytest.mark.parametrize("name", ["resnext50_32x4d_comp", "vgg13_bn_comp", "darts"])
def test_other_class_counts_change_the_last_layer_alone(name, published):
    with torch.device("meta"):
        state = models.create(name, num_classes=1000).state_dict()
    differing = {key for key, value in state.items() if list(value.shape) != published[name]["state_dict"][key]}
    assert differing and all(key.startswith("classifier.fc") for key in differing)
    assert all(state[key].shape[0] == 1000 for key in differing)

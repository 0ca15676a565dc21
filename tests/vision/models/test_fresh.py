"""New weights for a given architecture."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from autovul.base.errors import UsageError, UserError
from autovul.vision import models
from autovul.vision.models.fresh import fresh, trainable_copy
from autovul.vision.models.own import OwnModel
from autovul.vision.tools.initialisation import initialise


@pytest.mark.parametrize(
    "name, options",
    [
        ("resnet18_comp", {"width": 0.125}),
        ("vgg13_bn_comp", {"width": 0.125, "norm_layer": "gn"}),
        ("drnas", {"layers": 3, "init_channels": 4, "auxiliary": True}),
    ],
)
def test_a_model_of_ours_is_built_anew_with_its_own_initialisation(name, options):
    torch.manual_seed(5)
    model = models.create(name, num_classes=7, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7), **options)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    torch.manual_seed(5)
    same = fresh(model)
    other = fresh(model)
    assert type(same) is type(model) and same.name == model.name and not same.training
    assert torch.equal(same.normalize.mean, model.normalize.mean)
    assert all(torch.equal(value, before[key]) for key, value in same.state_dict().items())
    assert any(not torch.equal(value, before[key]) for key, value in other.state_dict().items())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_pretrained_weights_are_not_loaded_again(tmp_path):
    class Data:
        name, num_classes, data_shape, mean, std = "toy", 10, (3, 32, 32), (0.5,) * 3, (0.5,) * 3

    torch.manual_seed(1)
    options = {"width": 0.125, "model_dir": str(tmp_path), "dataset": Data}
    models.create("resnet18_comp", **options).save(tmp_path / "image" / "toy" / "resnet18_comp.pth")
    model = models.create("resnet18_comp", pretrain=True, **options)
    (tmp_path / "image" / "toy" / "resnet18_comp.pth").unlink()
    assert not torch.equal(model.fresh().classifier.fc.weight, model.classifier.fc.weight)


def test_any_other_module_is_reset():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    model(torch.randn(8, 3))
    kept = model[0].weight.clone()
    torch.manual_seed(3)
    expected = nn.Linear(3, 4).weight
    torch.manual_seed(3)
    new = fresh(model)
    assert torch.equal(new[0].weight, expected)
    assert not new[1].running_mean.any() and model[1].running_mean.any()
    assert torch.equal(model[0].weight, kept)


def test_attention_is_reset_as_pytorch_draws_it():
    model = nn.Sequential(nn.MultiheadAttention(4, 2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(9.0)
    new = fresh(model)[0]
    bound = (6 / (4 + 12)) ** 0.5  # Xavier's, of the three projections together
    assert 0.6 * bound < new.in_proj_weight.abs().max() <= bound
    assert not new.in_proj_bias.any() and not new.out_proj.bias.any()
    assert new.out_proj.weight.abs().max() <= 0.5


def test_attention_with_a_rule_of_its_own_keeps_it():
    class Own(nn.MultiheadAttention):
        def reset_parameters(self):
            nn.init.zeros_(self.in_proj_weight)

    assert not fresh(nn.Sequential(Own(4, 2)))[0].in_proj_weight.any()


def test_a_module_that_cannot_be_reset_is_refused_by_name():
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = nn.Parameter(torch.ones(1))

    with pytest.raises(UserError, match=r"its submodule '1' \(Scale\) has parameters and no reset_parameters"):
        fresh(nn.Sequential(nn.Linear(2, 2), Scale()))


def test_a_module_may_say_itself_how_it_is_built():
    class Own(nn.Module):
        def fresh(self):
            return nn.Linear(5, 5)

    assert isinstance(fresh(Own()), nn.Linear)


def test_only_create_knows_how_to_build(tmp_path, monkeypatch):
    (tmp_path / "only_created.py").write_text(
        "from torch import nn\ndef build():\n    return nn.Sequential(nn.Flatten(), nn.Linear(12, 2))"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UsageError, match="was not made by models.create"):
        OwnModel("only_created:build", 2, (3, 2, 2)).fresh()
    model = models.create("only_created:build", num_classes=2, data_shape=(3, 2, 2))
    assert fresh(model).name == "only_created.build"


@pytest.mark.parametrize(
    "derive", [nn.utils.spectral_norm, nn.utils.weight_norm, nn.utils.parametrizations.weight_norm]
)
@pytest.mark.filterwarnings("ignore:.*weight_norm")
def test_weights_computed_from_others_are_refused(derive):
    model = nn.Sequential(derive(nn.Conv2d(3, 4, 3)), nn.Flatten())
    with pytest.raises(UserError, match="its submodule '0'"):
        fresh(model)
    with pytest.raises(UsageError, match="computed from others"):
        initialise(model, "kaiming", 0)


def test_frozen_layers_stay_frozen_in_a_copy_to_train_unless_all_are():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2))
    model[0].requires_grad_(False)
    twin = trainable_copy(model)
    assert [p.requires_grad for p in twin.parameters()] == [False, False, True, True]
    assert twin[2].weight is not model[2].weight and torch.equal(twin[2].weight, model[2].weight)
    assert all(p.requires_grad for p in trainable_copy(model.requires_grad_(False)).parameters())
    assert not any(p.requires_grad for p in model.parameters())


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_scripted_network_is_copied_with_leaves():
    twin = trainable_copy(torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(4, 2))))
    torch.optim.SGD(twin.parameters(), lr=0.1)


@pytest.mark.parametrize("change", ["kind", "shape", "stride", "removed"])
def test_a_network_that_was_changed_by_hand_is_not_taken_for_the_one_that_create_made(change):
    model = models.create("resnet18_comp", width=0.125)
    if change == "kind":
        parent = next(module for module in model.modules() if any(isinstance(c, nn.ReLU) for c in module.children()))
        name = next(name for name, child in parent.named_children() if isinstance(child, nn.ReLU))
        setattr(parent, name, nn.Tanh())
    elif change == "stride":
        next(module for module in model.modules() if isinstance(module, nn.Conv2d)).stride = (2, 2)
    elif change == "removed":
        del model.classifier[0]
    else:
        model.classifier = nn.Sequential(nn.Linear(64, 5))
    with pytest.raises(
        UsageError, match="resnet18_comp cannot be built anew: it was changed since models.create made it"
    ):
        fresh(model)


def test_a_rectifier_that_no_longer_works_in_place_is_no_change():
    model = models.create("vgg13_bn_comp", width=0.0625)
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = not module.inplace
    assert fresh(model).name == "vgg13_bn_comp"

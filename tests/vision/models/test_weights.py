"""Loading: what fits is loaded, what does not is explained."""

from types import SimpleNamespace

import pytest
import torch

from autovul.base.checkpoint import digest, load_state
from autovul.base.errors import UserError
from autovul.vision import models
from autovul.vision.models import weights
from autovul.vision.models.weights import as_loaded, bared, find_pretrained

CELLS = {"layers": 3, "init_channels": 4}


def equal(first, second):
    first, second = first.state_dict(), second.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", ["resnet18_comp", "bit_comp"])
def test_what_is_saved_is_loaded(name, tmp_path):
    first, second = (models.create(name, width=0.25) for _ in range(2))
    assert not equal(first, second)
    first.save(tmp_path / "deep" / "weights.pth")
    second.load(tmp_path / "deep" / "weights.pth")
    assert equal(first, second)
    assert list(torch.load(tmp_path / "deep" / "weights.pth", weights_only=True)) == list(first.state_dict())


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_prefixes_of_wrappers_are_dropped(prefix, tmp_path):
    first, second = (models.create("darts", **CELLS) for _ in range(2))
    torch.save({prefix + key: value for key, value in first.state_dict().items()}, tmp_path / "weights.pth")
    second.load(tmp_path / "weights.pth")
    assert equal(first, second)


def test_an_auxiliary_head_is_loaded_dropped_or_kept_as_fits(tmp_path):
    with_head, other = (models.create("darts", auxiliary=True, **CELLS) for _ in range(2))
    bare = models.create("darts", **CELLS)
    with_head.save(tmp_path / "head.pth")
    bare.load(tmp_path / "head.pth")
    assert torch.equal(bare.classifier.fc.weight, with_head.classifier.fc.weight)
    other.load(tmp_path / "head.pth")
    assert equal(other, with_head)
    other = models.create("darts", auxiliary=True, **CELLS)
    head = {key: value.clone() for key, value in other.auxiliary_head.state_dict().items()}
    bare.save(tmp_path / "bare.pth")
    other.load(tmp_path / "bare.pth")
    assert torch.equal(other.classifier.fc.weight, bare.classifier.fc.weight)
    assert all(torch.equal(head[key], value) for key, value in other.auxiliary_head.state_dict().items())


def test_a_prefix_and_an_auxiliary_head_too_many_or_too_few_go_together(tmp_path):
    with_head, bare = models.create("darts", auxiliary=True, **CELLS), models.create("darts", **CELLS)
    for first, second in ((with_head, bare), (bare, with_head)):
        torch.save({f"model.{key}": value + 1 for key, value in first.state_dict().items()}, tmp_path / "weights.pth")
        second.load(tmp_path / "weights.pth")
        assert torch.equal(second.classifier.fc.weight, first.classifier.fc.weight + 1)


@pytest.mark.parametrize("prefix", ["model.", "lightning.net.", "module.model."])
def test_any_prefix_without_which_the_keys_fit_is_dropped(prefix, tmp_path):
    first, second = (models.create("resnet18_comp", width=0.125) for _ in range(2))
    state = {prefix + key: value for key, value in reversed(first.state_dict().items())}
    torch.save({"epoch": torch.tensor(8), "state_dict": state}, tmp_path / "weights.pth")
    second.load(tmp_path / "weights.pth")
    assert equal(first, second)
    assert digest(second.state_dict()) in [digest(each) for each in bared(as_loaded(state, auxiliary=False))]
    state.pop(f"{prefix}classifier.fc.bias")
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(UserError, match="does not fit resnet18_comp"):
        second.load(tmp_path / "weights.pth")


def test_a_file_of_another_network_is_recognised(tmp_path):
    models.create("diy_deep", num_classes=100).save(tmp_path / "weights.pth")
    model = models.create("resnet18_comp", width=0.125)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(UserError) as caught:
        model.load(tmp_path / "weights.pth")
    message = str(caught.value)
    assert "does not fit resnet18_comp with 10 classes" in message and "\n" not in message
    assert "features.conv1.weight is missing" in message
    assert message.endswith("the file looks like darts or diy_deep with 100 classes"), "their tensors are alike"
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_other_class_counts_name_the_shapes(tmp_path):
    models.create("resnet18_comp", num_classes=7).save(tmp_path / "weights.pth")
    with pytest.raises(UserError) as caught:
        models.create("resnet18_comp").load(tmp_path / "weights.pth")
    assert "classifier.fc.weight has shape (7, 512) in place of (10, 512)" in str(caught.value)
    assert str(caught.value).endswith("the file looks like resnet18_comp with 7 classes")


def test_differences_are_counted_and_foreign_files_not_guessed(tmp_path):
    torch.save({"a": torch.zeros(2), "b": torch.zeros(2)}, tmp_path / "weights.pth")
    with pytest.raises(UserError, match=r"conv1.weight is missing; .* \d+ more$"):
        models.create("resnet18_comp", width=0.125).load(tmp_path / "weights.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weight: weight.to(torch.int32), "classifier.weight holds no floating-point numbers in a dense tensor"),
        (lambda weight: weight.to_sparse(), "classifier.weight holds no floating-point numbers in a dense tensor"),
        (lambda weight: weight.to("meta"), "classifier.weight holds no floating-point numbers in a dense tensor"),
        (lambda weight: weight.to(torch.complex64), "classifier.weight holds no floating-point numbers in a dense"),
    ],
)
def test_tensors_of_another_kind_are_refused(change, message):
    own = {"classifier.weight": torch.ones(3, 4), "features.norm.num_batches_tracked": torch.tensor(1)}
    assert weights._differences({**own, "classifier.weight": own["classifier.weight"].half()}, own) == []
    assert message in weights._differences({**own, "classifier.weight": change(own["classifier.weight"])}, own)[0]


def test_missing_weights_say_how_to_get_them(tmp_path):
    folder = tmp_path / "image" / "cifar10"
    with pytest.raises(UserError) as caught:
        find_pretrained(tmp_path, "cifar10", "drnas", "_s1")
    assert "`python -m autovul.train -m drnas -d cifar10 --suffix=_s1`" in str(caught.value)
    assert str(folder / "drnas_s1.pth") in str(caught.value)
    models.create("drnas", **CELLS).save(folder / "drnas.pth")
    with pytest.raises(UserError, match="nearest: drnas.pth"):
        find_pretrained(tmp_path, "cifar10", "drnas", "_s1")
    assert find_pretrained(tmp_path, "cifar10", "drnas") == folder / "drnas.pth"


def test_pretrain_loads_what_lies_in_the_model_folder(tmp_path):
    data = SimpleNamespace(name="toy", num_classes=4, data_shape=(3, 32, 32), mean=(0.5,) * 3, std=(0.2,) * 3)
    options = {"dataset": data, "model_dir": str(tmp_path), "suffix": "_x", **CELLS}
    with pytest.raises(
        UserError, match=r"python -m autovul.train -m darts_v2 --layers=3 --init_channels=4 .* -d toy --suffix=_x"
    ):
        models.create("darts_v2", pretrain=True, **options)
    trained = models.create("darts", **options)
    trained.save(tmp_path / "image" / "toy" / "darts_x.pth")
    assert equal(models.create("darts_v2", pretrain=True, **options), trained)


@pytest.mark.parametrize("auxiliary", [False, True])
@pytest.mark.parametrize("form", ["plain", "ddp", "ddp and compiled", "half", "reversed"])
def test_a_files_tensors_as_loaded_are_those_of_the_model_that_loads_it(tmp_path, form, auxiliary):
    """The sweep knows published files by this, before and without any model."""
    state = models.create("darts", auxiliary=True, **CELLS).state_dict()
    forms = {
        "plain": state,
        "ddp": {f"module.{key}": value for key, value in state.items()},
        "ddp and compiled": {f"module._orig_mod.{key}": value for key, value in state.items()},
        "half": {key: value.half() if value.is_floating_point() else value for key, value in state.items()},
        "reversed": dict(reversed(state.items())),
    }
    torch.save(forms[form], tmp_path / "w.pth")
    model = models.create("darts", auxiliary=auxiliary, **CELLS)
    model.load(tmp_path / "w.pth")
    found = as_loaded(load_state(tmp_path / "w.pth"), auxiliary=auxiliary)
    assert digest(found) == digest(model.state_dict())

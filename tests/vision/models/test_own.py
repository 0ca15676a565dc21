"""A user's own network: wrapped, checked, and otherwise let alone."""

import copy
import importlib
import sys
import textwrap

import pytest
import torch
from torch import nn

from autovul.base.errors import UsageError, UserError
from autovul.base.training import precision
from autovul.vision import models
from autovul.vision.models.own import source_sha256

SOURCE = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, num_classes)

    def forward(self, x):
        self.bn.num_batches_tracked += 1
        torch.rand(1)
        return self.fc(self.bn(self.conv(x)).mean((2, 3)))


class WithFeatures(nn.Sequential):
    def __init__(self, num_classes, data_shape):
        features = nn.Conv2d(data_shape[0], 5, 3)
        super().__init__()
        self.features, self.flatten = features, nn.Flatten()
        self.classifier = nn.Linear(5 * (data_shape[1] - 2) ** 2, num_classes)


class Quiet(Net):
    def forward(self, x):
        return self.fc(self.bn(self.conv(x)).mean((2, 3)))


class ByView(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.fc = nn.Linear(4 * 32 * 32, num_classes)

    def forward(self, x):
        return self.fc(self.conv(x).view(len(x), -1))


class ByViewInTraining(Net):
    asked = 0

    def forward(self, x):
        self.asked += 1
        return super().forward(x) + (self.conv(x).view(len(x), -1).mean() if self.training else 0)


class Tokens(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.embed, self.head = nn.Conv2d(3, 6, 4, stride=4), nn.Linear(6, num_classes)

    def forward(self, x):
        return self.head(self.embed(x).flatten(2).transpose(1, 2)).mean(1)


class InThreeDimensions(ByView):
    def __init__(self, num_classes=10):
        super().__init__(num_classes)
        self.conv = nn.Conv3d(3, 4, (1, 3, 3), padding=(0, 1, 1))

    def forward(self, x):
        return super().forward(x[:, :, None])


class WithHeads(Net):
    def __init__(self, num_classes, heads):
        super().__init__(num_classes)
        self.heads = nn.ModuleList(nn.Linear(4, num_classes) for _ in range(heads))

    def forward(self, x):
        features = self.conv(x).mean((2, 3))
        logits = self.fc(features)
        return (logits, *[head(features) for head in self.heads]) if self.training else logits


def one_head(num_classes):
    return WithHeads(num_classes, 1)


def two_heads(num_classes):
    return WithHeads(num_classes, 2)


class Scaled(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.scale = nn.Parameter(torch.ones((), dtype=torch.float64))
        self.inner = Net(num_classes)

    def forward(self, x):
        return self.inner(x) * self.scale.float()


def double(num_classes):
    return Net(num_classes).double()


def lazy(num_classes):
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(num_classes))


def plain():
    return Net(10)


def broken(num_classes):
    raise RuntimeError("two\\nlines")


def wrong(num_classes):
    return Net(num_classes + 1)


def misfit():
    return nn.Linear(7, 10)


class inplace(Net):
    def forward(self, x):
        x -= 0.25
        return super().forward(x)


def keywords(num_classes, **options):
    return Net(num_classes, **options)


def loaded(num_classes):
    network = Net(num_classes)
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.5)
    return network


def nothing():
    return None


def pair():
    class Pair(Net):
        def forward(self, x):
            return super().forward(x), 0

    return Pair()


number = 3
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "my_nets.py").write_text(SOURCE)
    (tmp_path / "my_broken.py").write_text("import no_such_module")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    sys.modules.pop("my_nets", None)


def test_an_own_network_offers_what_the_others_offer(own):
    torch.manual_seed(0)
    model = models.create("my_nets:Net", num_classes=3)
    torch.manual_seed(0)
    inner = importlib.import_module("my_nets").Net(3)
    assert (model.name, model.group, model.num_classes, model.training) == ("my_nets.Net", "yours", 3, False)
    assert models.group("my_nets:Net") == "yours"
    assert list(model.state_dict()) == list(inner.state_dict())
    for key, value in inner.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), "the trial leaves no trace"
    images = torch.rand(2, 3, 8, 8)
    logits, features = model(images), model.get_final_fm(images)
    assert torch.equal(model.network.fc(features), logits)
    assert model.get_layer(images, "conv").shape == (2, 4, 8, 8)
    with pytest.raises(UsageError, match="has no feature maps"):
        model.get_fm(images)


def test_the_final_features_of_tokens_are_their_mean(own):
    model, images = models.create("my_nets:Tokens"), torch.rand(2, 3, 8, 8)
    features = model.get_final_fm(images)
    assert features.shape == (2, 6)
    torch.testing.assert_close(model.network.head(features), model(images))


def test_images_are_single_precision_whatever_the_weights(own):
    assert models.create("my_nets:Scaled")(torch.rand(2, 3, 8, 8)).shape == (2, 10)


def test_a_lazy_network_takes_shape(own):
    model = models.create("my_nets:lazy", num_classes=3, data_shape=(3, 8, 8))
    assert model.network[2].weight.shape == (3, 4 * 6 * 6)
    assert not torch.equal(model.fresh().network[2].weight, model.network[2].weight)


def test_the_trial_draws_no_random_numbers(own):
    torch.manual_seed(0)
    models.create("my_nets:Net")
    ours = torch.rand(1)
    torch.manual_seed(0)
    importlib.import_module("my_nets").Net()
    assert torch.equal(ours, torch.rand(1))


@pytest.mark.parametrize(
    "name, gains", [("Net", True), ("ByView", False), ("ByViewInTraining", False), ("InThreeDimensions", False)]
)
def test_convolutions_are_stored_channels_last_only_where_the_network_computes_so(own, monkeypatch, name, gains):
    monkeypatch.setattr(precision, "_native_bf16", lambda device: True)
    model, images = models.create(f"my_nets:{name}"), torch.rand(2, 3, 32, 32)
    before, logits = copy.deepcopy(model.state_dict()), model(images)
    asked = getattr(model.network, "asked", 0)
    for wanted in ("auto", "fp32"):
        chosen = precision.resolve_precision(wanted, torch.device("cpu"), model)
        assert chosen.channels_last == gains
    assert getattr(model.network, "asked", 0) == asked, "the trial is seen"
    with chosen.layout(model):
        torch.testing.assert_close(model(images), logits)
    assert all(parameter.is_contiguous() for parameter in model.parameters())
    assert model.state_dict().keys() == before.keys()
    trained = [key for key in before if key != "bn.num_batches_tracked"]  # Net counts its calls there
    assert all(torch.equal(model.state_dict()[key], before[key]) for key in trained)


def test_shape_and_classes_are_passed_where_they_are_taken(own):
    model = models.create("my_nets:WithFeatures", num_classes=4, data_shape=(2, 6, 6))
    images = torch.rand(3, 2, 6, 6)
    assert torch.equal(model.get_fm(images), model.network.features(images))
    assert model.get_final_fm(images).shape == (3, 5 * 16)
    assert models.create("my_nets:plain").num_classes == 10


def test_it_may_be_wrapped_again(own):
    model = models.create("my_nets:Net")
    assert list(model.state_dict()) == [*importlib.import_module("my_nets").Net().state_dict()]
    for wrap in (nn.DataParallel, nn.Sequential, torch.compile, torch.optim.swa_utils.AveragedModel):
        first, second = wrap(model), wrap(models.create("my_nets:Net"))
        second.load_state_dict(first.state_dict())
        pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)
    twin = copy.deepcopy(model)
    twin.load_state_dict({key: value + 1 for key, value in model.state_dict().items()})
    assert torch.equal(twin.network.fc.weight, model.network.fc.weight + 1)


def test_its_files_have_its_own_keys(own):
    model = models.create("my_nets:Net")
    model.save("own.pth")
    assert list(torch.load("own.pth", weights_only=True)) == list(model.network.state_dict())
    other = models.create("my_nets:Net")
    other.load("own.pth")
    assert torch.equal(other.network.fc.weight, model.network.fc.weight)


def test_a_head_of_its_own_may_not_miss_in_a_file(own, tmp_path):
    model = models.create("my_nets:WithFeatures", data_shape=(3, 6, 6))
    model.save(tmp_path / "weights.pth")
    model.network.auxiliary_head = nn.Linear(1, 1)
    with pytest.raises(UserError, match="auxiliary_head.weight is missing"):
        model.load(tmp_path / "weights.pth")


def test_group_norm_and_no_other_option(own):
    assert isinstance(models.create("my_nets:Quiet", norm_layer="gn").network.bn, nn.GroupNorm)
    with pytest.raises(UsageError, match="my_nets:Net takes no layers"):
        models.create("my_nets:Net", layers=3)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_package.nets:Net", "cannot import 'no_such_package.nets' (ModuleNotFoundError: No module named"),
        ("my_broken:Net", "cannot import 'my_broken' (ModuleNotFoundError: No module named 'no_such_module')"),
        (":Net", "cannot import ''"),
        ("my_nets:net", "has no function or class 'net'"),
        ("my_nets:number", "has no function or class 'number'"),
        ("my_nets:broken", "the call failed (RuntimeError: two lines)"),
        ("my_nets:nothing", "must give a torch.nn.Module, gave NoneType"),
        ("my_nets:wrong", "must give logits of shape (2, 10) for 2 images, gave shape (2, 11)"),
        ("my_nets:pair", "must give logits of shape (2, 10) for 2 images, gave tuple"),
        ("my_nets:double", "fails on images of shape (2, 3, 32, 32) (RuntimeError: "),
        ("my_nets:inplace", "changes its input in place (as x -= mean does)"),
        ("my_nets:misfit", "fails on images of shape (2, 3, 32, 32) (RuntimeError: "),
    ],
)
def test_what_goes_wrong_is_told_in_one_line(own, name, message):
    with pytest.raises(UsageError) as caught:
        models.create(name)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_what_training_mode_may_give(own):
    images = torch.rand(2, 3, 8, 8)
    pair = models.create("my_nets:one_head").train()(images)
    assert [output.shape for output in pair] == [(2, 10), (2, 10)]
    assert models.create("my_nets:one_head", auxiliary_weight=0.3).auxiliary_weight == 0.3
    many = models.create("my_nets:two_heads")
    assert many(images).shape == (2, 10)
    with pytest.raises(UsageError, match="my_nets:two_heads: .* in training mode .* gave 3 outputs"):
        many.train()(images)


def test_a_function_of_any_keyword_is_given_the_classes_alone(own):
    assert models.create("my_nets:keywords", num_classes=3).network.fc.out_features == 3


def test_new_weights_are_new(own):
    model = models.create("my_nets:Net")
    torch.manual_seed(0)
    first = model.fresh()
    after = torch.rand(1)
    torch.manual_seed(0)
    importlib.import_module("my_nets").Net()
    assert torch.equal(after, torch.rand(1)), "the second one, built to compare, draws elsewhere"
    assert not torch.equal(first.network.fc.weight, model.network.fc.weight)
    with pytest.raises(UsageError, match=r"gives the same weights each time.*image/\{dataset\}/my_nets.loaded.pth"):
        models.create("my_nets:loaded").fresh()


def test_the_code_is_digested_without_comments_and_layout(own):
    first = source_sha256("my_nets:Net")
    for change, same in (("# a remark\n\n" + SOURCE, True), (SOURCE.replace("Conv2d(3, 4", "Conv2d(3, 8"), False)):
        (own / "my_nets.py").write_text(change)
        assert (source_sha256("my_nets:Net") == first) is same


def test_the_digest_is_the_same_in_every_version_of_python(tmp_path, monkeypatch):
    """Fields that later versions added, an f-string (tokens of their own since 3.12), indented documentation."""
    code = '''
        from dataclasses import dataclass

        @dataclass
        class Net(list, metaclass=type):
            """One line.

                An indented one.
            """
            width: int = 8

            async def build(self, *, a=None, b=..., **rest) -> "Net":
                match self.width:
                    case 8 | 9:
                        return [f"{a!r:>{self.width}} {{}}", b"\\x00", 1e-2, -1, 2j, *rest]
                return lambda x: (x := 1)
    '''
    (tmp_path / "steady.py").write_text(textwrap.dedent(code), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert source_sha256("steady:Net") == "6e6d1e7560a41ff6268c6c2a9f42f73eebc2b3e7e653a091c2e53299356256cb"


def test_long_code_is_digested_too(tmp_path, monkeypatch):
    """A chain of branches deeper than Python recurses, a number of more digits than it writes."""
    branches = "\n".join(f"    elif width == {number}: return {number}" for number in range(400))
    monkeypatch.chdir(tmp_path)
    for name, ending in (("long_one", "f"), ("long_two", "e")):
        code = f"def build(width):\n    if width < 0: return None\n{branches}\nLARGE = 0x{'f' * 4999}{ending}\n"
        (tmp_path / f"{name}.py").write_text(code)
    assert len({source_sha256(f"{name}:build") for name in ("long_one", "long_two")}) == 2


def test_different_code_has_different_digests(tmp_path, monkeypatch):
    """The tree is written flat; what belongs to which node must still be told."""
    monkeypatch.chdir(tmp_path)
    codes = ["f(a, b)", "f(a)(b)", "f([a, b])", "f([a], b)", "f(a, b=b)", "f(a, 'b')", "f(a); b", "f(f'{a}b')"]
    codes += ["f(f'{a}', b)", "f(1)", "f(1.0)", "f(True)", "f('1')", "f(b'1')", "f(-1)", "f(None)", "f(...)"]
    for number, code in enumerate(codes):
        (tmp_path / f"code{number}.py").write_text(f"def build():\n    {code}\n")
    assert len({source_sha256(f"code{number}:build") for number in range(len(codes))}) == len(codes)

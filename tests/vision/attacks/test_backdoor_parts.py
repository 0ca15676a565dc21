"""The parts of a backdoor attack against slow twins: batches, losses, measurement, neurons, files."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from autovul.base.errors import UsageError, UserError
from autovul.base.metrics import NonFiniteOutput
from autovul.vision import attacks, models
from autovul.vision.attacks.backdoor import files as backdoor_files
from autovul.vision.attacks.backdoor.batches import PoisonedBatches
from autovul.vision.attacks.backdoor.losses import FeatureStep, PoisonStep
from autovul.vision.attacks.backdoor.measure import jaccard_of_top_half, measure
from autovul.vision.attacks.backdoor.neurons import Neurons, mean_activations
from autovul.vision.datasets import Augmentation, to_pixels
from tests.vision.attacks.backdoors import trigger
from tests.vision.attacks.patches import make_network

CROPPED = Augmentation(padding=2, flip=True)


def batches(dataset, mode, fraction, *, size=20, augment=CROPPED, mark=None, seed=3):
    mark = mark or trigger(mark_alpha=0.3)
    return PoisonedBatches(dataset, mark, 2, fraction, mode, size, torch.device("cpu"), seed, augment)


def content(pair):
    x, (y, clean) = pair
    return x, y, clean


@pytest.mark.parametrize("fraction", [0.0, 0.02, 0.13, 1.0])
def test_batch_mode_adds_marked_copies_of_the_first_images(dataset, fraction):
    mark = trigger(mark_alpha=0.3)
    clean_batches = dataset.train_batches(20, "cpu", 3, CROPPED)
    added = []
    for epoch in range(30):
        poisoned = batches(dataset, "batch", fraction, mark=mark).epoch(epoch)
        for pair, (x_clean, y_clean) in zip(poisoned, clean_batches.epoch(epoch), strict=True):
            x, y, clean = content(pair)
            count = len(x) - clean
            assert torch.equal(x[:clean], x_clean) and torch.equal(y[:clean], y_clean)
            assert torch.equal(x[clean:], mark.apply(x_clean[:count]))
            assert y[clean:].tolist() == [2] * count
            assert count in (int(20 * fraction + 1e-9), int(20 * fraction + 1e-9) + 1)
            added.append(count)
    mean, rest = sum(added) / len(added), 20 * fraction % 1
    assert abs(mean - 20 * fraction) <= 4 * (rest * (1 - rest) / len(added)) ** 0.5


def test_dataset_mode_adds_the_same_copies_in_every_epoch(dataset):
    mark = trigger(random_pos=True)
    poisoned = batches(dataset, "dataset", 0.25, mark=mark)
    order = np.arange(120)
    np.random.RandomState(3).shuffle(order)
    assert poisoned.num_samples == 150
    per_epoch = []
    for epoch in (0, 1):
        copies, labels, clean_count = [], [], 0
        for pair in poisoned.epoch(epoch):
            x, y, clean = content(pair)
            copies += [*x[clean:]]
            assert y[clean:].tolist() == [2] * (len(x) - clean)
            labels += y[:clean].tolist()
            clean_count += clean
        assert clean_count == 120 and sorted(labels) == sorted(dataset.train.labels.tolist())
        per_epoch.append({tuple(copy.flatten().tolist()) for copy in copies})
    assert per_epoch[0] == per_epoch[1] and len(per_epoch[0]) == 30
    marks = (torch.tensor([*per_epoch[0]]).view(30, 3, 64) == 1).all(1)
    assert len({tuple(mark.tolist()) for mark in marks}) > 10  # random places, each copy with its own
    originals = to_pixels(dataset.train.images[order[:30].tolist()])
    for copy in per_epoch[0]:
        changed = (torch.tensor(copy).view(3, 8, 8) != originals).any(1).flatten(1).sum(1)
        assert int(changed.min()) == 4  # of one original, all but the mark is as it was


def test_loss_mode_marks_every_image(dataset):
    for pair in batches(dataset, "loss", 0.1).epoch(0):
        x, y, clean = content(pair)
        assert len(x) == 2 * clean
        assert torch.equal(x[clean:], trigger(mark_alpha=0.3).apply(x[:clean]))


@pytest.mark.parametrize("mode", ["batch", "dataset", "loss"])
@pytest.mark.parametrize("options", [{}, {"random_pos": True}])
def test_a_batch_depends_on_seed_epoch_and_number_alone(dataset, mode, options):
    def read(epoch, start=0, seed=3):
        found = batches(dataset, mode, 0.13, mark=trigger(**options), seed=seed).epoch(epoch, start)
        return [content(pair) for pair in found]

    whole, tail = read(1), read(1, start=3)
    for (x, y, clean), (x_tail, y_tail, clean_tail) in zip(whole[3:], tail, strict=True):
        assert torch.equal(x, x_tail) and torch.equal(y, y_tail) and clean == clean_tail
    assert not torch.equal(whole[0][0], read(2)[0][0])
    assert not torch.equal(whole[0][0], read(1, seed=4)[0][0])


@pytest.mark.parametrize("weight", [None, 0.0, 0.2, 1.0])
@pytest.mark.parametrize("marked", [0, 3])
def test_the_loss_by_hand(dataset, weight, marked):
    class Auxiliary(nn.Module):
        def __init__(self):
            super().__init__()
            self.main, self.other = make_network(1), make_network(2)

        def forward(self, x):
            return self.main(x), self.other(x)

    model, x = Auxiliary(), dataset.train.pixels(slice(0, 5 + marked))
    y = torch.cat([dataset.train.labels[:5], torch.full((marked,), 2)])
    loss, logits = PoisonStep(batches(dataset, "loss", 0.2), weight, 0.4)(model, x, (y, 5))
    expected = 0.0
    for part, factor in ((model.main, 1.0), (model.other, 0.4)):
        losses = [functional.cross_entropy(part(x)[i : i + 1], y[i : i + 1]).item() for i in range(len(x))]
        clean, triggered = sum(losses[:5]) / 5, sum(losses[5:]) / max(marked, 1)
        expected += factor * (sum(losses) / len(x) if weight is None else (1 - weight) * clean + weight * triggered)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert torch.equal(logits, model.main(x))


def test_the_feature_loss_by_hand(dataset):
    model, x, y = make_network(), dataset.train.pixels(slice(0, 8)), dataset.train.labels[:8]
    goal = torch.arange(96) / 96
    with Neurons(model, "4") as neurons:
        model(torch.rand(2, 3, 8, 8))
        assert not neurons._heard, "what others ask is not kept"
        loss, _ = FeatureStep(batches(dataset, "loss", 0.2), neurons, goal, 0.5, 0.4)(model, x, (y, 5))
        alone, _ = FeatureStep(batches(dataset, "loss", 0.2), neurons, goal, 0.5, 0.4)(model, x[:5], (y[:5], 5))
    features = model[:5](x)
    clean = functional.cross_entropy(model(x)[:5], y[:5]).item()
    distance = sum((features[i, j] - goal[j]).item() ** 2 for i in range(5, 8) for j in range(96)) / (3 * 96)
    assert loss.item() == pytest.approx(clean + 0.5 * distance, rel=1e-5)
    assert alone.item() == pytest.approx(clean, rel=1e-5)


# Neurons


def test_an_auxiliary_heads_features_are_not_the_final_ones():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.main, self.other = nn.Flatten(), nn.Linear(12, 3), nn.Linear(12, 3)

        def forward(self, x):
            features = self.body(x)
            logits = self.main(features)
            return (logits, self.other(2 * features)) if self.training else logits

    images = torch.rand(2, 3, 2, 2)
    for training in (False, True):
        with Neurons(Two().train(training)) as neurons:
            assert torch.equal(neurons(images)[1], images.flatten(1))


def test_neurons_are_what_the_layer_gives_and_leave_no_hook():
    model = models.create("resnet18_comp", width=0.125)
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with Neurons(model) as final, Neurons(model, "features.layer1") as maps, Neurons(model, "logits") as logits:
        assert torch.equal(final(images)[1], model.get_final_fm(images))
        assert torch.equal(maps(images)[1], model.get_layer(images, "features.layer1").flatten(2).mean(2))
        assert torch.equal(logits(images)[1], model(images))
        assert torch.equal(final(images)[0], model(images))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    with pytest.raises(UsageError, match=r"no layer 'features.layer9' \(nearest: features.layer"):
        Neurons(model, "features.layer9")


def test_the_final_features_of_any_module_are_its_last_linear_layers_input(dataset):
    model, images = make_network(), dataset.valid.pixels(slice(0, 4))
    with Neurons(model) as neurons:
        assert torch.equal(neurons(images)[1], model[:7](images))


class Tokens(nn.Module):
    """Sixteen tokens of six features: a norm, a head for each token, and the mean of what the heads say."""

    def __init__(self, swin=False):
        super().__init__()
        self.embed = nn.Conv2d(3, 6, 2, stride=2)
        self.block = nn.Identity()
        self.norm, self.head, self.swin = nn.LayerNorm(6), nn.Linear(6, 3), swin

    def forward(self, x):
        maps = self.embed(x)
        tokens = maps.permute(0, 2, 3, 1) if self.swin else maps.flatten(2).transpose(1, 2)
        return self.head(self.norm(self.block(tokens) + 1)).flatten(1, -2).mean(1)


@pytest.mark.parametrize("swin", [False, True])
def test_tokens_are_no_neurons(dataset, swin):
    torch.manual_seed(0)
    model, images = Tokens(swin), dataset.valid.pixels(slice(0, 5))
    maps = model.embed(images)
    tokens = maps.flatten(2).transpose(1, 2)
    with Neurons(model, "embed") as first, Neurons(model, "norm") as norm, Neurons(model) as final:
        torch.testing.assert_close(first(images)[1], maps.mean((2, 3)))
        torch.testing.assert_close(norm(images)[1], model.norm(tokens + 1).mean(1))
        torch.testing.assert_close(final(images)[1], model.norm(tokens + 1).mean(1))
    if not swin:
        with Neurons(model, "block") as block:
            torch.testing.assert_close(block(images)[1], tokens.mean(1))


def test_a_layer_norm_of_feature_maps_has_its_channels_first(dataset):
    class LayerNorm2d(nn.LayerNorm):  # as torchvision's
        def forward(self, x):
            return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    model = nn.Sequential(nn.Conv2d(3, 4, 3), LayerNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    images = dataset.valid.pixels(slice(0, 5))
    with Neurons(model, "1") as neurons:
        torch.testing.assert_close(neurons(images)[1], model[:2](images).mean((2, 3)))


def test_the_channels_of_1d_convolutions_come_first(dataset):
    model = nn.Sequential(nn.Flatten(2), nn.Conv1d(3, 4, 5), nn.Flatten(), nn.Linear(4 * 60, 3))
    images = dataset.valid.pixels(slice(0, 5))
    with Neurons(model, "1") as neurons:
        torch.testing.assert_close(neurons(images)[1], model[:2](images).mean(2))


def test_the_mean_activation_by_hand(dataset):
    model = make_network()
    with Neurons(model, "4") as neurons:
        found = mean_activations(neurons, dataset.train_batches(7, "cpu"))
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, model[:5](dataset.train.pixels()).double().mean(0))


# Measurement


def test_figures_agree_with_an_explicit_count(dataset):
    model, mark, target = make_network(), trigger(), 1
    with torch.no_grad():  # answers that are neither all alike nor all as confident
        model[-1].weight *= 50
        model[-1].bias -= model(mark.apply(dataset.valid.pixels())).mean(0)
    found = measure(model, dataset, mark, target, batch_size=13, seed=5)
    hits, others, confidences, right = 0, 0, [], 0
    all_hits, sums = 0, [[0.0] * 24, [0.0] * 24]
    for index in range(len(dataset.valid)):
        clean = dataset.valid.pixels([index])
        marked, label = mark.apply(clean), int(dataset.valid.labels[index])
        output = model(marked)
        hit = int(output.argmax()) == target
        right += int(model(clean).argmax()) == label
        all_hits += hit
        others += label != target
        hits += hit and label != target
        confidences += [output.softmax(1)[0, target].item()] if hit and label != target else []
        for kind, images in enumerate((clean, marked)):
            sums[kind] = [a + b for a, b in zip(sums[kind], model[:7](images)[0].tolist(), strict=True)]
    assert 0 < hits < others < len(dataset.valid) and hits < all_hits
    assert found.success == pytest.approx(100 * hits / others)
    assert found.success_all == pytest.approx(100 * all_hits / len(dataset.valid))
    assert found.accuracy == pytest.approx(100 * right / len(dataset.valid))
    assert (found.count, found.count_all) == (others, len(dataset.valid))
    assert found.confidence == pytest.approx(100 * sum(confidences) / len(confidences), rel=1e-5)
    halves = [set(sorted(range(24), key=lambda i, s=s: -s[i])[:12]) for s in sums]
    assert found.jaccard == pytest.approx(len(halves[0] & halves[1]) / len(halves[0] | halves[1]))


def test_the_size_of_the_batch_changes_nothing_even_for_random_places(dataset):
    mark = trigger(random_pos=True)
    small, large = (measure(make_network(), dataset, mark, 1, batch_size=n, seed=5) for n in (4, 90))
    assert torch.equal(small.triggered_predictions, large.triggered_predictions)


def test_jaccard_index():
    assert jaccard_of_top_half(torch.tensor([4.0, 3, 2, 1]), torch.tensor([8.0, 7, 0, 0])) == 1
    assert jaccard_of_top_half(torch.tensor([4.0, 3, 2, 1]), torch.tensor([1.0, 2, 3, 4])) == 0
    assert jaccard_of_top_half(torch.tensor([4.0, 3, 2, 1]), torch.tensor([4.0, 1, 3, 2])) == pytest.approx(1 / 3)
    assert jaccard_of_top_half(torch.tensor([1.0]), torch.tensor([2.0])) == 1


def test_a_diverged_network_is_not_measured(dataset):
    model = make_network()
    nn.init.constant_(model[-1].bias, float("nan"))
    with pytest.raises(NonFiniteOutput):
        measure(model, dataset, trigger(), 0, batch_size=20, seed=0)


# Files


def test_the_name_of_the_files():
    attack = attacks.create(
        "badnet", mark_path="a/b/apple.png", mark_alpha=0.7, mark_height=4, mark_width=5, target_class=3
    )
    assert backdoor_files.stem(attack) == "apple_tar3_alpha0.70_mark(4,5)"


def test_network_and_trigger_come_back_together(tmp_path):
    base, model, mark = tmp_path / "x_alpha0.70_mark(2,2)", make_network(), trigger()
    backdoor_files.save(base, model, mark, {"target_class": 2}, {"seed": 5})
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{base.name}.npz", f"{base.name}.pth"]
    state, again, options, made_with = backdoor_files.load(base)
    assert made_with == {"seed": 5}
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
    assert torch.equal(again.mark, mark.mark) and options == {"target_class": 2}


def test_half_a_save_is_noticed(tmp_path, monkeypatch):
    base = tmp_path / "attack"
    with pytest.raises(UserError, match=r"no saved attack at .*attack\.pth: run the same command without"):
        backdoor_files.load(base)
    backdoor_files.save(base, make_network(1), trigger(), {}, {})
    real, calls = os.replace, []

    def dies(source, destination):
        calls.append(destination)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(source, destination)

    monkeypatch.setattr(os, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        backdoor_files.save(base, make_network(2), trigger(), {}, {})
    with pytest.raises(UserError, match="are not of one run"):
        backdoor_files.load(base)


def test_a_damaged_trigger_is_refused(tmp_path):
    base = tmp_path / "attack"
    backdoor_files.save(base, make_network(), trigger(), {}, {})
    archive = tmp_path / "attack.npz"
    archive.write_bytes(archive.read_bytes()[:300])
    with pytest.raises(UserError, match=r"attack\.npz is damaged or no saved trigger"):
        backdoor_files.load(base)


def test_what_follows_a_layer_in_place_does_not_change_what_is_heard():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(180, 3)).eval()
    images = torch.rand(4, 3, 8, 8)
    expected = network[0](images).mean((2, 3))
    assert expected.min() < 0
    with Neurons(network, "0") as neurons:
        assert torch.equal(neurons(images)[1], expected)
        neurons(images)[1].sum().backward()  # gradients still pass
    assert network[0].weight.grad.abs().sum() > 0


def test_smoothed_labels_in_every_loss(dataset):
    smoothing = {"reduction": "none", "label_smoothing": 0.3}
    network = make_network()
    x, (labels, clean) = next(iter(batches(dataset, "loss", 0.2).epoch(0)))
    losses = functional.cross_entropy(network(x), labels, **smoothing)
    step = PoisonStep(batches(dataset, "loss", 0.2), 0.2, 0.4, label_smoothing=0.3)
    expected = 0.8 * losses[:clean].mean() + 0.2 * losses[clean:].mean()
    torch.testing.assert_close(step(network, x, (labels, clean))[0], expected)
    with Neurons(network, "4") as neurons:
        step = FeatureStep(batches(dataset, "loss", 0.2), neurons, torch.zeros(96), 0.0, 0.4, label_smoothing=0.3)
        torch.testing.assert_close(step(network, x, (labels, clean))[0], losses[:clean].mean())


def test_a_network_without_final_features_is_measured_without_their_overlap(dataset):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 3, 8), nn.AdaptiveAvgPool2d(1), Squeeze()).eval()
    found = measure(network, dataset, trigger(), 1, batch_size=20, seed=1)
    assert found.jaccard is None and 0 <= found.success <= 100


class Squeeze(nn.Module):
    def forward(self, x):
        return x[:, :, 0, 0]

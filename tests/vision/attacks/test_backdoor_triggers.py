"""Where the triggers of TrojanNN, latent backdoor and IMC come from."""

from __future__ import annotations

import copy
from contextlib import ExitStack

import pytest
import torch
from torch import nn
from torch.nn import functional

from autovul.base.errors import UserError
from autovul.base.options import OptionError
from autovul.vision.attacks.backdoor import files as backdoor_files
from autovul.vision.attacks.backdoor.attack import Scene
from autovul.vision.attacks.backdoor.batches import PoisonedBatches
from autovul.vision.attacks.backdoor.latent_backdoor import as_colours, from_colours
from autovul.vision.marks import Watermark
from tests.vision.attacks.backdoors import RECIPE, create, setup, trigger
from tests.vision.attacks.patches import PLAIN, value

# TrojanNN


def test_the_chosen_neurons_are_the_coldest_and_really_rise(dataset, trained):
    attack = create("trojannn", neuron_num=3)
    scene = Scene(trained, dataset, setup())
    start = trigger()
    made = attack.make_trigger(scene, start)
    totals = [0.0] * 96
    for index in range(len(dataset.train)):
        row = trained[:5](dataset.train.pixels([index]))[0].tolist()
        totals = [total + number for total, number in zip(totals, row, strict=True)]
    before, after = (trained[:5](mark.alone())[0] for mark in (start, made))
    gradients = alive_neurons(trained, start)
    coldest = [neuron for neuron in sorted(range(96), key=totals.__getitem__) if gradients[neuron]][:3]
    assert value_of(scene, "neuron_activation_before") == pytest.approx(before[coldest].mean().item(), rel=1e-4)
    assert value_of(scene, "neuron_activation_after") == pytest.approx(after[coldest].mean().item(), rel=1e-4)
    assert after[coldest].mean() > before[coldest].mean() + 0.02
    assert torch.linalg.vector_norm(after[coldest] - 10) < torch.linalg.vector_norm(before[coldest] - 10)
    assert not torch.equal(made.mark, start.mark)
    assert bool(((made.mark >= 0) & (made.mark <= 1)).all())


def value_of(scene, name):
    return scene.metrics[name].value


def alive_neurons(model, mark):
    """Whether each neuron of layer 4 moves with the mark, one gradient at a time."""
    alive = []
    for neuron in range(96):
        colours = mark.mark.clone().requires_grad_()
        model[:5](mark.with_mark(colours).alone())[0, neuron].backward()
        alive.append(bool(colours.grad.any()))
    return alive


def test_on_a_linear_network_the_mark_is_known(dataset):
    """One step moves each colour by the step size against the gradient's sign, which is minus the weight's here."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.Linear(4, 3)).eval()
    start = trigger(random_init=True)
    for epochs in (1, 4):
        attack = create("trojannn", preprocess_layer="1", neuron_num=1, neuron_epoch=epochs, target_value=1000.0)
        scene = Scene(model, dataset, setup())
        made = attack.make_trigger(scene, start)
        sums = model[1](dataset.train.pixels().flatten(1)).sum(0)
        weight = model[1].weight[sums.argmin()].view(3, 8, 8)[:, :2, :2]
        torch.testing.assert_close(made.mark, (start.mark + 0.015 * epochs * weight.sign()).clamp(0, 1))
        assert value_of(scene, "neuron_activation_after") > value_of(scene, "neuron_activation_before")


def test_it_stops_once_the_neurons_are_near_enough(dataset):
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.Linear(4, 3)).eval()
    start = trigger()
    made = create("trojannn", preprocess_layer="1", target_value=0.0, threshold=1e6).make_trigger(
        Scene(model, dataset, setup()), start
    )
    assert torch.equal(made.mark, start.mark)


def test_of_neurons_that_are_equally_quiet_the_first_are_taken(dataset, monkeypatch):
    """Features that never fire are all at 0, and another order would be another trigger."""
    quiet = torch.ones(512)
    quiet[torch.arange(512) % 5 > 1] = 0.0
    monkeypatch.setattr("autovul.vision.attacks.backdoor.trojannn.mean_activations", lambda *args: quiet)
    seen = []

    def choose(self, neurons, order, trigger):
        seen.extend(order.tolist())
        return order[:1], []

    monkeypatch.setattr("autovul.vision.attacks.backdoor.trojannn.TrojanNN._choose", choose)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 512), nn.Linear(512, 3)).eval()
    create("trojannn", preprocess_layer="1", neuron_epoch=1).make_trigger(Scene(model, dataset, setup()), trigger())
    assert seen == sorted(range(512), key=lambda place: (quiet[place].item(), place))


def test_dead_neurons_are_passed_over_and_told(dataset, trained, capsys):
    network = copy.deepcopy(trained)
    with torch.no_grad():
        network[0].weight[2] = 0.0  # of this channel, 16 neurons depend on nothing
        network[0].bias[2] = -100.0
    scene = Scene(network, dataset, setup(progress=True))
    create("trojannn", neuron_num=2).make_trigger(scene, trigger())
    assert scene.counts["dead_neurons"] >= 16
    assert "neurons without a gradient on the mark" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"90 asked for, but the mark moves only \d+ of the 96"):
        create("trojannn", neuron_num=90).make_trigger(Scene(network, dataset, setup()), trigger())


def test_neurons_and_layers_that_are_not_there(dataset, trained):
    with pytest.raises(OptionError, match="neuron_num must be at most 96, which is how many '4' has, got 97"):
        create("trojannn", neuron_num=97).run(trained, dataset, setup())
    with pytest.raises(UserError, match="has no layer 'fc'"):
        create("trojannn", preprocess_layer="fc").run(trained, dataset, setup())


# Latent backdoor


def test_the_trigger_comes_closer_to_the_target_classs_features(dataset, trained):
    scene = Scene(trained, dataset, setup())
    attack = create("latent_backdoor", preprocess_epoch=20)
    made = attack.make_trigger(scene, trigger())
    assert value_of(scene, "feature_distance_last_epoch") < value_of(scene, "feature_distance_first_epoch")
    assert (scene.counts["target_images"], scene.counts["other_images"]) == (40, 80)
    with torch.no_grad():
        labels = dataset.train.labels
        goal = trained[:7](dataset.train.pixels(labels == 1)).mean(0)
        others = dataset.train.pixels(labels != 1)
        reached, at_first = (functional.mse_loss(trained[:7](mark.apply(others)), goal.expand(80, -1)).item()
                             for mark in (made, trigger(random_init=True)))  # fmt: skip
    assert reached < at_first
    assert reached == pytest.approx(value_of(scene, "feature_distance_last_epoch"), rel=0.05)


def test_the_baseline_is_the_clean_networks_answer_to_the_final_trigger(dataset, trained, tmp_path):
    black = {"mark_path": "square_black", "mark_height": 8, "mark_width": 8}
    attack = create("latent_backdoor", preprocess_epoch=20, **black)
    result = attack.run(trained, dataset, setup(folder=tmp_path, training=RECIPE.model_copy(update={"epoch": 1})))
    made = backdoor_files.load(tmp_path / "square_black_tar1_alpha0.00_mark(8,8)")[1]
    images = dataset.valid.pixels(dataset.valid.labels != 1)
    rates = []
    for mark in (made, Watermark(data_shape=(3, 8, 8), **black).trigger()):
        rates.append(100 * (trained(mark.apply(images)).argmax(1) == 1).double().mean().item())
    assert rates[0] != rates[1]
    assert value(result, "clean_model_success_rate") == rates[0]


def test_the_feature_term_is_kept_in_every_mode_and_can_be_left(dataset, trained):
    batch = (dataset.train.pixels(slice(0, 6)), (dataset.train.labels[:6], 4))
    for mode in ("batch", "dataset", "loss"):
        losses = []
        for options in ({"mse_weight": 0.5}, {"mse_weight": 0.0}, {"plain_poisoning": True}):
            attack, scene = create("latent_backdoor", train_mode=mode, **options), Scene(trained, dataset, setup())
            poisoned = PoisonedBatches(dataset, trigger(), 1, 0.2, mode, 20, torch.device("cpu"), 3, PLAIN)
            with ExitStack() as hooks:
                losses.append(attack.make_step(scene, trained, poisoned, hooks)(trained, *batch)[0].item())
        plain, _ = badnet_step(trained, dataset, mode)(trained, *batch)
        assert losses[0] > losses[1]
        assert losses[2] == plain.item()


def badnet_step(model, dataset, mode):
    poisoned = PoisonedBatches(dataset, trigger(), 1, 0.2, mode, 20, torch.device("cpu"), 3, PLAIN)
    return create("badnet", train_mode=mode).make_step(Scene(model, dataset, setup()), model, poisoned, ExitStack())


def test_samples_that_are_not_there(dataset, trained):
    with pytest.raises(UserError, match="class_sample_num: 41 images of class 0 asked for, 40 there"):
        create("latent_backdoor", class_sample_num=41).run(trained, dataset, setup())


# IMC


def test_colours_and_back():
    colours = torch.tensor([0.2, 0.5, 0.999])
    torch.testing.assert_close(as_colours(from_colours(colours)), colours)
    ends = from_colours(torch.tensor([0.0, 1.0]))
    assert bool(ends.isfinite().all())
    torch.testing.assert_close(as_colours(ends), torch.tensor([0.0, 1.0]), atol=2e-4, rtol=0)


@pytest.mark.parametrize("start", ["last", "noise"])
def test_before_an_epoch_the_trigger_follows_the_network_which_stands_still(dataset, trained, start):
    scene, victim = Scene(trained, dataset, setup()), copy.deepcopy(trained).train()
    before = {key: tensor.clone() for key, tensor in victim.state_dict().items()}
    black = trigger(mark_path="square_black")
    poisoned = PoisonedBatches(dataset, black, 1, 0.2, "batch", 20, torch.device("cpu"), 3, PLAIN)
    attack = create("imc", inner_iter=10, inner_start=start)
    attack.watch(scene, victim, poisoned)
    images = dataset.train.pixels(dataset.train.labels != 1)

    def cost(mark):
        with torch.no_grad():
            target = torch.ones(len(images), dtype=torch.int64)
            return functional.cross_entropy(trained(mark.apply(images)), target).item()

    marks = [poisoned.trigger]
    for epoch in (0, 1):
        next(iter(poisoned.epoch(epoch)))
        marks.append(poisoned.trigger)
    assert cost(marks[1]) < cost(marks[0]) and cost(marks[2]) < cost(marks[0])
    assert not torch.equal(marks[1].mark, marks[2].mark)
    assert victim.training
    assert all(torch.equal(tensor, before[key]) for key, tensor in victim.state_dict().items())
    next(iter(poisoned.epoch(1, start=2)))
    assert poisoned.trigger is marks[2]  # a resume in the middle of an epoch does not train it again


def test_the_trigger_s_training_by_hand(dataset, trained):
    """Each epoch goes on from the last one's trigger; each round has 20 batches in an order of its own."""
    small = setup(batch_size=5)
    scene, start = Scene(trained, dataset, small), trigger(random_init=True)
    poisoned = PoisonedBatches(dataset, start, 1, 0.2, "batch", 5, torch.device("cpu"), 3, PLAIN)
    create("imc", inner_iter=2).watch(scene, copy.deepcopy(trained), poisoned)
    clean, mark = dataset.train_batches(5, "cpu", small.seed, PLAIN), start
    for epoch in (0, 1):
        raw = from_colours(mark.mark).requires_grad_()
        optimiser = torch.optim.Adam([raw], lr=0.1)
        for number in (0, 1):
            for images, _ in [*clean.epoch(1 + 2 * epoch + number)][:20]:
                logits = trained(start.with_mark(as_colours(raw)).apply(images))
                loss = functional.cross_entropy(logits, torch.ones(5, dtype=torch.int64))
                (raw.grad,) = torch.autograd.grad(loss, raw)
                optimiser.step()
        mark = start.with_mark(as_colours(raw).detach())
        poisoned.before_epoch(epoch)
        torch.testing.assert_close(poisoned.trigger.mark, mark.mark)


def test_the_saved_trigger_is_the_last_one(dataset, trained, tmp_path):
    result = create("imc").run(
        trained, dataset, setup(folder=tmp_path, training=RECIPE.model_copy(update={"epoch": 2}))
    )
    saved = backdoor_files.load(tmp_path / "square_white_tar1_alpha0.00_mark(2,2)")[1]
    start = create("imc").make_trigger(Scene(trained, dataset, setup()), trigger())
    assert not torch.equal(saved.mark, start.mark)
    assert value(result, "success_rate") > value(result, "clean_model_success_rate") - 1

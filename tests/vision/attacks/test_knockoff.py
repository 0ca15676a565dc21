"""Model extraction: what is sent, what the thief learns from, what is measured."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from autovul.base.errors import UsageError, UserError
from autovul.base.metrics import NonFiniteOutput
from autovul.base.options import OptionError
from autovul.base.trainer import Trainer
from autovul.base.training.options import TrainingOptions
from autovul.vision import attacks, datasets, models
from autovul.vision.attacks.base import Setup
from autovul.vision.attacks.extraction import queries
from autovul.vision.attacks.extraction.adaptive_sampling import GradientBandit, RewardScale, rewards
from autovul.vision.attacks.extraction.art_thief import train_thief
from autovul.vision.attacks.extraction.native_thief import thief_seed
from autovul.vision.attacks.extraction.transfer_set import TransferSet
from autovul.vision.datasets import Augmentation, ImageBatches, ImageDataset, ImageSplit

CLASSES, SHAPE = 4, (3, 6, 6)


def network(seed, scale=1.0):
    """A linear classifier of centred pixels."""
    torch.manual_seed(seed)
    layer = nn.Linear(math.prod(SHAPE), CLASSES)
    layer.weight.data.mul_(scale)
    layer.bias.data.sub_(layer.weight.data.sum(1) / 2)
    return nn.Sequential(nn.Flatten(), layer)


@pytest.fixture(scope="module")
def victim():
    return network(1, scale=12).eval()


def drawn(count, seed, victim):
    images = torch.randint(0, 256, (count, *SHAPE), generator=torch.Generator().manual_seed(seed)).to(torch.uint8)
    return ImageSplit(images, victim(images / 255).argmax(1))


@pytest.fixture(scope="module")
def dataset(victim):
    return ImageDataset("noise", [*"abcd"], drawn(600, 0, victim), drawn(200, 1, victim), (0.5,) * 3, (0.3,) * 3)


def setup(**options):
    recipe = {"epoch": 15, "lr": 0.01, "weight_decay": 0.0, **options}
    return Setup(training=TrainingOptions(**recipe), batch_size=32)


def attack(**options):
    return attacks.create("knockoff", **{"nb_stolen": 300, "augment": "none", **options})


def value(result, name):
    return result.metrics[name].value


def test_more_queries_make_a_better_copy(victim, dataset):
    result = attack(nb_stolen=(20, 100, 600)).run(victim, dataset, setup())
    losses = [row["cross_entropy"] for row in result.series]
    assert losses == sorted(losses, reverse=True)
    assert [row["budget"] for row in result.series] == [20, 100, 600]
    assert result.series[-1]["agreement"] > 60
    for row in result.series:
        assert value(result, f"cross_entropy_{row['budget']}_queries") == row["cross_entropy"]
    for name in ("cross_entropy", "kl_divergence", "agreement", "thief_accuracy"):
        assert value(result, name) == pytest.approx(sum(row[name] for row in result.series) / 3)
    assert value(result, "victim_accuracy") == 100
    assert result.counts["queries"] == value(result, "queries") == 600


def test_the_figures_by_hand(victim, dataset):
    options = attack(label_mode="soft")
    result = options.run(victim, dataset, setup())
    thief, diverged = options.steal(victim, options.query(victim, dataset, setup()), dataset, setup())
    assert not diverged
    pixels, labels = dataset.valid.pixels(), dataset.valid.labels
    with torch.no_grad():
        p, q = victim(pixels).double().softmax(1), thief(pixels).double().softmax(1)
    pairs = [*zip(p.flatten().tolist(), q.flatten().tolist(), strict=True)]
    assert value(result, "cross_entropy") == pytest.approx(sum(-a * math.log(b) for a, b in pairs) / len(p), rel=1e-5)
    divergence = sum(a * math.log(a / b) for a, b in pairs) / len(p)
    assert value(result, "kl_divergence") == pytest.approx(divergence, rel=1e-5) and divergence > 0
    assert value(result, "agreement") == pytest.approx(100 * (p.argmax(1) == q.argmax(1)).double().mean().item())
    assert value(result, "thief_accuracy") == pytest.approx(100 * (q.argmax(1) == labels).double().mean().item())


def test_soft_answers_are_probabilities_and_hard_ones_classes(victim, dataset):
    soft, hard = (attack(label_mode=mode).query(victim, dataset) for mode in ("soft", "hard"))
    expected = victim(soft.images / 255).softmax(1)
    assert torch.allclose(soft.answers, expected, atol=1e-5)
    assert hard.answers.dtype == torch.int64 and torch.equal(hard.answers, expected.argmax(1))
    assert torch.equal(soft.hardened().answers, hard.answers)


def test_budgets_are_nested_and_images_are_varied_once(victim, dataset):
    small, large = (attack(nb_stolen=n, augment="once").query(victim, dataset) for n in (70, 330))
    assert torch.equal(small.images, large.images[:70]) and torch.equal(small.indices, large.indices[:70])
    assert torch.equal(large.head(70).answers, small.answers)
    assert len(large.indices.unique()) == 330
    originals = dataset.train.images[large.indices]
    changed = (large.images != originals).flatten(1).any(1)
    assert int(changed.sum()) > 300
    plain = attack(augment="none").query(victim, dataset)
    assert torch.equal(plain.images, dataset.train.images[plain.indices])
    # What was asked about is what is learnt from.
    assert torch.equal(large.answers, victim(large.images / 255).argmax(1))


def test_only_the_largest_budget_is_asked_for(dataset):
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.network, self.seen = network(1), 0

        def forward(self, x):
            self.seen += 0 if self.training else len(x)
            return self.network(x)

        def fresh(self):
            return network(5)

    model = Counting()
    attack(nb_stolen=(300, 100)).run(model, dataset, setup(epoch=1))
    assert model.seen == 300 + len(dataset.valid)


def test_the_thief_starts_afresh_and_the_victim_stays(dataset):
    class Reborn(nn.Sequential):
        def fresh(self):
            return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(SHAPE), CLASSES))

    torch.manual_seed(1228)
    model = Reborn(*network(1228)).train()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    untrained = setup(epoch=0)
    transfer = attack().query(model, dataset, untrained)
    first, second = (attack().steal(model, transfer.head(n), dataset, untrained)[0] for n in (10, 300))
    assert torch.equal(first[1].weight, second[1].weight)
    torch.manual_seed(1228)
    assert not torch.equal(first[1].weight, model.fresh()[1].weight)
    attack().run(model, dataset, setup(epoch=1))
    assert model.training
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


def test_a_frozen_victim_does_not_freeze_its_thief(dataset):
    model = network(1, scale=12).requires_grad_(False)
    frozen = attack().run(model, dataset, setup())
    assert frozen.metrics == attack().run(network(1, scale=12), dataset, setup()).metrics
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_runs_repeat(victim, dataset):
    for options in ({"augment": "once"}, {"sampling": "adaptive", "label_mode": "soft"}):
        first, again = (attack(nb_stolen=150, **options).run(victim, dataset, setup(epoch=2)) for _ in range(2))
        assert first.metrics == again.metrics


def test_a_different_thief(victim, dataset, tmp_path, monkeypatch):
    (tmp_path / "own_thief.py").write_text(
        "import torch\n"
        "def build(num_classes): return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(num_classes))\n"
    )
    monkeypatch.chdir(tmp_path)
    result = attack(tmodel="own_thief:build").run(victim, dataset, setup())
    assert value(result, "agreement") > 50


def test_the_arithmetic_is_that_of_the_thief(victim, dataset, tmp_path, monkeypatch):
    (tmp_path / "depthwise_thief.py").write_text(
        "import torch\n"
        "def build(num_classes):\n"
        "    depthwise = torch.nn.Conv2d(3, 3, 3, padding=1, groups=3)\n"
        "    return torch.nn.Sequential(depthwise, torch.nn.Flatten(), torch.nn.LazyLinear(num_classes))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("autovul.base.training.precision._native_bf16", lambda device: True)
    for thief, expected in ((None, "bf16"), ("depthwise_thief:build", "fp32")):
        result = attack(nb_stolen=20, tmodel=thief).run(victim, dataset, setup(epoch=1, precision="auto"))
        assert result.environment["precision"] == expected


def test_a_thief_that_is_the_same_each_time_is_refused_and_frozen_layers_stay(victim, dataset, tmp_path, monkeypatch):
    (tmp_path / "set_thief.py").write_text(
        "import torch\n"
        "def build(num_classes):\n"
        "    layer = torch.nn.Linear(108, num_classes)\n"
        "    torch.nn.init.constant_(layer.weight, 0.1)\n"
        "    torch.nn.init.zeros_(layer.bias)\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), layer)\n"
        "def frozen(num_classes):\n"
        "    body = torch.nn.Linear(108, 20).requires_grad_(False)\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), body, torch.nn.ReLU(), torch.nn.Linear(20, num_classes))\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="gives the same weights each time"):
        attack(tmodel="set_thief:build").run(victim, dataset, setup())
    given = attack(tmodel="set_thief:frozen")
    thief, _ = given.steal(victim, given.query(victim, dataset, setup()), dataset, setup(epoch=2))
    untrained = given._fresh(victim, dataset, setup().seed)
    same = {name: torch.equal(p, dict(untrained.named_parameters())[name]) for name, p in thief.named_parameters()}
    assert same == {name: name.startswith("network.1.") for name in same}


def test_the_transfer_set_travels_through_a_file(victim, dataset, tmp_path):
    path = str(tmp_path / "set.npz")
    first = attack(export_transfer=path, label_mode="soft").run(victim, dataset, setup())
    again = attack(transfer_set=path, label_mode="soft").run(victim, dataset, setup())
    assert again.metrics == first.metrics
    assert again.counts["queries"] == 0
    hard, told = (attack(**options).run(victim, dataset, setup()) for options in ({"transfer_set": path}, {}))
    assert hard.metrics == told.metrics != again.metrics
    smaller = attack(transfer_set=path, nb_stolen=(50, 100)).run(victim, dataset, setup())
    assert [row["budget"] for row in smaller.series] == [50, 100]
    with np.load(path) as file:
        assert file["images"].shape == (300, 6, 6, 3) and file["answers"].shape == (300, CLASSES)


def test_transfer_sets_that_do_not_fit(victim, dataset, tmp_path):
    path = tmp_path / "set.npz"
    attack(export_transfer=str(path)).run(victim, dataset, setup(epoch=0))
    with pytest.raises(UserError, match="holds classes alone; soft labels need probabilities"):
        attack(transfer_set=str(path), label_mode="soft").run(victim, dataset, setup())
    with pytest.raises(UserError, match="400 queries wanted, 300 images in .*set.npz"):
        attack(transfer_set=str(path), nb_stolen=400).run(victim, dataset, setup())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="is damaged or no transfer set"):
        TransferSet.load(path)
    with pytest.raises(UserError, match="no transfer set at"):
        TransferSet.load(tmp_path / "none.npz")
    np.savez(
        path, images=np.zeros((3, 5, 5, 3), np.uint8), answers=np.zeros(3, np.int64), indices=np.zeros(3, np.int64)
    )
    with pytest.raises(UserError, match=r"holds images of shape \(3, 5, 5\), those of noise are \(3, 6, 6\)"):
        attack(transfer_set=str(path), nb_stolen=3).run(victim, dataset, setup())
    np.savez(path, images=np.zeros((3, 6, 6, 3), np.uint8), answers=np.full(3, 9), indices=np.zeros(3, np.int64))
    with pytest.raises(UserError, match="holds answers of 10 classes, noise has 4"):
        attack(transfer_set=str(path), nb_stolen=3).run(victim, dataset, setup())


def test_the_default_budget_takes_what_there_is_and_an_explicit_one_insists(victim, dataset):
    result = attacks.create("knockoff", augment="none").run(victim, dataset, setup(epoch=0))
    assert result.counts["queries"] == 600
    with pytest.raises(UserError, match="nb_stolen: 601 queries wanted, 600 images in the training set"):
        attack(nb_stolen=(10, 601)).run(victim, dataset, setup())


def test_a_thief_that_diverges_has_no_figures(victim, dataset):
    result = attack(nb_stolen=(20, 300)).run(victim, dataset, setup(lr=1e38))
    assert result.status == "diverged" and result.metrics == {} and "20 queries" in result.message


def test_a_thief_of_finite_weights_whose_answers_are_not_finite_has_diverged_too(victim, dataset, monkeypatch):
    thief = network(1)
    thief[1].weight.data.fill_(3e38)
    monkeypatch.setattr(type(attack()), "steal", lambda *_: (thief, False))
    result = attack(nb_stolen=(20, 40)).run(victim, dataset, setup())
    assert result.status == "diverged" and result.metrics == {}
    assert "the thief with 20 queries diverged" in result.message


def test_a_diverged_victim_is_refused(dataset):
    model = network(1)
    model[1].weight.data.fill_(float("nan"))
    with pytest.raises(NonFiniteOutput):
        attack().run(model, dataset, setup())


def test_thieves_are_saved_and_training_states_are_not_left(victim, dataset, tmp_path):
    where = Setup(training=TrainingOptions(epoch=1), batch_size=32, folder=tmp_path)
    result = attack(nb_stolen=(20, 40)).run(victim, dataset, where)
    assert sorted(p.name for p in tmp_path.glob("*.pth")) == ["thief_20.pth", "thief_40.pth"]
    assert not list(tmp_path.glob("*.state"))
    assert result.files["thief with 20 queries"] == str(tmp_path / "thief_20.pth")


def test_a_default_budget_above_the_pool_leaves_no_state_behind(victim, dataset, tmp_path):
    where = Setup(training=TrainingOptions(epoch=1), batch_size=32, folder=tmp_path)
    attacks.create("knockoff", augment="none").run(victim, dataset, where)
    assert [path.name for path in tmp_path.iterdir()] == ["thief_600.pth"]


def test_a_stopped_run_goes_on(victim, dataset, tmp_path, monkeypatch):
    kind, options = type(attack()), {"nb_stolen": (20, 40)}
    whole = attack(**options).run(victim, dataset, setup(epoch=3))
    interrupted = Setup(training=setup(epoch=3).training, batch_size=32, folder=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(kind, "_save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            attack(**options).run(victim, dataset, interrupted)
    assert [path.name for path in tmp_path.glob("*.state")] == ["thief_20.state"]
    again = Setup(training=setup(epoch=3, resume=True).training, batch_size=32, folder=tmp_path)
    assert attack(**options).run(victim, dataset, again).metrics == whole.metrics
    assert not list(tmp_path.glob("*.state"))


def test_images_varied_once_are_learnt_from_as_they_were_sent(victim, dataset):
    transfer = attack().query(victim, dataset, setup())
    plain, once = (
        attack(augment=choice).steal(victim, transfer, dataset, setup(epoch=3))[0] for choice in ("none", "once")
    )
    assert torch.equal(plain[1].weight, once[1].weight)


def test_augmentation_anew_learns_from_varied_images(victim, dataset):
    fixed, anew = (attack(augment=choice).run(victim, dataset, setup(epoch=3)) for choice in ("none", "anew"))
    assert fixed.counts["queries"] == anew.counts["queries"]
    assert value(fixed, "cross_entropy") != value(anew, "cross_entropy")


def test_the_bandit_comes_to_prefer_what_pays():
    bandit = GradientBandit(5, np.random.default_rng(0))
    chances, everything = np.array([0.1, 0.1, 0.9, 0.1, 0.1]), np.ones(5, dtype=bool)
    generator = np.random.default_rng(1)
    for _ in range(600):
        action = bandit.choose(everything)
        bandit.learn(action, float(generator.random() < chances[action]))
    assert bandit.policy(everything).argmax() == 2
    assert bandit.taken[2] > 200
    without = everything.copy()
    without[2] = False
    assert bandit.policy(without)[2] == 0 and bandit.policy(without).sum() == pytest.approx(1)


def test_the_bandit_s_step_by_hand():
    bandit = GradientBandit(3, np.random.default_rng(0), window=3)
    everything = np.ones(3, dtype=bool)
    # The mean reward of the last three steps, and how often the action was taken.
    steps = ((0, 1.0, 1.0, 1), (1, 0.0, 0.5, 1), (0, 0.2, 0.4, 2), (0, 1.0, 0.4, 3))
    for action, reward, mean, taken in steps:
        policy, before = bandit.policy(everything), bandit.preferences.copy()
        bandit.learn(action, reward)
        for z in range(3):
            expected = before[z] + (reward - mean) / taken * ((1 if z == action else 0) - policy[z])
            assert bandit.preferences[z] == pytest.approx(expected)


def test_rewards_by_hand():
    answers = torch.tensor([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0]])
    mean, guesses = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]]).log()
    found = rewards(answers, mean, guesses)
    loss = -(0.7 * math.log(0.2) + 0.2 * math.log(0.5) + 0.1 * math.log(0.3))
    assert found[0] == pytest.approx([0.5, 0.2, loss], rel=1e-5)
    assert found[1] == pytest.approx([1.0, 0.5, -math.log(0.6)], rel=1e-5)
    sums = RewardScale()(np.array([[0.0, 0.0, 0.0], [2.0, 4.0, 1.0], [1.0, 1.0, 1.0]]))
    assert sums == pytest.approx([0.0, 3.0, 0.5 + 0.25 + 1.0])
    for kind, expected in (("certainty", 0.5), ("diversity", 0.25), ("loss", 1.0)):
        alone = RewardScale(kind)(np.array([[0.0, 0.0, 0.0], [2.0, 4.0, 1.0], [1.0, 1.0, 1.0]]))
        assert alone == pytest.approx([0.0, 1.0, expected])


@pytest.mark.parametrize("label_mode", ["hard", "soft"])
def test_rewards_are_by_all_answers_so_far_and_by_what_the_scout_says_before_it_learns(
    victim, dataset, monkeypatch, label_mode
):
    asked = []

    def noted(*given):
        asked.append(given)
        return rewards(*given)

    monkeypatch.setattr(queries, "rewards", noted)
    options = attack(nb_stolen=45, sampling="adaptive", adaptive_round=20, label_mode=label_mode)
    transfer = options.query(victim, dataset, setup())
    answers = transfer.answers if label_mode == "soft" else nn.functional.one_hot(transfer.answers, CLASSES).float()
    assert [len(given) for given, *_ in asked] == [20, 20, 5]
    assert torch.equal(torch.cat([given for given, *_ in asked]), answers)
    for done, (_, mean, _) in zip((20, 40, 45), asked, strict=True):
        torch.testing.assert_close(mean, answers[:done].mean(0))
    untaught = options._fresh(victim, dataset, setup().seed)(transfer.images / 255).log_softmax(1)
    torch.testing.assert_close(asked[0][2], untaught[:20])
    # Then it takes one pass over what was answered, here one batch.
    scout, seed = options._fresh(victim, dataset, setup().seed), thief_seed(setup().seed)
    round_ = ImageBatches(transfer.images[:20], transfer.answers[:20], 20, seed=seed)
    Trainer(setup(epoch=1).training, device="cpu", seed=seed + 1).fit(scout, round_)
    torch.testing.assert_close(asked[1][2], scout(transfer.images[20:40] / 255).log_softmax(1))


def test_a_place_s_image_is_varied_by_seed_and_place_alone(dataset):
    alike = ImageSplit(dataset.train.images[:1].expand(300, -1, -1, -1), dataset.train.labels[:300])

    def images(places, seed=1):
        return queries.Pool(alike, seed, Augmentation(padding=2, flip=True)).images(torch.tensor(places))

    whole = images([*range(300)])
    first, second, third = whole.split(100)
    assert not torch.equal(first, second) and not torch.equal(second, third)
    assert torch.equal(images([250, 7, 120]), whole[[250, 7, 120]])
    assert not torch.equal(images([*range(100)], seed=2), first)


def test_adaptive_queries_go_where_there_is_something_to_learn(dataset):
    class HalfDull(nn.Module):
        """Certain about images of two classes of the pool, and has nothing to say of the others."""

        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(8.0))

        def forward(self, x):
            kind = (x[:, 0, 0, 0] * 255).round().long() % CLASSES
            logits = nn.functional.one_hot(kind, CLASSES) * self.scale
            return torch.where((kind < 2)[:, None], logits, torch.zeros_like(logits))

        def fresh(self):
            return network(3)

    images = dataset.train.images.clone()
    labels = torch.arange(len(images)) % CLASSES
    images[:, 0, 0, 0] = labels.to(torch.uint8)
    marked = ImageDataset("marked", [*"abcd"], ImageSplit(images, labels), dataset.valid, (0.5,) * 3, (0.3,) * 3)
    options = {"nb_stolen": 250, "sampling": "adaptive", "label_mode": "soft", "adaptive_round": 25}
    transfer = attack(**options).query(HalfDull(), marked, setup())
    asked = torch.bincount(labels[transfer.indices], minlength=CLASSES)
    assert len(transfer.indices.unique()) == 250
    assert int(asked[:2].sum()) > 1.3 * int(asked[2:].sum())


def test_the_reward_decides_which_classes_are_asked_for(victim, dataset):
    options = {"nb_stolen": 200, "sampling": "adaptive", "label_mode": "soft", "adaptive_round": 20}
    asked = [
        attack(**options, adaptive_reward=reward).query(victim, dataset, setup()).indices.tolist()
        for reward in ("all", "certainty", "diversity", "loss")
    ]
    assert len({tuple(indices) for indices in asked}) == 4


def test_adaptive_queries_take_a_class_in_the_pool_s_order(victim, dataset):
    transfer = attack(nb_stolen=200, sampling="adaptive").query(victim, dataset, setup())
    pool = queries.Pool(dataset.train, setup().seed, None)
    for label in range(CLASSES):
        asked = transfer.indices[dataset.train.labels[transfer.indices] == label]
        assert asked.tolist() == pool.order[pool.labels == label][: len(asked)].tolist()


def test_adaptive_queries_take_everything_if_they_must(victim, dataset):
    transfer = attack(nb_stolen=600, sampling="adaptive").query(victim, dataset, setup())
    assert sorted(transfer.indices.tolist()) == [*range(600)]


@pytest.mark.parametrize(
    "options,message",
    [
        ({"nb_stolen": (10, 10)}, "nb_stolen names a budget twice"),
        ({"nb_stolen": 0}, "nb_stolen"),
        ({"nb_stolen": ()}, "nb_stolen"),
        ({"tmodel": "resnet18_comp", "tmodel_arch": "drnas"}, "tmodel_arch goes with --tmodel darts"),
        ({"engine": "art", "sampling": "adaptive"}, "engine art takes"),
        ({"transfer_set": "x.npz", "sampling": "adaptive"}, "nothing is sampled"),
    ],
)
def test_options_that_cannot_be_meant(options, message):
    with pytest.raises(OptionError, match=message):
        attack(**options)


@pytest.mark.parametrize("label_mode", ["hard", "soft"])
def test_art_trains_thieves_of_equal_quality(victim, dataset, label_mode):
    pytest.importorskip("art")
    own, theirs = (
        attack(engine=engine, label_mode=label_mode).run(victim, dataset, setup()) for engine in ("native", "art")
    )
    assert value(theirs, "agreement") == pytest.approx(value(own, "agreement"), abs=6)
    assert value(theirs, "cross_entropy") == pytest.approx(value(own, "cross_entropy"), rel=0.1)
    validated = 3 * len(dataset.valid)  # before the first epoch, after the tenth and after the last; ART does not
    assert {**theirs.counts, "forward": theirs.counts["forward"] + validated} == own.counts


@pytest.mark.parametrize("sampling", ["random", "adaptive"])
def test_all_passes_are_counted(victim, dataset, monkeypatch, sampling):
    """Those of the victim, of every thief's training and validation, of its answers and of the scout."""
    seen = {"forward": 0, "backward": 0}
    network = nn.Sequential(nn.Flatten(), Counting(seen), victim[1]).eval()
    result = attack(nb_stolen=(20, 300), sampling=sampling).run(network, dataset, setup(epoch=3))
    counted = {name: result.counts[name] for name in seen}
    assert counted == seen and counted["backward"] >= 3 * 320
    assert result.counts["queries"] == 300


class Counting(nn.Module):
    """Counts the images that pass it, in its copies too, and those whose gradients pass it."""

    def __init__(self, seen):
        super().__init__()
        self.seen = seen
        self.weight = nn.Parameter(torch.zeros(1))

    def __deepcopy__(self, memo):
        return Counting(self.seen)

    def reset_parameters(self):
        nn.init.zeros_(self.weight)

    def forward(self, x):
        self.seen["forward"] += len(x)
        x = x + 0 * self.weight
        if x.requires_grad:
            x.register_hook(lambda gradient: self.seen.update(backward=self.seen["backward"] + len(gradient)))
        return x


def test_art_refuses_what_it_cannot_do(victim, dataset):
    with pytest.raises(UserError, match="engine art trains without grad_clip"):
        attack(engine="art").run(victim, dataset, setup(grad_clip=5.0))
    thief = copy.deepcopy(victim)
    thief.auxiliary_head = nn.Linear(2, 4)
    transfer = attack().query(victim, dataset, setup())
    with pytest.raises(UserError, match="engine art trains no auxiliary head: leave out --auxiliary"):
        train_thief(thief, transfer, dataset, setup().training, setup())


def test_the_command(tmp_path, monkeypatch, capsys):
    from autovul.extraction import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "tiny_extraction.py").write_text(
        "from torch import nn\n"
        "def build(num_classes):\n"
        "    return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(192, num_classes))\n"
    )
    model = models.create("tiny_extraction:build", dataset=datasets.create("digits"))
    model.save("data/model/image/digits/tiny_extraction.build.pth")
    common = ["-d", "digits", "-m", "tiny_extraction:build", "--device", "cpu", "--epoch", "1"]
    assert main([*common, "--nb_stolen", "20,40", "--no-tqdm"]) == 0
    printed = capsys.readouterr().out
    assert "cross entropy" in printed and "40 queries" in printed
    assert len(list(tmp_path.glob("data/result/extraction/*.json"))) == 1
    assert (tmp_path / "data/attack/image/digits/tiny_extraction.build/knockoff/thief_40.pth").exists()
    assert main([*common, "--nb_stolen", "5000"]) == 1
    assert "nb_stolen: 5000 queries wanted, 1438 images in the training set" in capsys.readouterr().err


def test_queries_are_those_of_the_largest_budget_of_a_larger_transfer_set(victim, dataset, tmp_path):
    attack(nb_stolen=200).query(victim, dataset, setup()).save(tmp_path / "set.npz")
    result = attack(nb_stolen=(20, 50), transfer_set=str(tmp_path / "set.npz")).run(victim, dataset, setup(epoch=1))
    assert value(result, "queries") == 50


def test_at_most_leaves_out_what_there_is_not(victim, dataset):
    def budgets(*wanted):
        result = attack(nb_stolen=wanted, at_most=True).run(victim, dataset, setup(epoch=1))
        return [row["budget"] for row in result.series]

    assert budgets(100, 900, 30) == [30, 100]
    assert budgets(700, 900) == [600]


def test_a_named_thief_has_the_victims_structure_where_it_takes_it():
    digits = datasets.create("digits")
    victim = models.create("resnet18_comp", dataset=digits, width=0.0625, norm_layer="gn")
    same = attack(tmodel="resnet18_comp")._fresh(victim, digits, 1)
    assert {key: tensor.shape for key, tensor in same.state_dict().items()} == {
        key: tensor.shape for key, tensor in victim.state_dict().items()
    }
    other = attack(tmodel="vgg13_bn_comp")._fresh(victim, digits, 1)
    twin = models.create("vgg13_bn_comp", dataset=digits, width=0.0625, norm_layer="gn")
    assert [p.shape for p in other.parameters()] == [p.shape for p in twin.parameters()]
    cells = models.create("darts", dataset=digits, layers=3, init_channels=4)
    thief = attack(tmodel="darts", tmodel_arch="drnas")._fresh(cells, digits, 1)
    assert thief.name == "drnas" and sum(p.numel() for p in thief.parameters()) < 20_000
    assert attack(tmodel="resnet18_comp")._fresh(nn.Flatten(), digits, 1).name == "resnet18_comp"


def test_a_thief_that_could_not_tell_all_that_the_victim_says_is_refused_before_anything_is_asked():
    victim = models.create("resnet18_comp", width=0.0625, num_classes=12)
    asked = []
    victim.register_forward_hook(lambda module, inputs, output: asked.append(len(output)))
    digits = datasets.create("digits")
    with pytest.raises(UserError, match="the victim gives 12 logits and digits has 10 classes"):
        attacks.create("knockoff", nb_stolen=20, tmodel="darts").run(victim, digits)
    assert sum(asked) == len(digits.valid), "the images that judge, and none of the pool"


def test_each_lesson_of_the_scout_draws_its_own_numbers(victim, dataset, monkeypatch):
    seeds = []

    class Noted(queries.Trainer):
        def __init__(self, *args, **options):
            seeds.append(options["seed"])
            super().__init__(*args, **options)

    monkeypatch.setattr(queries, "Trainer", Noted)
    attack(nb_stolen=60, sampling="adaptive", adaptive_round=20).query(victim, dataset, setup())
    assert [seed - seeds[0] for seed in seeds] == [0, 1], "one between each two of three rounds"

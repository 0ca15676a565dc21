"""The trainer does what the recipe says: the same bits as a loop written out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autovul.base.errors import UserError
from autovul.base.options import OptionError
from autovul.base.trainer import TrainingOptions, cross_entropy_step, evaluate
from autovul.base.training.optimiser import learning_rate
from autovul.base.training.optimiser_classes import OPTIMISERS
from tests.base.tiny_training import OPTIONS, Doubtful, Points, quiet_trainer, tiny_net


def with_changes(**changes: Any) -> TrainingOptions:
    return TrainingOptions(**{**OPTIONS.model_dump(), **changes})


def same_weights(left: nn.Module, right: nn.Module) -> bool:
    return all(map(torch.equal, left.state_dict().values(), right.state_dict().values()))


def train_by_hand(model: nn.Module, batches: Points, options: TrainingOptions, seed: int) -> list[float]:
    """SGD with momentum, weight decay, clipping and cosine, in the plainest form. Returns the losses of the epochs."""
    torch.manual_seed(seed)
    momenta: dict[str, Tensor] = {}
    means = []
    for epoch in range(options.epoch):
        lr = options.lr / 2 * (1 + math.cos(math.pi * epoch / options.epoch))
        model.train()
        total = 0.0
        for x, y in batches.epoch(epoch):
            loss = F.cross_entropy(model(x), y)
            total += loss.item() * len(x)
            gradients = torch.autograd.grad(loss, list(model.parameters()))
            assert options.grad_clip is not None
            norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
            scale = min(1.0, options.grad_clip / (norm + 1e-6))
            for (name, weight), gradient in zip(model.named_parameters(), gradients, strict=True):
                step = gradient * scale + options.weight_decay * weight.data
                momenta[name] = options.momentum * momenta[name] + step if name in momenta else step
                weight.data -= lr * momenta[name]
        means.append(total / batches.num_samples)
    return means


def test_training_equals_the_loop_written_by_hand() -> None:
    # In float64 and to 1e-12: fused multiply-adds round once where the plain loop rounds twice.
    ours, theirs = tiny_net().double(), tiny_net().double()
    batches = Points()
    batches.x = batches.x.double()
    assert batches.num_samples % batches.batch_size
    history = quiet_trainer(seed=3).fit(ours, batches)
    losses = train_by_hand(theirs, batches, OPTIONS, seed=3)
    for mine, other in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-14)
    assert [record.train_loss for record in history.records[1:]] == pytest.approx(losses, rel=1e-12)


def test_training_equals_torchs_own_parts_to_the_bit() -> None:
    ours, theirs = tiny_net(), tiny_net()
    quiet_trainer(seed=3).fit(ours, Points(), Points(seed=9))
    torch.manual_seed(3)
    sgd = torch.optim.SGD(theirs.parameters(), lr=OPTIONS.lr, momentum=0.9, weight_decay=5e-4)
    for epoch in range(OPTIONS.epoch):
        sgd.param_groups[0]["lr"] = learning_rate(OPTIONS, epoch)
        theirs.train()
        for x, y in Points().epoch(epoch):
            sgd.zero_grad()
            F.cross_entropy(theirs(x), y).backward()
            nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
            sgd.step()
    assert same_weights(ours, theirs)


@pytest.mark.parametrize(
    "change",
    [
        {"momentum": 0.5},
        {"weight_decay": 0.0},
        {"nesterov": True},
        {"lr_scheduler": False},
        {"grad_clip": None},
        {"grad_clip": 0.1},
        {"OptimType": "Adam", "lr": 0.01},
        {"lr_scheduler": False, "one_cycle": 0.3},
        {"label_smoothing": 0.1},
    ],
)
def test_every_option_of_the_recipe_counts(change: dict[str, Any]) -> None:
    base, changed = tiny_net(), tiny_net()
    quiet_trainer().fit(base, Points())
    quiet_trainer(with_changes(**change)).fit(changed, Points())
    assert not same_weights(base, changed)


def test_cosine_against_its_formula_and_constant_rate() -> None:
    rates = [learning_rate(with_changes(epoch=4, lr=0.2), epoch) for epoch in range(4)]
    assert rates == pytest.approx([0.2, 0.1 + 0.1 / math.sqrt(2), 0.1, 0.1 - 0.1 / math.sqrt(2)])
    sgd = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(sgd, T_max=30)
    for epoch in range(30):
        assert learning_rate(with_changes(epoch=30, lr=0.2), epoch) == pytest.approx(sgd.param_groups[0]["lr"])
        sgd.step()
        theirs.step()
    assert learning_rate(with_changes(lr_scheduler=False, lr=0.2), 4) == 0.2
    history = quiet_trainer().fit(tiny_net(), Points())
    assert [record.lr for record in history.records[1:]] == [learning_rate(OPTIONS, epoch) for epoch in range(5)]


def test_one_cycle_rises_in_a_line_and_falls_along_a_cosine() -> None:
    options = with_changes(epoch=10, lr=0.4, lr_scheduler=False, one_cycle=0.2)
    rates = [learning_rate(options, epoch, part) for epoch in range(10) for part in (0.0, 0.5)]
    assert rates[:5] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    assert rates[4:] == pytest.approx([0.2 * (1 + math.cos(math.pi * step / 16)) for step in range(16)])
    assert learning_rate(options, 9, 1.0) == pytest.approx(0.0)


def test_one_cycle_changes_the_rate_at_every_step() -> None:
    rates = []

    class Watched(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:
            rates.append(self.param_groups[0]["lr"])

    options = with_changes(lr_scheduler=False, one_cycle=0.25)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(OPTIMISERS._entries, "SGD", Watched)
        quiet_trainer(options).fit(tiny_net(), Points())
    steps = len(Points())
    assert rates == [learning_rate(options, e, (s + 0.5) / steps) for e in range(options.epoch) for s in range(steps)]
    assert min(rates) > 0 and len({*rates}) > 10


def test_smoothed_labels_are_probabilities() -> None:
    model, (x, y) = tiny_net().eval(), next(Points().epoch(0))
    smoothed = 0.9 * F.one_hot(y, 3) + 0.1 / 3
    found = cross_entropy_step(model, x, y, label_smoothing=0.1)[0]
    torch.testing.assert_close(found, cross_entropy_step(model, x, smoothed)[0])


def test_it_learns_and_leaves_evaluation_mode() -> None:
    model = tiny_net()
    history = quiet_trainer(with_changes(epoch=30)).fit(model, Points(300, 32), Points(300, 50, seed=1))
    assert history.last_accuracy is not None and history.last_accuracy > 0.9
    assert history.status == "ok" and history.precision == "fp32"
    assert not any(module.training for module in model.modules())
    assert evaluate(model, Points(300, 50, seed=1)).accuracy == history.last_accuracy


def test_validation_does_not_shift_the_randomness_of_training() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = tiny_net()

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x + 0.01 * torch.randn_like(x))

    often, never = Noisy(), Noisy()
    quiet_trainer(with_changes(validate_interval=1)).fit(often, Points(), Points(seed=4))
    quiet_trainer().fit(never, Points())
    assert same_weights(often, never)


# ---- validation and the best weights


def test_validation_is_before_the_first_epoch_at_intervals_and_at_the_end() -> None:
    history = quiet_trainer(with_changes(epoch=5, validate_interval=2)).fit(tiny_net(), Points(), Points(seed=4))
    assert [record.epoch for record in history.records] == [0, 1, 2, 3, 4, 5]
    assert [r.epoch for r in history.records if r.valid_accuracy is not None] == [0, 2, 4, 5]
    assert history.records[0].train_loss is None


def test_the_early_loss_is_the_mean_over_the_first_tenth_of_the_epochs() -> None:
    history = quiet_trainer(with_changes(epoch=5)).fit(tiny_net(), Points())
    losses = [record.train_loss for record in history.records if record.train_loss is not None]
    assert len({*losses}) == 5
    for epochs, early in ((1, 1), (5, 1), (19, 1), (20, 2), (39, 3), (50, 5)):
        assert history.early_loss(epochs) == pytest.approx(sum(losses[:early]) / early)
    assert history.early_loss(60) is None, "a run that ended before has none"


def test_the_best_weights_are_the_later_of_equals_and_apart_from_the_last() -> None:
    valid = Points(60, 20, seed=4)
    model = tiny_net()
    options = with_changes(epoch=12, validate_interval=1, lr=1.5, lr_scheduler=False, momentum=0.0, grad_clip=None)
    history = quiet_trainer(options).fit(model, Points(), valid)
    accuracies = [record.valid_accuracy for record in history.records]
    best = max(epoch for epoch, accuracy in enumerate(accuracies) if accuracy == max(accuracies))  # type: ignore[type-var]
    assert history.best_epoch == best
    assert history.best_accuracy == max(accuracies) != history.last_accuracy  # type: ignore[type-var]
    assert evaluate(model, valid).accuracy == history.last_accuracy
    assert history.best_state is not None
    model.load_state_dict(history.best_state)
    assert evaluate(model, valid).accuracy == history.best_accuracy


def test_among_equals_the_later_is_best() -> None:
    history = quiet_trainer(with_changes(lr=1e-30, validate_interval=1)).fit(tiny_net(), Points(), Points(seed=4))
    untrained = quiet_trainer(with_changes(epoch=0)).fit(tiny_net(), Points(), Points(seed=4))
    assert history.best_epoch == 5
    assert untrained.best_epoch == 0 and untrained.best_accuracy == untrained.last_accuracy


def test_without_a_validation_set_nothing_is_best() -> None:
    history = quiet_trainer().fit(tiny_net(), Points())
    assert (history.best_epoch, history.best_accuracy, history.best_state, history.last_accuracy) == (None,) * 4


def test_evaluation_against_a_plain_count() -> None:
    model, batches = tiny_net(), Points(50, 7)
    model.train()
    model.classifier.eval()
    found = evaluate(model, batches)
    assert model.training and model.features.training and not model.classifier.training
    model.eval()
    pairs = list(batches.epoch(0))
    x, y = torch.cat([x for x, _ in pairs]), torch.cat([y for _, y in pairs])
    logits = model(x)
    hits = sum(int(row.argmax()) == label for row, label in zip(logits, y.tolist(), strict=True))
    assert found.count == 50 and found.accuracy == hits / 50 and found.top5 is None
    assert found.loss == pytest.approx(F.cross_entropy(logits, y).item(), rel=1e-6)


def test_top5_and_logits_that_are_not_numbers() -> None:
    class Table(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x

    batches = Points(3)
    batches.x = torch.tensor([[9.0, 1, 2, 3, 4, 5, 0], [1.0, 9, 8, 7, 6, 5, 0], [1.0, 9, 8, 7, 6, math.nan, 0]])
    batches.y = torch.tensor([0, 0, 5])
    batches.epoch = lambda epoch, start=0: iter([(batches.x, batches.y)])  # type: ignore[method-assign]
    found = evaluate(Table(), batches)
    assert (found.accuracy, found.top5) == (1 / 3, 1 / 3)
    assert math.isnan(found.loss)


def test_nothing_to_train_on_or_to_evaluate() -> None:
    with pytest.raises(ValueError, match="no samples"):
        quiet_trainer().fit(tiny_net(), Points(0))
    with pytest.raises(ValueError, match="at least one sample"):
        evaluate(tiny_net(), Points(0))


# ---- labels, auxiliary head, custom step


def test_probabilities_as_labels() -> None:
    ours, theirs = tiny_net(), tiny_net()
    history = quiet_trainer().fit(ours, Points(soft=True), Points(seed=4, soft=True))

    def written_out(model: nn.Module, x: Tensor, y: Any) -> tuple[Tensor, Tensor]:
        logits = model(x)
        return -(y[0] * logits.log_softmax(1)).sum(1).mean(), logits

    class Pairs(Points):
        def epoch(self, epoch: int, start: int = 0) -> Any:
            return ((x, (y, "beside")) for x, y in super().epoch(epoch, start))

    quiet_trainer(step=written_out).fit(theirs, Pairs(soft=True), Pairs(seed=4, soft=True))
    for mine, other in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, other)
    assert history.records[-1].train_accuracy is not None and history.records[-1].train_accuracy > 0.5


def test_the_auxiliary_head_counts_with_its_weight() -> None:
    class TwoHeads(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return (x, 2 * x) if self.training else x

    x, y = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    loss, logits = cross_entropy_step(TwoHeads(), x, y, auxiliary_weight=0.3)
    assert loss == F.cross_entropy(x, y) + 0.3 * F.cross_entropy(2 * x, y)
    assert torch.equal(logits, x)
    assert cross_entropy_step(TwoHeads().eval(), x, y)[0] == F.cross_entropy(x, y)


def test_the_auxiliary_weight_reaches_the_step() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = tiny_net()

        def forward(self, x: Tensor) -> Any:
            logits = self.net(x)
            return (logits, 3 * logits) if self.training else logits

    light, heavy = Net(), Net()
    quiet_trainer(auxiliary_weight=0.1).fit(light, Points())
    quiet_trainer(auxiliary_weight=5.0).fit(heavy, Points())
    assert not same_weights(light, heavy)


# ---- optimisers


@pytest.mark.parametrize("name", OPTIMISERS.list())
def test_every_optimiser_trains_or_says_why_not(name: str) -> None:
    model, before = tiny_net(), tiny_net()
    trainer = quiet_trainer(TrainingOptions(epoch=1, OptimType=name))
    if name == "Muon":
        with pytest.raises(UserError, match="Muon cannot train this model.*2D"):
            trainer.fit(model, Points())
    else:
        trainer.fit(model, Points())
        assert not same_weights(model, before)


@pytest.mark.parametrize(
    "options, says",
    [
        ({"OptimType": "SDG"}, r"OptimType.*'SDG' \(nearest: .*SGD"),
        ({"OptimType": "LBFGS"}, "LBFGS"),
        ({"nesterov": True, "momentum": 0.0}, "nesterov needs a momentum"),
        ({"amp": True, "precision": "fp16"}, "amp means precision auto"),
        ({"lr_scheduler": True, "one_cycle": 0.3}, "two courses of the learning rate"),
        ({"lr": 0.0}, "lr"),
        ({"grad_clip": 0.0}, "grad_clip"),
        ({"parameters": "head"}, "parameters"),
    ],
)
def test_options_that_cannot_be_meant(options: dict[str, Any], says: str) -> None:
    with pytest.raises(OptionError, match=says) as error:
        TrainingOptions(**options)
    assert "\n" not in str(error.value)


def test_a_setting_that_the_optimiser_does_not_take_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"Adam takes no momentum \(it was set to 0.5\)"):
        quiet_trainer(TrainingOptions(epoch=1, OptimType="Adam", momentum=0.5)).fit(tiny_net(), Points())


# ---- a part of the parameters


@pytest.mark.parametrize("part, frozen", [("classifier", "features"), ("features", "classifier")])
def test_the_frozen_part_stays_as_it_is_to_the_last_statistic(part: str, frozen: str) -> None:
    model, before = tiny_net(), tiny_net()
    modes = []

    def spy(module: nn.Module, x: Tensor, y: Any) -> tuple[Tensor, Tensor]:
        modes.append((getattr(module, frozen).training, getattr(module, part).training))
        return cross_entropy_step(module, x, y)

    quiet_trainer(with_changes(parameters=part), step=spy).fit(model, Points())
    assert same_weights(getattr(model, frozen), getattr(before, frozen))
    assert not same_weights(getattr(model, part), getattr(before, part))
    assert set(modes) == {(False, True)}
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_part_that_is_not_there_and_nothing_to_train() -> None:
    with pytest.raises(UserError, match="submodule 'classifier'; there are: 0"):
        quiet_trainer(with_changes(parameters="classifier")).fit(nn.Sequential(nn.Linear(6, 3)), Points())
    model = tiny_net()
    model.requires_grad_(False)
    with pytest.raises(UserError, match="can be trained"):
        quiet_trainer().fit(model, Points())


def test_a_wrapper_has_the_parts_of_what_it_wraps() -> None:
    model = nn.Sequential(tiny_net())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    quiet_trainer(with_changes(parameters="classifier")).fit(model, Points())
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"0.classifier.weight", "0.classifier.bias"}


def test_a_network_whose_validation_gives_nan_has_diverged() -> None:
    model = Doubtful(steps=6)
    history = quiet_trainer(with_changes(validate_interval=1)).fit(model, Points(), Points(seed=5))
    assert (history.status, history.diverged_at) == ("diverged", (3, 3))
    assert model.features[1].num_batches_tracked == 6  # the weights of the second epoch's end
    assert [record.epoch for record in history.records] == [0, 1, 2]

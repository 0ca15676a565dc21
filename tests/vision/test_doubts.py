"""Networks whose figures mean less than they seem to: what is noticed, what is not, and where it is said."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch import Tensor, nn

from autovul import backdoor, grad_var, membership, train, validate
from autovul.base.report import build
from autovul.base.result import DESTROYED, Metric, read_results
from autovul.vision.doubts import (
    NEIGHBOURS,
    NORMALISED,
    PROBABILITIES,
    RANDOM,
    TIMES_255,
    doubts,
    doubts_of_accuracy,
    doubts_of_figures,
)

IMAGES = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Network(nn.Module):
    def __init__(self, kind: str = "plain") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.kind = nn.Linear(192, 5), kind

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "noise":
            x = x + 0.1 * torch.randn_like(x)
        logits = self.linear(x.flatten(1))
        if self.kind == "dropout":
            return nn.functional.dropout(logits, 0.5)
        if self.kind == "batch":
            return logits - logits.mean(0)
        if self.kind in ("softmax", "log_softmax", "sigmoid"):
            return getattr(logits, self.kind)(*[1] * (self.kind != "sigmoid"))
        return logits * {"diverged": torch.nan, "large": 1e4}.get(self.kind, 1.0)


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        *[(kind, []) for kind in ("plain", "log_softmax", "diverged", "large")],
        *[(kind, [RANDOM]) for kind in ("noise", "dropout")],
        *[(kind, [PROBABILITIES]) for kind in ("softmax", "sigmoid")],
        ("batch", [NEIGHBOURS]),
    ],
)
def test_what_is_doubtful(kind: str, found: list[str]) -> None:
    model, before = Network(kind), torch.get_rng_state()
    assert doubts(model, IMAGES) == found
    assert model.training and torch.equal(torch.get_rng_state(), before)


class Quadrants(nn.Module):
    """The class is the brightest quadrant; brightness below ``low`` or above ``high`` is all the same to it."""

    def __init__(self, scale: float, low: float, high: float) -> None:
        super().__init__()
        self.scale, self.low, self.high = scale, low, high

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(self.scale * x, 4).flatten(1).clamp(self.low, self.high)


LABELS = torch.arange(80) % 4
QUADRANTS = 0.4 + 0.2 * nn.functional.one_hot(LABELS, 4).float().view(80, 1, 2, 2).repeat_interleave(4, 2)
QUADRANTS = QUADRANTS.repeat_interleave(4, 3)


@pytest.mark.parametrize(
    ("network", "found"),
    [((1, 0, 1), []), ((1 / 255, 0.3, 1), [TIMES_255]), ((1, 1, 3), [NORMALISED]), ((0, 0, 1), None)],
)
def test_pixels_of_another_scale_are_told_from_knowing_nothing(network, found) -> None:
    model = Quadrants(*network)
    doubt = doubts_of_accuracy(model, QUADRANTS, LABELS)
    nothing = "its accuracy, 25.0 %, is not clearly above that of always naming the most frequent class, 25.0 %"
    assert doubt == found or (found is None and len(doubt) == 1 and doubt[0].startswith(nothing))


class Particular(Quadrants):
    def forward(self, x: Tensor) -> Tensor:
        if x.max() > 1 or x.min() < 0:
            raise IndexError("no such pixel")
        return 0 * super().forward(x)


def test_a_network_that_refuses_other_pixels_is_at_chance_and_no_more() -> None:
    (doubt,) = doubts_of_accuracy(Particular(1, 0, 1), QUADRANTS, LABELS)
    assert doubt.startswith("its accuracy, 25.0 %")
    assert doubts_of_accuracy(Particular(1, 0, 1), QUADRANTS + 1, LABELS) == [], (
        "of what cannot be asked nothing is known"
    )


class Bright(nn.Module):
    """Right of those images whose pixels' mean is above ``least``; of others it always names the first class."""

    def __init__(self, least: float) -> None:
        super().__init__()
        self.least = least

    def forward(self, x: Tensor) -> Tensor:
        known = x.mean((1, 2, 3)) > self.least
        return torch.where(known[:, None], nn.functional.avg_pool2d(x, 4).flatten(1), torch.eye(4)[0])


@pytest.mark.parametrize(("known", "hinted"), [(0, False), (16, False), (24, True)])
def test_another_scale_is_named_where_it_is_clearly_better(known, hinted) -> None:
    """From 25 % to 25, to 40 and to 47.5, of which 43.75 are a quarter of what there is to learn."""
    images = QUADRANTS * torch.linspace(0.5, 1, 80).view(80, 1, 1, 1)
    brightness = (255 * images).mean((1, 2, 3)).sort().values
    model = Bright(brightness[79 - known].item())
    assert (model(255 * images).argmax(1) == LABELS).sum() == 20 + known * 3 // 4
    (doubt,) = doubts_of_accuracy(model, images, LABELS)
    assert (doubt == TIMES_255) == hinted


@pytest.mark.parametrize(
    ("counts", "accuracy", "told"),
    [((4, 4), 100, 0), ((4, 4), 75, 1), ((792, 8), 100, 0), ((10, 10), 80, 0), ((360, 40), 94, 1)],
)
def test_of_few_images_no_more_is_asked_than_half_of_what_there_is_to_learn(counts, accuracy, told) -> None:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    assert len(doubts_of_figures({"valid_accuracy": Metric(float(accuracy), "%")}, labels)) == told


def test_an_accuracy_at_chance_is_one_that_three_standard_deviations_explain() -> None:
    labels = torch.arange(400) % 4  # 25 %, give or take 2.165
    for name in ("valid_accuracy", "clean_accuracy_before", "victim_accuracy", "clean_accuracy_0pct"):
        told = {value: len(doubts_of_figures({name: Metric(value, "%")}, labels)) for value in (10.0, 31.4, 31.6)}
        assert told == {10.0: 1, 31.4: 1, 31.6: 0}
    assert doubts_of_figures({"success_rate": Metric(3.0, "%"), "valid_accuracy": Metric(None, "%")}, labels) == []
    most_are_zero = torch.zeros(400, dtype=torch.int64).index_fill(0, torch.arange(40), 1)
    assert "most frequent class, 90.0 %" in doubts_of_figures({"valid_accuracy": Metric(91.0, "%")}, most_are_zero)[0]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [(95.0, 24.0, "24.0 %, so"), (95.0, 59.9, "59.9 %, so"), (95.0, 60.1, ""), (30, 10, "")],
)
def test_a_training_that_destroys_the_network_is_no_safety(before, after, told) -> None:
    """Half of what it had above chance."""
    metrics = {"clean_accuracy_before": Metric(before, "%"), "clean_accuracy": Metric(after, "%")}
    text = " ".join(doubts_of_figures(metrics, torch.arange(400) % 4))
    assert ("from 95.0 to " + told in text and "smaller --lr" in text) if told else ("smaller --lr" not in text)
    assert text.startswith(DESTROYED) == bool(told), "by which the report knows it"


@pytest.mark.parametrize(
    ("figures", "told"),
    [
        ({"agreement": 26.0}, "from 900 queries (it agrees with it on 26.0 %"),
        ({"agreement": 60.0}, ""),
        ({"agreement": 26.0, "agreement_900_queries": 60.0}, ""),
        ({"agreement": 60.0, "agreement_900_queries": 26.0, "agreement_100_queries": 94.0}, "on 26.0 %"),
    ],
)
def test_a_thief_that_learnt_nothing_is_no_strength_of_its_victim(figures, told) -> None:
    """The largest budget tells; from few queries there may be nothing to learn."""
    metrics = {name: Metric(value, "%") for name, value in {**figures, "victim_accuracy": 95.0}.items()}
    doubt = " ".join(doubts_of_figures({**metrics, "queries": Metric(900, "queries")}, torch.arange(400) % 4))
    assert (told in doubt and doubt.startswith("its thief has learnt nothing")) if told else doubt == ""


def test_the_backdoor_command_says_that_its_training_destroyed_the_network(workspace, capsys):
    (workspace / "scaled_nets.py").write_text(SCALED)
    common = ["-d", "digits", "--device", "cpu", "--no-tqdm", "-m", "scaled_nets:Net"]
    assert train.main([*common, "--epoch", "5"]) == 0
    assert backdoor.main([*common, "--epoch", "1"]) == 0
    assert "doubtful" not in capsys.readouterr().out
    assert backdoor.main([*common, "--epoch", "1", "--lr", "1000", "--poison_percent", "1"]) == 0
    assert "doubtful: the attack's training took the clean accuracy from" in capsys.readouterr().out


SCALED = """
import torch
from torch import nn
class Net(nn.Module):
    scale = 1
    def __init__(self, num_classes):
        super().__init__()
        self.linear = nn.Linear(3072, num_classes)
    def forward(self, x):
        return self.linear((x / self.scale > 0.5).float().flatten(1))
class Twice(Net):
    scale = 255
"""


def test_commands_doubt_networks_at_chance_and_say_why_they_may_be(workspace, capsys):
    (workspace / "scaled_nets.py").write_text(SCALED)
    common = ["-d", "digits", "--device", "cpu", "--no-tqdm"]
    assert train.main([*common, "-m", "scaled_nets:Net", "--epoch", "5"]) == 0
    assert validate.main([*common, "-m", "scaled_nets:Net"]) == 0
    assert "doubtful" not in capsys.readouterr().out
    folder = workspace / "data/model/image/digits"
    shutil.copy(folder / "scaled_nets.Net.pth", folder / "scaled_nets.Twice.pth")
    membership_of_twice = [*common, "-m", "scaled_nets:Twice", "--method", "loss", "--confidence_filter", "none"]
    assert membership.main(membership_of_twice) == 0
    assert capsys.readouterr().out.count(f"doubtful: {TIMES_255}") == 1
    assert train.main([*common, "--width", "0.0625", "--epoch", "0"]) == 0
    assert "doubtful: its accuracy, " in capsys.readouterr().out
    assert grad_var.main([*common[:4], "-m", "scaled_nets:Twice", "--sample_num", "4"]) == 0
    assert "doubtful" not in capsys.readouterr().out, "new weights are meant to be at chance"


OWN = """
import torch
from torch import nn
class Noisy(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.linear = nn.Linear(3072, num_classes)
    def forward(self, x):
        return self.linear(x.flatten(1) + torch.randn(3072))
"""


def test_the_summary_and_the_report_say_so(workspace, capsys):
    (workspace / "doubtful_nets.py").write_text(OWN)
    arguments = ["-d", "digits", "-m", "doubtful_nets:Noisy", "--no-pretrain", "--device", "cpu"]
    assert validate.main(arguments) == 0
    assert f"doubtful: {RANDOM}" in capsys.readouterr().out
    assert grad_var.main([*arguments[:4], "--sample_num", "4", "--device", "cpu"]) == 0
    results, _ = read_results([workspace / "data/result"])
    text = build(results).markdown()
    assert text.count(f"doubtful_nets.Noisy is doubtful: {RANDOM.split(':')[0]}") == 2

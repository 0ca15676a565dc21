"""The backdoor attacks as a whole, and the command."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from autovul.base.checkpoint import load_state
from autovul.base.errors import UserError
from autovul.base.metrics import NonFiniteOutput
from autovul.base.options import OptionError
from autovul.base.result import Result
from autovul.base.trainer import TrainingOptions
from autovul.vision import attacks, datasets, models
from autovul.vision.attacks.backdoor import files as backdoor_files
from autovul.vision.attacks.backdoor.batches import PoisonedBatches
from autovul.vision.attacks.retraining import Retraining
from tests.vision.attacks.backdoors import EXTRA, OPTIONS, RECIPE, create, setup
from tests.vision.attacks.patches import make_network, value


def test_the_family_is_complete():
    assert {"badnet", "trojannn", "latent_backdoor", "imc"} <= set(attacks.family("backdoor").list())


def test_badnet_succeeds_and_the_clean_accuracy_stays(dataset, trained):
    result = create("badnet").run(trained, dataset, setup())
    assert value(result, "success_rate") > 95
    assert value(result, "clean_model_success_rate") < 20
    assert value(result, "clean_accuracy") > 95
    assert value(result, "accuracy_drop") == pytest.approx(
        value(result, "clean_accuracy_before") - value(result, "clean_accuracy")
    )
    assert value(result, "target_confidence") > 80
    assert result.metrics["success_rate"].count == 60
    assert result.metrics["success_rate_all"].count == 90
    # A clean network gives the target class to the images that show it: over all images that looks like success.
    assert value(result, "clean_model_success_rate_all") > 30


@pytest.mark.parametrize("name", EXTRA)
@pytest.mark.parametrize("mode", ["batch", "dataset", "loss"])
def test_every_attack_in_every_mode_leaves_the_model_alone(dataset, trained, name, mode):
    before = {key: tensor.clone() for key, tensor in trained.state_dict().items()}
    one_epoch = RECIPE.model_copy(update={"epoch": 1})
    result = create(name, train_mode=mode).run(trained, dataset, setup(training=one_epoch))
    assert result.status == "ok" and (result.experiment, result.algorithm) == ("backdoor", name)
    assert not result.files
    assert all(torch.equal(tensor, before[key]) for key, tensor in trained.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in trained.modules())
    assert Result.from_json(result.to_json()).metrics == result.metrics


@pytest.mark.parametrize("name, mode", [*zip(EXTRA, ("dataset", "loss", "batch", "batch"), strict=True)])
def test_a_saved_attack_is_measured_again(dataset, trained, name, mode, tmp_path):
    one_epoch = RECIPE.model_copy(update={"epoch": 1})
    attack = create(name, train_mode=mode, random_pos=True)
    result = attack.run(trained, dataset, setup(folder=tmp_path, training=one_epoch))
    stem = "square_white_tar1_alpha0.00_mark(2,2)"
    for role, ending in (
        ("weights", ".pth"),
        ("trigger", ".npz"),
        ("trigger picture", ".png"),
        ("examples", "_examples.png"),
    ):
        assert result.files[role] == str(tmp_path / f"{stem}{ending}")
        assert (tmp_path / f"{stem}{ending}").stat().st_size > 0
    assert not [*tmp_path.glob("*.state")]
    # Measured again, with none of the options but the name's, it gives the same and says how it was made.
    name_options = {key: OPTIONS[key] for key in ("mark_height", "mark_width", "target_class")}
    again = attacks.create(name, validate_only=True, **name_options)
    again = again.run(trained, dataset, setup(folder=tmp_path, seed=9, training=TrainingOptions(epoch=7), batch_size=3))
    shared = {key: metric for key, metric in result.metrics.items() if key in again.metrics}
    assert again.metrics == shared and len(shared) == 9
    made_with = {"seed": 1228, "batch_size": 20, "no_flip": True, "padding": 0}
    made_with |= {"cutout": False, "cutout_length": None, "auto_augment": False}
    assert again.options == {**one_epoch.recipe(), **made_with, **result.options, "validate_only": True}
    assert again.seed == result.seed == 1228
    assert again.counts.get("poisoned_images") == result.counts.get("poisoned_images")


@pytest.mark.parametrize("name", ["badnet", "imc"])
def test_a_repetition_is_the_same_and_another_seed_is_not(dataset, trained, name):
    attack = create(name, train_mode="dataset", poison_percent=0.1)
    short = RECIPE.model_copy(update={"epoch": 1})
    first, again, other = (attack.run(trained, dataset, setup(seed=s, training=short)) for s in (1, 1, 2))
    assert first.metrics == again.metrics
    losses = [result.series[-1]["train_loss"] for result in (first, other)]
    assert losses[0] != losses[1]


@pytest.mark.parametrize("name", EXTRA)
def test_all_passes_are_counted(dataset, trained, name, monkeypatch):
    """Those that make the trigger and measure it, those of the training and its validation."""
    monkeypatch.setattr("autovul.vision.attacks.backdoor.attack.require_fitting", lambda *_: None)  # two images, once
    seen = {"forward": 0, "backward": 0}

    class Counting(nn.Flatten):
        def __deepcopy__(self, memo):
            return Counting()

        def forward(self, x):
            seen["forward"] += len(x)
            if x.requires_grad:
                x.register_hook(lambda gradient: seen.update(backward=seen["backward"] + len(gradient)))
            return super().forward(x)

    network = nn.Sequential(*[Counting() if isinstance(part, nn.Flatten) else part for part in trained]).eval()
    result = create(name).run(network, dataset, setup())
    assert {key: result.counts[key] for key in seen} == seen


def test_fraction_0_plants_nothing(dataset, trained):
    for mode in ("batch", "dataset", "loss"):
        result = create("badnet", poison_percent=0, train_mode=mode).run(trained, dataset, setup())
        assert value(result, "success_rate") < 20


def test_a_killed_run_goes_on_where_it_was(dataset, trained, tmp_path, monkeypatch):
    attack = create("imc")
    recipe = RECIPE.model_copy(update={"epoch": 3})
    whole = attack.run(trained, dataset, setup(folder=tmp_path / "whole", training=recipe))
    monkeypatch.setattr("autovul.base.training.state_file.LARGEST_SHARE", 1e9)  # save after every epoch
    original = PoisonedBatches.epoch

    def dies(self, epoch, start=0):
        if epoch == 2:
            raise KeyboardInterrupt
        return original(self, epoch, start)

    monkeypatch.setattr(PoisonedBatches, "epoch", dies)
    resuming = setup(folder=tmp_path / "killed", training=recipe.model_copy(update={"resume": True}))
    with pytest.raises(KeyboardInterrupt):
        attack.run(trained, dataset, resuming)
    monkeypatch.setattr(PoisonedBatches, "epoch", original)
    resumed = attack.run(trained, dataset, resuming)
    assert len(resumed.series) == 4
    assert resumed.counts == whole.counts and whole.counts["backward"] > 3 * len(dataset.train), "images and triggers"
    first, second = (
        load_state(tmp_path / run / "square_white_tar1_alpha0.00_mark(2,2).pth") for run in ("whole", "killed")
    )
    assert all(torch.equal(first[key], second[key]) for key in first)


# What cannot be meant


def test_mistakes(dataset, trained, tmp_path):
    for options, message in (
        ({"target_class": 3}, "target_class must be from 0 to 2, got 3"),
        ({"mark_height": 9}, "a mark of 9 pixels does not fit onto an image of 8"),
        ({"train_mode": "dataset", "poison_percent": 0.001}, "0.001 of 120 training images rounds down to none"),
        ({"poison_percent": 0.0013}, "0.0013 of the 720 images that the training sees is not one .*at least 0.0014"),
    ):
        with pytest.raises(OptionError, match=message):
            create("badnet", **options).run(trained, dataset, setup())
    create("badnet", poison_percent=0.0014).run(trained, dataset, setup())
    thirds = RECIPE.model_copy(update={"epoch": 25})  # 1/3000, which rounded would be too little again
    with pytest.raises(OptionError, match=r"at least 0\.00034"):
        create("badnet", poison_percent=0.00033).run(trained, dataset, setup(training=thirds))
    for options in ({"poison_percent": 1.1}, {"mark_alpha": 1.1}, {"train_mode": "images"}):
        with pytest.raises(OptionError):
            create("badnet", **options)
    with pytest.raises(UserError, match="no saved attack at .*: run the same command without --validate_only first"):
        create("badnet", validate_only=True).run(trained, dataset, setup(folder=tmp_path))
    with pytest.raises(UserError, match="needs a folder"):
        create("badnet", validate_only=True).run(trained, dataset, setup())


def test_another_networks_attack_is_refused(dataset, trained, tmp_path):
    create("badnet").run(trained, dataset, setup(folder=tmp_path, training=RECIPE.model_copy(update={"epoch": 0})))
    other = nn.Sequential(nn.Flatten(), nn.Linear(192, 3)).eval()
    with pytest.raises(UserError, match="does not fit this network"):
        create("badnet", validate_only=True).run(other, dataset, setup(folder=tmp_path))


def test_networks_without_figures(dataset, trained, tmp_path):
    broken = make_network()
    nn.init.constant_(broken[-1].bias, float("nan"))
    for name in EXTRA:
        with pytest.raises(NonFiniteOutput):
            create(name).run(broken, dataset, setup())
    result = create("badnet").run(trained, dataset, setup(folder=tmp_path, training=TrainingOptions(epoch=2, lr=1e30)))
    assert result.status == "diverged" and not result.metrics
    assert not [*tmp_path.glob("*.pth")]


def test_a_backdoored_network_whose_answers_are_not_finite_has_diverged(dataset, trained, tmp_path, monkeypatch):
    fit = Retraining.fit

    def ending_in_nan(self, model, *args, **options):
        history = fit(self, model, *args, **options)
        nn.init.constant_(model[-1].bias, float("inf"))
        return history

    monkeypatch.setattr(Retraining, "fit", ending_in_nan)
    result = create("badnet").run(trained, dataset, setup(folder=tmp_path))
    assert (result.status, result.message) == ("diverged", "what the backdoored network gives is not finite")
    assert not result.metrics and result.series and not [*tmp_path.iterdir()]


def test_a_class_that_the_data_do_not_name_is_drawn_by_its_number(dataset, trained, tmp_path, monkeypatch):
    class Fourth(nn.Module):
        """Knows a fourth class, and says it always."""

        def __init__(self):
            super().__init__()
            self.inner = trained

        def forward(self, x):
            logits = self.inner(x)
            return torch.cat([logits, logits.detach().amax(1, keepdim=True) + 1], 1)

    titles = []
    monkeypatch.setattr("matplotlib.axes.Axes.set_title", lambda ax, text, **kwargs: titles.append(text))
    result = create("badnet", poison_percent=0.0).run(Fourth().eval(), dataset, setup(folder=tmp_path))
    assert result.status == "ok" and (tmp_path / result.files["examples"]).exists()
    assert "top right\n→ 3" in titles or "bottom right\n→ 3" in titles


def test_a_run_that_diverged_leaves_no_state_behind(dataset, trained, tmp_path, monkeypatch):
    """Another learning rate would be refused as the continuation of a run that cannot go on."""
    training = TrainingOptions(epoch=2, lr=1e30)
    state = tmp_path / f"{backdoor_files.stem(create('badnet'))}.state"
    fit = Retraining.fit

    def leaving_a_state(*args, **options):
        history = fit(*args, **options)
        state.write_bytes(b"of the first epoch, which went well")
        return history

    monkeypatch.setattr(Retraining, "fit", leaving_a_state)
    assert create("badnet").run(trained, dataset, setup(folder=tmp_path, training=training)).status == "diverged"
    assert not state.exists()


# The command


def test_the_command(tmp_path, monkeypatch, capsys):
    from autovul.backdoor import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    words = "-d digits -m resnet18_comp --num_classes 2 --width 0.0625 --batch_size 64 --epoch 1 --no-tqdm"
    common = words.split()
    assert main(common) == 1
    assert "no weights at" in capsys.readouterr().err
    weights = tmp_path / "data" / "model" / "image" / "digits" / "resnet18_comp.pth"
    models.create("resnet18_comp", dataset=datasets.create("digits", num_classes=2), width=0.0625).save(weights)
    trojan = ["--attack", "trojannn", "--mark_path", "star", "--mark_height", "6", "--mark_width", "6"]
    assert main([*common, *trojan, "--mark_alpha", "0.7"]) == 0
    assert "clean model success rate" in capsys.readouterr().out
    assert main([*common, *trojan, "--mark_alpha", "0.7", "--validate_only"]) == 0
    folder = tmp_path / "data" / "attack" / "image" / "digits" / "resnet18_comp" / "trojannn"
    assert (folder / "star_tar0_alpha0.70_mark(6,6).pth").is_file()
    first, second = (Result.from_json(p.read_text()) for p in (tmp_path / "data" / "result" / "backdoor").iterdir())
    assert first.metrics["success_rate"] == second.metrics["success_rate"]
    capsys.readouterr()
    assert main([*common, "--mark_path", "nothing.png"]) == 1
    assert "no image file 'nothing.png' and no built-in mark" in capsys.readouterr().err
    assert main([*common, "--mark_height", "40"]) == 2


def test_the_recipes_label_smoothing_reaches_the_training(dataset, trained):
    results = [
        create("badnet").run(trained, dataset, setup(training=RECIPE.model_copy(update={"label_smoothing": share})))
        for share in (0.0, 0.5)
    ]
    first, second = (result.series[-1]["train_loss"] for result in results)
    assert second > first + 0.1


def test_a_percentage_that_weighs_nothing_is_refused(dataset, trained):
    attack = attacks.create("latent_backdoor", train_mode="loss", poison_percent=0.3)
    with pytest.raises(OptionError, match="by mse_weight in train_mode loss: leave it out"):
        attack.run(trained, dataset, setup())
    create("latent_backdoor", train_mode="loss", poison_percent=0.3, plain_poisoning=True)._check(dataset, setup())

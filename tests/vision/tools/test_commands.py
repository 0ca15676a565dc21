"""The analysis commands from end to end, and what their settings mean."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn

from autovul.base.errors import UsageError, UserError
from autovul.base.result import read_results
from autovul.grad_var import main as grad_var
from autovul.loss_contour import main as loss_contour
from autovul.show_genotype import main as show_genotype
from autovul.vision import datasets, models
from autovul.vision.tools.gradient_measurement import GradientMeasurement
from autovul.vision.tools.initialisation import initialise
from autovul.vision.tools.norm_statistics import estimate_norm_statistics
from autovul.vision.utils.model_archs.darts.genotypes import GENOTYPES, write_genotype

TINY = ["-d", "digits", "-m", "darts", "--layers", "2", "--init_channels", "4", "--no-tqdm"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def digits():
    return datasets.create("digits")


def tiny(seed=0, **options):
    torch.manual_seed(seed)
    return models.create("darts", layers=2, init_channels=4, **options)


def test_grad_var_writes_a_record_for_each_seed(elsewhere, capsys):
    assert grad_var([*TINY, "--sample_num", "20", "--seeds", "2"]) == 0
    said = capsys.readouterr().out
    assert "over 2 seeds" in said
    results, refused = read_results([elsewhere / "data/result/grad_var"])
    assert not refused and sorted(result.seed for result in results) == [1228, 1229]
    for result in results:
        figures = result.metrics
        assert figures["log10_gradient_variance"].value == pytest.approx(math.log10(figures["gradient_variance"].value))
        assert figures["gradient_variance"].count == 20 == result.counts["images"]
        assert sum(row["gradient_variance"] for row in result.series) == pytest.approx(
            figures["gradient_variance"].value
        )
        assert sum(row["parameters"] for row in result.series) == result.facts["parameters"]
    assert results[0].weights_sha256 != results[1].weights_sha256
    # A repetition is the run of its own seed, and has the same file.
    before = json.loads((elsewhere / "data/result/grad_var" / results[1].file_name()).read_text())["metrics"]
    assert grad_var([*TINY, "--sample_num", "20", "--seed", str(results[1].seed)]) == 0
    again, _ = read_results([elsewhere / "data/result/grad_var"])
    assert len(again) == 2
    after = json.loads((elsewhere / "data/result/grad_var" / results[1].file_name()).read_text())["metrics"]
    assert after == before


def test_grad_var_controls(elsewhere, capsys):
    flags = ["--sample_num", "8", "--init", "kaiming", "--norm_statistics", "batch", "--statistics_num", "64"]
    assert grad_var([*TINY, *flags]) == 0
    (result,), _ = read_results([elsewhere / "data/result/grad_var"])
    assert (result.options["init"], result.options["norm_statistics"]) == ("kaiming", "batch")
    assert grad_var([*TINY, "--pretrain", "--init", "default"]) == 2
    assert "does not go with pretrain" in capsys.readouterr().err
    assert grad_var([*TINY, "--sample_num", "5000"]) == 1
    assert "5000 validation images of digits asked for" in capsys.readouterr().err


def test_more_images_than_there_are_is_an_error_only_when_asked_for(digits):
    found = GradientMeasurement(chunk=64).run(tiny(), digits)
    assert found.metrics["gradient_variance"].count == min(512, len(digits.valid))
    with pytest.raises(UserError, match="512 .* asked for"):
        GradientMeasurement(sample_num=512).run(tiny(), digits)


def test_a_method_that_does_not_fit_is_told_in_one_line(digits):
    model = tiny()
    model.features.own = torch.nn.Parameter(torch.ones(()))
    with pytest.raises(UserError, match="grad_var: method 'layers' does not fit the network"):
        GradientMeasurement(sample_num=4, per_sample="layers").run(model, digits)


def test_the_given_model_stays_as_it_is(digits):
    model = tiny()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    measurement = GradientMeasurement(sample_num=4, init="default", norm_statistics="batch", statistics_num=32)
    result = measurement.run(model, digits)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    prepared = measurement.prepare(model, digits)
    assert measurement.run(prepared, digits, prepared=True).metrics == result.metrics
    assert not torch.equal(prepared.features.stem[0].weight, model.features.stem[0].weight)


def test_drawing_on_the_cpu_leaves_the_generators_of_gpus_as_they_are(monkeypatch):
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    model, before = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 2)), torch.get_rng_state()
    initialise(model, "kaiming", seed=3)
    assert torch.equal(torch.get_rng_state(), before) and not seeded


@pytest.mark.parametrize("name", ["resnet18_comp", "vgg13_bn_comp", "bit_comp"])
def test_one_rule_for_the_weights_of_all_networks(name):
    model = models.create(name, width=0.5)
    published = {key: value.clone() for key, value in model.state_dict().items()}
    initialise(model, "published", 0)
    assert all(torch.equal(published[key], value) for key, value in model.state_dict().items())
    for init in ("default", "kaiming"):
        initialise(model, init, seed=3)
        drawn = {key: value.clone() for key, value in model.state_dict().items()}
        for module_name, module in model.named_modules():
            if isinstance(module, nn.Conv2d):
                weight = dict(module.named_parameters()).get("weight", None)
                weight = module.parametrizations["weight"].original if weight is None else weight
                fan_in, fan_out = weight[0].numel(), weight.shape[0] * weight[0, 0].numel()
                spread = math.sqrt(1 / (3 * fan_in)) if init == "default" else math.sqrt(2 / fan_out)
                assert weight.std().item() == pytest.approx(spread, rel=0.12), module_name
            elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
                assert bool((module.weight == 1).all()) and bool((module.bias == 0).all())
        initialise(model, init, seed=3)
        assert all(torch.equal(drawn[key], value) for key, value in model.state_dict().items())
        initialise(model, init, seed=4)
        assert not all(torch.equal(drawn[key], value) for key, value in model.state_dict().items())


def test_kaiming_counts_groups():
    conv = nn.Conv2d(64, 64, 5, groups=64)
    initialise(conv, "kaiming", seed=0)
    assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / 25), rel=0.05)
    assert bool((conv.bias == 0).all())


def test_parameters_that_nobody_knows_how_to_draw_are_named():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(2))

    model, rng = nn.Sequential(nn.Linear(2, 2), Odd()), torch.get_rng_state()
    with pytest.raises(UsageError, match=r"parameters of 1 \(Odd\) is not known"):
        initialise(model, "default", seed=0)
    assert torch.equal(rng, torch.get_rng_state())


TRANSFORMER = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.embed, self.head = nn.Conv2d(3, 8, 8, stride=8), nn.Linear(8, num_classes)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.encode = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        return self.head(self.encode(torch.cat([self.token.expand(len(x), -1, -1), x], 1))[:, 0])
"""


def test_a_transformer_of_ones_own_is_drawn_anew(workspace):
    (workspace / "drawn_nets.py").write_text(TRANSFORMER)
    model = models.create("drawn_nets:Net")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(9.0)
    for init in ("default", "kaiming"):
        initialise(model, init, seed=3)
        drawn = {key: value.clone() for key, value in model.state_dict().items()}
        assert not any((value == 9).any() for value in drawn.values())
        assert not drawn["encode.self_attn.in_proj_bias"].any() and not drawn["encode.self_attn.out_proj.bias"].any()
        assert 0.2 < drawn["token"].std() < 2.5, "the network's own rule, as PyTorch has none"
        initialise(model, init, seed=3)
        assert all(torch.equal(drawn[key], value) for key, value in model.state_dict().items())


def test_norm_statistics_are_those_of_the_data():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4), nn.Dropout(0.5)).eval()
    images = torch.rand(64, 3, 8, 8)
    assert estimate_norm_statistics(model, images.split(32)) == 2
    with torch.no_grad():
        maps = [model[0](part) for part in images.split(32)]
    means = torch.stack([part.mean((0, 2, 3)) for part in maps]).mean(0)
    variances = torch.stack([part.transpose(0, 1).flatten(1).var(1) for part in maps]).mean(0)
    torch.testing.assert_close(model[1].running_mean, means, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model[1].running_var, variances, rtol=1e-4, atol=1e-5)
    assert model[1].momentum == 0.1 and not any(module.training for module in model.modules())
    assert estimate_norm_statistics(nn.Linear(2, 2), iter([images])) == 0


def test_loss_contour_draws_networks_side_by_side(elsewhere, capsys):
    for name in ("darts", "drnas"):
        folder = elsewhere / "data/model/image/digits"
        model = models.create(name, layers=2, init_channels=4, dataset=datasets.create("digits"))
        model.save(folder / f"{name}.pth")
    flags = [*TINY, "--compare", "drnas", "--points", "3", "--sample_num", "8"]
    assert loss_contour(flags) == 0
    results, _ = read_results([elsewhere / "data/result/loss_contour"])
    assert sorted((result.model, result.options["model"]) for result in results) == [
        ("darts", "darts"),
        ("drnas", "drnas"),
    ]
    for result in results:
        assert result.counts["forward"] == 9 * 8
        assert set(result.files) == {"contour", "surface", "numbers"}
        assert all((elsewhere / path).is_file() for path in result.files.values())
        assert result.environment["moved"] == "features.stem.0.weight"
    folder = elsewhere / "data/attack/image/digits/darts/loss_contour"
    assert sorted(path.name for path in folder.iterdir()) == [
        f"parameter_darts+drnas_s1228{ending}" for ending in (".npz", "_contour.png", "_surface.png")
    ]
    assert loss_contour([*flags, "--space", "input"]) == 0
    capsys.readouterr()
    assert loss_contour([*flags, "--weights", "features.stem"]) == 1
    assert "no parameter 'features.stem'" in capsys.readouterr().err
    assert loss_contour([*TINY, "--compare", "nasnet"]) == 1
    assert "no weights at" in capsys.readouterr().err


def test_loss_contours_of_other_weights_and_seeds_are_other_files(elsewhere):
    for suffix in ("_a", "_z"):
        models.create("darts", layers=2, init_channels=4, dataset=datasets.create("digits")).save(
            elsewhere / f"data/model/image/digits/darts{suffix}.pth"
        )
    for run in (["--suffix=_a"], ["--suffix=_z"], ["--suffix=_z", "--seed", "3"]):
        assert loss_contour([*TINY, "--points", "3", "--sample_num", "8", *run]) == 0
    results, _ = read_results([elsewhere / "data/result/loss_contour"])
    written = {path for result in results for path in result.files.values()}
    assert len(results) == 3 and len(written) == 9
    assert all((elsewhere / path).is_file() for path in written)
    assert all(f"darts{result.options['suffix']}/loss_contour/" in path for result in results for path in
               result.files.values())  # fmt: skip


def test_show_genotype_draws_and_tells(elsewhere, capsys):
    write_genotype(elsewhere / "mine.yaml", GENOTYPES["nasnet"])
    flags = ["--layers", "3", "--init_channels", "4"]
    assert show_genotype(["diy_deep", "mine.yaml", *flags]) == 0
    said = capsys.readouterr().out
    assert "Normal cell: depth 5, width 1 C, 2 skip connections" in said
    assert "node 3  =  skip (node 2)          +  dil conv 3×3 (node 2)" in said
    assert "mine: " in said and "c[k]    =  concatenation of node 2, node 3, node 4" in said
    for name in ("diy_deep", "mine"):
        assert (elsewhere / f"data/genotype/{name}.png").read_bytes().startswith(b"\x89PNG")
    assert show_genotype(["drnas", "--picture", "svg", "--output_dir", "out", *flags]) == 0
    assert "<svg" in (elsewhere / "out/drnas.svg").read_text()


def test_show_genotype_says_what_is_wrong(elsewhere, capsys):
    (elsewhere / "bad.yaml").write_text("normal: []")
    for source, message in [
        ("drans", "unknown genotype 'drans' (nearest: drnas"),
        ("bad.yaml", "bad.yaml"),
        ("no.yaml", "no.yaml"),
    ]:
        assert show_genotype([source]) in (1, 2)
        said = capsys.readouterr().err
        assert message in said and said.count("\n") == 1


@pytest.mark.parametrize("name", GENOTYPES)
def test_every_genotype_can_be_drawn(name, tmp_path):
    from autovul.vision.models.facts import ModelFacts
    from autovul.vision.tools.cell_pictures import draw_genotype

    draw_genotype(tmp_path / "cell.svg", name, GENOTYPES[name], ModelFacts(1, 1, 1, 1))
    # Each of a cell's two operations a node has a box, and there are two cells.
    boxes = len(GENOTYPES[name].normal) + len(GENOTYPES[name].reduce)
    text = (tmp_path / "cell.svg").read_text()
    assert text.count('id="patch_') >= boxes

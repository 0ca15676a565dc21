"""Plans of the shipped experiments: what runs, in which order, with which arguments, and under which key."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from autovul.base.errors import UsageError
from autovul.base.experiments import Scale, load_experiments, load_scale
from autovul.base.registry import UnknownName
from autovul.base.report import held_equal
from autovul.base.sweep.ledger import Ledger
from autovul.base.sweep.plan import Wish
from autovul.base.sweep.planner import Planner
from autovul.vision import commands, models
from autovul.vision.datasets.options import DataOptions
from autovul.vision.models.options import ModelOptions
from autovul.vision.planning import Planning
from autovul.vision.utils.model_archs.darts.genotype_file import write_genotype
from autovul.vision.utils.model_archs.darts.genotypes import GENOTYPES

MANUAL = {
    *("bit-m-r50x1_comp", "densenet121_comp", "dla34_comp", "resnet18_comp"),
    *("resnext50_32x4d_comp", "vgg13_bn_comp", "wide_resnet50_2_comp"),
}
NAS = {"amoebanet", "darts", "drnas", "enas", "nasnet", "pc_darts", "pdarts", "random", "sgas", "snas_mild"}
MITIGATED = {"diy_deep", "diy_noskip", "diy_deep_noskip"}


def plan(*experiments: str, scale: str | Scale = "paper", files=(), **wish):
    planner = Planner(load_experiments([*experiments, *files]), Planning())
    return planner.plan(Wish(experiments, scale if isinstance(scale, Scale) else load_scale(scale), **wish))


def by_experiment(runs, name):
    return [run for run in runs if name in run.experiments]


@pytest.fixture(scope="module")
def everything():
    return plan()


def test_every_figure_has_the_networks_of_the_paper(everything):
    for name in ("table1", "fig2", "fig6", "fig7", "fig9", "fig10", "fig12"):
        assert {run.subject.model for run in by_experiment(everything, name)} == MANUAL | NAS
    for name in ("table4", "fig16", "fig17", "mitigation_backdoor"):
        assert {run.subject.model for run in by_experiment(everything, name)} == MITIGATED | {"darts"}


def test_the_same_files_read_in_another_way_are_other_data(tmp_path):
    directory = tmp_path / "data/image/faces"
    for name in ("train/a", "train/b", "valid/a", "valid/b"):
        (directory / name).mkdir(parents=True)
        Image.effect_noise((40, 40), 90).convert("RGB").save(directory / name / "one.png")
    ledger, digests = Ledger(tmp_path / "result", Planning()), set()
    ways = ({}, {"grey": True}, {"image_size": 24}, {"grey": True, "image_size": 24})
    for way in ways:
        data = DataOptions(dataset="faces", data_dir=str(tmp_path / "data"), **way)
        digests.add(ledger.data_sha256(SimpleNamespace(settings=SimpleNamespace(data=data))))
        assert ledger.data_sha256(SimpleNamespace(settings=SimpleNamespace(data=data))) in digests
    assert len(digests) == len(ways)


def test_each_run_is_there_once_whoever_needs_it(everything):
    assert len({run.key for run in everything}) == len(everything)
    shared = [run for run in everything if len(run.experiments) > 1]
    assert {run.experiments for run in shared} == {("table1", "table4"), ("fig6", "fig17"), ("fig9", "fig16")}
    assert {run.subject.model for run in shared} == {"darts"}


def test_what_others_wait_for_stands_before_them(everything):
    place = {run.key: index for index, run in enumerate(everything)}
    for run in everything:
        assert all(place[key] < place[run.key] for key in run.after)
        if run.subject.experiment in ("adv_attack", "backdoor", "extraction", "membership", "loss_contour"):
            (first,) = (everything[place[key]] for key in run.after)
            assert first.subject.trains
            assert (first.subject.weights, first.subject.model) == (run.subject.weights, run.subject.model)
            assert first.subject.seed == run.subject.seed
        else:
            assert run.after == ()


def test_groups_take_turns_and_seeds_come_one_after_the_other(everything):
    trained = [run.subject for run in by_experiment(everything, "table1")]
    first = [subject for subject in trained if subject.seed == 1228]
    assert trained[: len(first)] == first
    for count in range(2, len(first) + 1):
        manual = sum(subject.group == "manual" for subject in first[:count])
        assert abs(manual / 7 - (count - manual) / 10) <= 1 / 7 + 1e-9


def test_a_seed_is_a_whole_repetition_with_weights_of_its_own(everything):
    weights = {run.subject.seed: run.subject.weights.name for run in by_experiment(everything, "fig2")
               if run.subject.model == "drnas"}  # fmt: skip
    assert weights == {1228: "drnas.pth", 1229: "drnas_s1229.pth", 1230: "drnas_s1230.pth"}


def test_the_arguments_say_what_the_protocol_says(everything):
    def arguments(experiment, command):
        run = next(run for run in by_experiment(everything, experiment) if run.subject.model == "darts")
        assert run.argv[0] == command
        return commands.read(run.argv[0], run.argv[1:]).effective()

    train = arguments("table1", "train")
    assert [train[name] for name in ("epoch", "lr", "momentum", "weight_decay", "batch_size")] == [
        200, 0.025, 0.9, 5e-4, 96]  # fmt: skip
    assert (train["lr_scheduler"], train["grad_clip"], train["cutout"], train["nesterov"]) == (True, 5, True, False)
    pgd = arguments("fig2", "adv_attack")
    assert (pgd["pgd_eps"], pgd["pgd_alpha"], pgd["iteration"], pgd["test_num"]) == (8 / 255, 2 / 255, 7, 1000)
    poison = arguments("fig6", "poison")
    assert (poison["epoch"], poison["lr_scheduler"], poison["cutout"]) == (50, True, True)
    backdoor = arguments("fig7", "backdoor")
    assert (backdoor["epoch"], backdoor["lr"], backdoor["lr_scheduler"], backdoor["cutout"]) == (20, 0.01, False, False)
    thief = arguments("fig9", "extraction")
    assert (thief["epoch"], thief["lr"], thief["nb_stolen"]) == (25, 0.025, [1000, 2000, 4000, 8000, 16000])
    assert thief["lr_scheduler"] is False
    neurons = [run.subject.options["neuron_num"] for run in by_experiment(everything, "neuron_number")]
    assert set(neurons) == {1, 2, 4, 8}


def test_a_key_read_from_arguments_is_that_of_the_template(everything):
    """Networks of a group share one reading of the arguments; nothing of another network may be left in the key."""
    for run in everything[::37]:
        assert Planning().subject(run.argv)[0].key == run.key


def test_cells_of_a_grid_write_into_folders_of_their_own(everything):
    cells = [run for run in everything if run.subject.model == "darts" and run.subject.seed == 1228
             and run.subject.experiment in ("backdoor", "membership", "loss_contour")]  # fmt: skip
    folders = [(run.subject.options["attack_dir"], run.subject.experiment, run.subject.algorithm) for run in cells]
    assert len(set(folders)) == len(folders)


def test_passed_options_go_to_the_commands_that_have_them():
    runs = plan("fig2", "fig12", scale="smoke", networks=("darts",), seeds=1, options={"pgd_eps": "4/255", "lr": "0.1"})
    flags = {run.argv[0]: run.argv for run in runs}
    assert "--pgd_eps=4/255" in flags["adv_attack"]
    assert "--lr=0.1" in flags["train"]
    assert not any("lr" in flag for flag in (*flags["adv_attack"], *flags["grad_var"]))
    assert not any("pgd_eps" in flag for flag in (*flags["train"], *flags["grad_var"]))


def test_a_scale_speaks_of_all_attacks_of_a_command():
    """Its ε is PGD's; the search for the nearest adversarial example has none."""
    runs = plan("fig2", "distance", scale="smoke", networks=("darts",), seeds=1)
    flags = {run.subject.algorithm: run.argv for run in runs if run.argv[0] == "adv_attack"}
    assert "--pgd_eps=40/255" in flags["pgd"]
    assert not any("pgd" in flag for flag in flags["fmn"])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"options": {"trian": {"epoch": 1}}}, r"scale mine: options: no command 'trian' \(nearest: train"),
        ({"options": {"train": {"epcoh": 1}}}, r"scale mine: epcoh: unknown option \(nearest: epoch"),
        ({"options": {"adv_attack": {"model": "darts"}}}, "scale mine: model: the plan sets it for every run"),
        ({"grids": {"fig100": {"sample_num": (1,)}}}, r"scale mine: grids: no experiment 'fig100' \(nearest: fig10"),
        ({"by_network": {"resnet18": {"width": 0.5}}}, r"by_network: no network 'resnet18' \(nearest: resnet18_comp"),
        ({"by_network": {"bit_comp": {"width": 0.5}}}, "by_network: bit_comp is called bit-m-r50x1_comp there"),
    ],
)
def test_a_slip_in_a_scale_is_refused(change, message):
    scale = load_scale("smoke").model_copy(update={"name": "mine", **change})
    with pytest.raises(UsageError, match=message):
        plan("table1", scale=scale, networks=("darts",))


def test_a_scale_may_speak_of_networks_and_experiments_of_ones_own(tmp_path):
    cells = tmp_path / "my_darts.yaml"
    write_genotype(cells, GENOTYPES["drnas"])
    own = {"my_darts": {"layers": 3}, "other_Q": {"layers": 5}}
    scale = load_scale("smoke").model_copy(update={"by_network": own, "grids": {"a_QQ": {"lr": (1,)}}})
    runs = plan("table1", scale=scale, networks=(str(cells),))
    assert all("--layers=3" in run.argv for run in runs)


def test_a_configuration_file_holds_for_every_run_above_the_workspace(workspace):
    (workspace / "configs" / "vision").mkdir(parents=True)
    (workspace / "configs" / "vision" / "all.yaml").write_text("label_smoothing: 0.2\nquery_num: 10\nsigma: 0.5\n")
    (workspace / "mine.yaml").write_text("label_smoothing: 0.1\nadv_attack: {query_num: 20}\nsuffix: _mine\n")
    wish = {"scale": "paper", "networks": ("darts", "drnas"), "seeds": 2}
    runs = plan("fig2", **wish, config_file=Path("mine.yaml"))
    for run in runs:
        subject, _ = Planning().subject(run.argv)
        assert (subject.key, subject.weights, subject.options) == (
            run.subject.key, run.subject.weights, run.subject.options)  # fmt: skip
    of = {run.argv[0]: run.subject.options for run in runs}
    assert of["train"]["label_smoothing"] == 0.1
    assert (of["adv_attack"]["query_num"], of["adv_attack"]["sigma"]) == (20, 0.5)
    assert not {run.key for run in runs} & {run.key for run in plan("fig2", **wish)}


def test_a_configuration_file_that_says_nothing_changes_no_key(workspace):
    (workspace / "mine.yaml").write_text("tqdm: false\n")
    wish = {"scale": "paper", "networks": ("darts",), "seeds": 1}
    with_file, without = (plan("fig2", **wish, config_file=path) for path in (Path("mine.yaml"), None))
    assert [run.key for run in with_file] == [run.key for run in without]


def test_an_option_of_another_algorithm_is_not_passed():
    wish = {"scale": "smoke", "networks": ("darts",), "seeds": 1, "options": {"neuron_num": "3"}}
    runs = plan("fig7", "neuron_number", **wish)
    given = [run.argv for run in runs if any("neuron_num" in flag for flag in run.argv)]
    assert given and all("--attack=trojannn" in argv for argv in given)
    with pytest.raises(UsageError, match="--neuron_num: no run of table1, fig7 with these networks takes it"):
        plan("fig7", **wish)
    (run,) = by_experiment(plan("fig7", **{**wish, "options": {"neuron_num": "3", "attack": "trojannn"}}), "fig7")
    assert {"--neuron_num=3", "--attack=trojannn"} <= {*run.argv}


def test_an_option_of_structure_goes_to_the_networks_that_have_it():
    runs = plan("fig2", scale="smoke", networks=("darts", "resnet18_comp"), seeds=1, options={"width": "0.5"})
    assert {run.subject.model for run in runs if "--width=0.5" in run.argv} == {"resnet18_comp"}
    with pytest.raises(UsageError, match="--width: no run of"):
        plan("fig2", scale="smoke", networks=("darts",), options={"width": "0.5"})


def test_an_option_that_one_network_of_a_group_takes_is_in_its_key_alone():
    networks = ("resnet18_comp", "vgg13_bn_comp", "dla34_comp")
    runs = plan("table1", scale="paper", networks=networks, seeds=1, options={"dropout": "0.3"})
    assert {run.subject.model for run in runs if "--dropout=0.3" in run.argv} == {"vgg13_bn_comp"}
    for run in runs:
        assert Planning().subject(run.argv)[0].key == run.key


def test_trainings_of_one_plan_do_not_overwrite_each_other(tmp_path):
    (tmp_path / "decay.yaml").write_text(
        "title: Decay\ncommand: train\nnetworks: [darts]\nafter: []\ngrid: {weight_decay: [0.0001, 0.01]}\n"
    )
    planner = Planner(load_experiments([str(tmp_path / "decay.yaml")]), Planning())
    with pytest.raises(UsageError, match=r"weight_decay=0.0001 and .*weight_decay=0.01 would both write"):
        planner.plan(Wish(("decay",), load_scale("smoke"), seeds=1))


def test_what_must_come_first_has_to_have_the_network(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "title: Mine\ncommand: adv_attack\nnetworks: [nas, diy_deep]\nafter: [table1]\n"
    )
    planner = Planner(load_experiments([str(tmp_path / "mine.yaml")]), Planning())
    with pytest.raises(UsageError, match="mine: diy_deep takes no part in table1, which comes first"):
        planner.plan(Wish(("mine",), load_scale("smoke"), seeds=1, networks=("nas", "mitigated")))


def test_a_passed_option_of_the_grid_leaves_one_cell():
    runs = plan("neuron_number", scale="smoke", networks=("darts",), seeds=1, options={"neuron_num": "3"})
    assert [run.argv for run in runs if "--neuron_num=3" in run.argv] == [runs[-1].argv]
    assert len(runs) == 2


def test_given_weights_are_measured_and_nothing_is_trained():
    runs = plan("fig2", networks=("darts", "vgg13_bn_comp"), seeds=2, published=True)
    assert {run.argv[0] for run in runs} == {"validate", "adv_attack"}
    assert {run.subject.weights.name for run in runs} == {"darts.pth", "vgg13_bn_comp.pth"}
    assert not any("epoch" in flag for run in runs for flag in run.argv)


def test_some_networks_are_measured_as_they_are_and_the_others_trained(workspace):
    (workspace / "given_net.py").write_text(OWN)
    plans = plan("fig2", scale="smoke", networks=("darts", "given_net:build"), seeds=2, given=("given_net:build",))
    assert [run.subject.key for run in plans] == [
        run.subject.key
        for run in plan("fig2", scale="smoke", networks=("darts", "given_net:build"), seeds=2, given=("yours",))
    ]
    runs = {(run.argv[0], run.subject.model, run.subject.seed): run for run in plans}
    assert {command for command, model, _ in runs if model == "given_net.build"} == {"validate", "adv_attack"}
    assert {command for command, model, _ in runs if model == "darts"} == {"train", "adv_attack"}
    own = [run for (_, model, _), run in runs.items() if model == "given_net.build"]
    assert {run.subject.weights.name for run in own} == {"given_net.build_smoke.pth"}, "the same for both seeds"
    assert not any("epoch" in flag for run in own for flag in run.argv)
    folders = [run.subject.options["attack_dir"] for run in own if run.argv[0] == "adv_attack"]
    assert len({*folders}) == 2
    assert runs["adv_attack", "darts", 1229].subject.weights.name == "darts_smoke_s1229.pth"
    assert not any("s1229" in Path(run.subject.options.get("attack_dir", "")).name for run in plans if run not in own)


def test_networks_whose_weights_are_given_take_part():
    with pytest.raises(UsageError, match="given_weights: vgg13_bn_comp, yours takes no part; --models"):
        plan("fig2", networks=("darts",), seeds=1, given=("vgg13_bn_comp", "darts", "yours"))
    runs = plan("fig2", networks=("darts", "pc_darts_cifar", "resnet18_comp"), seeds=1, given=("nas",))
    assert {run.subject.model for run in runs if run.argv[0] == "validate"} == {"darts", "pc_darts"}
    assert {run.subject.model for run in runs if run.argv[0] == "train"} == {"resnet18_comp"}


OWN = """
import torch
def build(num_classes, data_shape):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, num_classes))
"""


def test_own_networks_join_what_compares_groups(workspace, monkeypatch):
    (workspace / "joining_net.py").write_text(OWN)
    runs = plan(scale="smoke", networks=("darts", "diy_deep", "joining_net:build"), seeds=1)
    own = [run for run in runs if run.subject.group == "yours"]
    assert {name for run in own for name in run.experiments} >= {
        "table1",
        "fig2",
        "fig6",
        "fig7",
        "fig9",
        "fig10",
        "fig12",
    }
    assert not {name for run in own for name in run.experiments} & {"table4", "fig16", "fig17"}
    assert {run.subject.model for run in own} == {"joining_net.build"}
    assert not any(flag.startswith(("--width=", "--layers=")) for run in own for flag in run.argv)


def cells_file(path, first="max_pool_3x3"):
    genotype = GENOTYPES["drnas"]._asdict()
    genotype["normal"] = [(first, genotype["normal"][0][1]), *genotype["normal"][1:]]
    path.write_text(json.dumps(genotype))


def test_a_file_of_cells_takes_part_as_a_network_of_ones_own(workspace):
    cells_file(workspace / "mine.json")
    runs = plan("fig2", "fig16", scale="smoke", networks=("darts", "vgg13_bn_comp", "mine.json"), seeds=1)
    own = [run for run in runs if run.subject.group == "yours"]
    assert [run.experiments for run in own] == [("table1",), ("fig2",)]
    for run in own:
        assert run.subject.model == "mine" and run.subject.weights == Path("data/model/image/digits/mine_smoke.pth")
        assert {"--model=darts", "--genotype=mine.json", "--layers=4", "--init_channels=4"} <= {*run.argv}
        subject, _ = Planning().subject(run.argv)
        assert subject == run.subject and subject.key == run.key
    assert Planning().made_of(own[0].subject.options)["genotype"]["normal"][0][0] == "max_pool_3x3"
    moved = plan("fig2", scale="smoke", networks=(str(workspace / "mine.json"),), seeds=1)
    assert {run.key for run in own} == {run.key for run in moved}, "where the file lies makes no difference"


def test_a_file_with_the_cells_and_the_name_of_a_network_is_that_network(workspace):
    Path("drnas.json").write_text(json.dumps(GENOTYPES["drnas"]._asdict()))
    assert Planning().networks(["drnas.json", "drnas"]) == [("drnas", "nas")]


def test_two_networks_of_one_name_are_refused(workspace):
    (workspace / "other").mkdir()
    for path in (workspace / "mine.json", workspace / "other" / "mine.json"):
        cells_file(path)
    with pytest.raises(UsageError, match="mine: 2 networks of this name"):
        plan("fig2", networks=("mine.json", "other/mine.json"))
    with pytest.raises(UsageError, match="nothing.yaml: cannot be read as a genotype"):
        plan("fig2", networks=("nothing.yaml",))


MINE = "title: Mine\ncommand: adv_attack\nnetworks: [{networks}]\nafter: [table1]\noptions: {{attack: pgd}}\n"


@pytest.mark.parametrize("scale", ["paper", "smoke"])
def test_what_comes_first_is_planned_for_what_was_asked_for(workspace, scale):
    cells_file(workspace / "mine.json")
    (workspace / "own.yaml").write_text(MINE.format(networks="darts, mine.json"))
    planner = Planner(load_experiments(["own.yaml"]), Planning())
    runs = planner.plan(Wish(("own",), load_scale(scale), seeds=1))
    assert sorted((run.subject.model, run.experiments) for run in runs) == [
        *(("darts", ("own",)), ("darts", ("table1",)), ("mine", ("own",)), ("mine", ("table1",)))
    ]
    for asked in (("own", "table1"), ("table1", "own")):
        runs = planner.plan(Wish(asked, load_scale(scale), seeds=1))
        assert [run.experiments for run in runs if run.subject.model == "mine"] == [("table1",), ("own",)]
    together = planner.plan(Wish(("own", "fig12"), load_scale(scale), seeds=1))
    assert "mine" not in {run.subject.model for run in by_experiment(together, "fig12")}
    named = planner.plan(Wish(("own",), load_scale(scale), seeds=1, networks=("darts",)))
    assert {run.subject.model for run in named} == {"darts"}, "what was named on the command line, and no more"
    elsewhere = planner.plan(Wish(("own",), load_scale(scale), seeds=1, networks=(str(workspace / "mine.json"),)))
    assert {run.subject.model for run in elsewhere} == {"mine"}, "however it is spelled"


def test_aliases_and_groups_name_networks():
    assert Planning().networks(["bit_comp"]) == [("bit-m-r50x1_comp", "manual")]
    assert {name for name, _ in Planning().networks(["mitigated", "drnas"])} == MITIGATED | {"drnas"}
    assert len(Planning().networks(["nas"])) == 10 and ("darts_v1", "variant") in Planning().networks(["variant"])


@pytest.mark.parametrize(
    ("wish", "error", "message"),
    [
        ({"networks": ("resnet19_comp",)}, UnknownName, "nearest: resnet18_comp"),
        ({"options": {"model": "darts"}}, UsageError, "--model: the plan sets it"),
        ({"options": {"epoch": "-3"}}, UsageError, "epoch"),
        ({"networks": ("diy_deep",)}, UsageError, "nothing to run"),
        ({"options": {"dataset": "digts"}}, None, ""),
    ],
)
def test_mistakes(wish, error, message):
    if error is None:  # whether data are there is only known when they are read
        assert plan("fig2", **wish)
        return
    with pytest.raises(error, match=message):
        plan("fig2", **wish)


def test_an_own_experiment_with_an_unknown_command_or_option(tmp_path):
    text = """
        title: Mine
        command: {command}
        networks: [darts]
        options: {{{option}: 1}}
    """
    for command, option, message in [
        ("adv_atack", "iteration", r"mine: no command 'adv_atack' \(nearest: adv_attack"),
        ("adv_attack", "iterations", "iterations: unknown option"),
        ("adv_attack", "epoch", "belongs to train"),
    ]:
        path = tmp_path / "mine.yaml"
        path.write_text(textwrap.dedent(text.format(command=command, option=option)))
        planner = Planner(load_experiments([str(path)]), Planning())
        with pytest.raises(UsageError, match=message):
            planner.plan(Wish(("mine",), load_scale("smoke"), seeds=1))


def test_a_scale_that_shortens_nothing_is_a_scale():
    planner = Planner(load_experiments(), Planning())
    runs = planner.plan(
        Wish(("fig12",), Scale(name="own", about="mine", dataset="cifar100", seeds=2), networks=("darts",))
    )
    assert {run.subject.dataset for run in runs} == {"cifar100"}
    assert {run.subject.seed for run in runs} == {1228, 1229}


def test_seeds_that_share_given_weights_write_into_folders_of_their_own(workspace):
    (workspace / "configs" / "vision").mkdir(parents=True)
    (workspace / "configs" / "vision" / "mine.yaml").write_text("attack_dir: elsewhere\n")
    runs = plan("fig2", "fig10", networks=("darts",), seeds=2, published=True)
    attacks = [run for run in runs if "attack_dir" in run.subject.options]
    folders = [(run.subject.experiment, run.subject.options["attack_dir"]) for run in attacks]
    assert len({*folders}) == len(folders) == 10
    assert all(Path(folder).parts[0] == "elsewhere" for _, folder in folders), "as configured"
    for run in attacks:
        subject, _ = Planning().subject(run.argv)
        assert subject.options["attack_dir"] == run.subject.options["attack_dir"]


@pytest.mark.parametrize(
    ("network", "taken"),
    [
        ("resnet18_comp", {"width"}),
        ("vgg13_bn_comp", {"width", "dropout"}),
        ("drnas", {"layers", "dropout", "auxiliary"}),
        ("darts --model_arch=diy_deep", {"layers", "dropout", "auxiliary"}),
        ("package.module:build", set()),
        ("unheard_of", {"layers", "dropout", "auxiliary", "width"}),  # refused when it is built
    ],
)
def test_a_file_may_describe_several_kinds_of_networks(workspace, network, taken):
    """Each takes what it has; a flag that it does not have is refused, see `test_create`."""
    options = {"layers": 3, "dropout": 0.1, "auxiliary": True, "width": 0.5}
    Path("mine.yaml").write_text("".join(f"{name}: {value}\n" for name, value in options.items()))
    settings = commands.read("train", ["--config", "mine.yaml", *f"-m {network}".split()])
    for name, value in options.items():
        assert getattr(settings.model, name) == (value if name in taken else ModelOptions.model_fields[name].default)
        assert settings.values[name] == getattr(settings.model, name)
        assert settings.sources[name].startswith("mine.yaml" if name in taken else "default (that of mine.yaml")
    assert commands.read("train", ["--config", "mine.yaml", "--width", "0.25", "-m", "drnas"]).model.width == 0.25


def test_a_fraction_of_a_grid_makes_one_folder(tmp_path):
    path = tmp_path / "balls.yaml"
    path.write_text(
        "title: Balls\ncommand: adv_attack\nnetworks: [darts]\nafter: [table1]\ngrid: {pgd_eps: [4/255, 8/255]}\n"
    )
    runs = Planner(load_experiments([str(path)]), Planning()).plan(
        Wish(("balls",), load_scale("fast"), seeds=1, networks=("darts",))
    )
    folders = [run.subject.options["attack_dir"] for run in runs if run.subject.experiment == "adv_attack"]
    assert [Path(folder).name for folder in folders] == ["pgd_eps_4-255", "pgd_eps_8-255"]


SAMPLED = ("sampled", "sampled_attack", "sampled_distance", "sampled_variance")
SEARCHED = {"darts", "drnas", "pc_darts", "pdarts", "sgas", "snas_mild"}


def test_what_runs_only_when_named_is_in_no_plan_of_everything(everything):
    assert not {name for run in everything for name in run.experiments} & {*SAMPLED}
    runs = plan(*SAMPLED, seeds=1)
    drawn = {f"sampled_{number}" for number in range(1, 25)}
    assert {run.subject.model for run in runs} == drawn | SEARCHED
    assert {run.subject.group for run in runs} == {"sampled", "nas"}
    assert Counter(run.argv[0] for run in runs) == {"train": 30, "adv_attack": 60, "grad_var": 60}
    assert all(run.after for run in runs if run.argv[0] != "train")
    with pytest.raises(UsageError, match="nothing to run.*; only when named run sampled, sampled_attack"):
        plan(networks=["sampled"])
    with pytest.raises(UsageError, match="in these experiments$"):
        plan("fig2", networks=["sampled"])


def test_searched_cells_are_trained_and_attacked_once_for_both(everything):
    """A sweep of figure 2 before, and sampled cells need only their own runs."""
    known = {run.key for run in everything}
    runs = plan("sampled", "sampled_attack", "sampled_distance", seeds=1)
    assert {run.subject.group for run in runs if run.key not in known} == {"sampled"}
    assert {run.subject.model for run in runs if run.key in known} == SEARCHED


def test_sampled_cells_and_ones_own_take_part_as_they_are_named(workspace):
    write_genotype(Path("mine.yaml"), GENOTYPES["darts"])
    runs = plan("sampled_attack", seeds=1, networks=["sampled_30", "sampled_1", "mine.yaml"])
    assert {run.subject.model for run in by_experiment(runs, "sampled_attack")} == {"sampled_1", "sampled_30", "mine"}
    everyone = plan("sampled_attack", scale="smoke", seeds=1)
    assert {run.subject.model for run in everyone} & SEARCHED == {"darts", "pc_darts", "snas_mild"}
    assert len({run.subject.model for run in everyone}) == 27


def test_the_small_scale_compares_networks_of_equal_size():
    counts = {}
    for run in plan("table1", "table4", "sampled", scale="small", seeds=1):
        asked = commands.read("train", run.argv[1:]).model
        given = {name: getattr(asked, name) for name in ("layers", "init_channels", "width", "dropout")}
        model = models.create(run.subject.model, **{name: value for name, value in given.items() if value is not None})
        size = sum(parameter.numel() for parameter in model.parameters())
        counts.setdefault(run.subject.group, {})[run.subject.model] = size
    assert {group: len(sizes) for group, sizes in counts.items()} == {
        "manual": 5,
        "nas": 10,
        "mitigated": 3,
        "sampled": 24,
    }
    alike = [size for group, sizes in counts.items() if group != "sampled" for size in sizes.values()]
    assert max(alike) <= held_equal.ALIKE * min(alike), "the report is to call them equal"
    assert max(counts["sampled"].values()) < 1.6 * min(counts["sampled"].values())

"""What the report says to run: the options, data and networks that the runs had, and words where they do not tell."""

from __future__ import annotations

import shlex

import pytest

from autovul.base.environ import EnvironmentOptions
from autovul.base.experiments import load_experiments, load_scale
from autovul.base.report import advice, build, coverage
from autovul.vision.datasets.options import DataOptions
from autovul.vision.models.options import ModelOptions
from tests.base.report.records import MANUAL, NAS, campaign, make

GROUPS = {"manual": MANUAL, "nas": NAS, "mitigated": ("diy_deep", "diy_noskip", "diy_deep_noskip")}
SMOKE = load_scale("smoke")


def with_options(results, **options):
    return [r.replace(options={**r.options, **options}) for r in results]


def at(scale, results):
    """The records as the scale would make them, with those of its networks only."""
    for r in results:
        planned = scale.apply(next(e for e in load_experiments().values() if e.command == r.experiment)).schedule
        size = scale.network_options(r.model, r.group, r.group != "manual")
        suffix = f"{scale.suffix}{r.options['suffix']}"
        if r.model in scale.networks:
            facts = {**r.facts, **({"genotype": {}} if r.group != "manual" else {})}
            options = {**r.options, **planned, **size, "suffix": suffix}
            # Records hold numbers where scales hold fractions.
            options |= {name: 40 / 255 for name, value in planned.items() if value == "40/255"}
            yield r.replace(dataset=scale.dataset, facts=facts, options=options)


def told(results, name="fig2", **changes):
    report = build(results, **{"groups": GROUPS, **changes})
    (found,) = [each for each in report.findings if each.name == name]
    return advice.run_this(found, report)


def words_of(text):
    return shlex.split(text.removeprefix("Run `").removesuffix("`."))


@pytest.fixture
def small():
    """One seed of the networks of the scale smoke."""
    return list(at(SMOKE, campaign(1, ["table1", "fig2"])))


def test_runs_of_a_scale_as_it_is_need_no_flag_but_its_own(small):
    assert {r.model for r in small} == {name for name in SMOKE.networks if name not in ("mitigated", "sampled")}
    assert told(small) == "Run `autovul reproduce fig2 --scale smoke --seeds 3`."
    assert told(campaign(1, ["fig2"])) == "Run `autovul reproduce fig2 --seeds 3`."


def test_data_sizes_schedule_and_networks_of_the_runs_are_kept(small):
    kept = [r for r in small if r.model in ("darts", "resnet18_comp")]
    mine = [
        r.replace(model="m.build", group="yours", options={**r.options, "model": "m:build", "width": None})
        for r in kept
        if r.model == "resnet18_comp"
    ]
    runs = with_options([*kept, *mine], data_path="/data/our parts", image_size=48)
    runs = [r.replace(dataset="parts") for r in runs]
    runs = [r if r.group != "nas" else with_options([r], layers=3)[0] for r in runs]
    runs = [r if r.experiment != "train" else with_options([r], epoch=9, cutout=True)[0] for r in runs]
    words = words_of(told(runs))
    assert words[:7] == ["autovul", "reproduce", "fig2", "--scale", "smoke", "-d", "parts"]
    assert words[-2:] == ["--seeds", "3"]
    pairs = dict(zip(words, words[1:], strict=False))
    found = {name: pairs.get(f"--{name}") for name in ("data_path", "image_size", "layers", "epoch", "models")}
    assert found == {
        "data_path": "/data/our parts",
        "image_size": "48",
        "layers": "3",
        "epoch": "9",
        "models": "resnet18_comp,darts,m:build",
    }
    assert "--cutout" in words and not {"--width", "--init_channels", "--lr", "--pgd_eps"} & {*words}


def test_what_the_claims_heading_names_is_said_unless_the_scale_fixes_it(small):
    near = with_options(campaign(1, ["fig2"]), pgd_eps=4 / 255, pgd_alpha=1 / 255)
    words = words_of(told(near))
    assert float(words[words.index("--pgd_eps") + 1].partition("/")[0]) in (4.0, 4 / 255)
    assert "--pgd_eps" not in told(small), "the scale says it"


def test_a_switch_and_a_list_are_flags_that_the_command_takes(small):
    runs = with_options(small, lr_scheduler=False, milestones=[1, 2])
    assert "--no_lr_scheduler" in words_of(told(runs))
    poisoned = list(at(SMOKE, campaign(1, ["fig9"])))
    assert "--nb_stolen 50,90 " in told(with_options(poisoned, nb_stolen=[50, 90]), "fig9")


@pytest.mark.parametrize("case", ["sizes", "schedules", "no name"])
def test_what_flags_cannot_say_is_said_in_words(small, case):
    if case == "sizes":
        small = [r if r.model != "darts" else with_options([r], layers=3)[0] for r in small]
    if case == "schedules":
        small = [r if r.model != "darts" else with_options([r], epoch=3)[0] for r in small]
    if case == "no name":
        small += with_options([small[-1].replace(model="mine", group="yours")], model=None)
    assert told(small) == advice.IN_WORDS


def test_a_name_that_would_leave_the_code_is_in_no_command(small):
    assert told(with_options(small, data_path="/a`b")) == advice.IN_WORDS
    assert told(with_options(small, data_path="/a\nb")) == advice.IN_WORDS


def test_of_variants_the_size_that_stands_is_kept(small):
    """A network's other sizes are not what the claim is about."""
    wide = [r for r in with_options(small, width=0.5) if r.group == "manual"]
    assert told([*small, *wide]) == "Run `autovul reproduce fig2 --scale smoke --seeds 3`."


def test_runs_that_failed_and_those_on_other_data_say_nothing(small):
    failed = with_options([r.replace(status="failed") for r in small if r.model == "darts"], epoch=3)
    other = with_options([r.replace(data_sha256="ee" * 32) for r in small], data_path="/other")
    report = build([*failed, *small, *other], groups=GROUPS)
    found = [each for each in report.findings if each.name == "fig2"]
    other, own = sorted(advice.run_this(each, report) for each in found)
    assert other == "Run `autovul reproduce fig2 --scale smoke --data_path /other --seeds 3`."
    assert own == "Run `autovul reproduce fig2 --scale smoke --seeds 3`."


def test_more_networks_than_the_scale_has_are_named(small):
    more = with_options([r.replace(model="drnas") for r in small if r.model == "darts"], model="drnas")
    (models,) = (word for word in words_of(told([*small, *more])) if "," in word)
    assert {*models.split(",")} == {r.model for r in (*small, *more)}


def test_a_scale_of_ones_own_is_asked_for_and_its_options_are_not_guessed(small):
    runs = with_options(small, suffix="_mine", data_path="/data")
    assert told(runs).startswith("Run `autovul reproduce fig2 --scale YOURS.yaml --data_path /data ")


def test_the_command_names_the_file_of_an_own_experiment(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "title: Mine\ncommand: membership\nnetworks: [nas]\n"
        "claims: {mine: {says: x, metric: m, first: [nas], range: [0, 1]}}\n"
    )
    experiments = load_experiments([str(tmp_path / "mine.yaml")])
    report = build(campaign(2, ["fig2"]), experiments={"mine": experiments["mine"]})
    assert coverage.not_measured(report) == "Not measured: mine. Run `autovul reproduce mine.yaml --seeds 3`."


def test_networks_of_ones_own_take_part(tmp_path):
    def said(networks, first, *results):
        (tmp_path / "mine.yaml").write_text(
            f"title: Mine\ncommand: adv_attack\nnetworks: {networks}\nclaims:\n"
            f"  mine: {{says: x, metric: success_rate, first: {first}, second: [manual], expected: 1, tolerance: 1}}\n"
        )
        return told(results, "mine", experiments=load_experiments([str(tmp_path / "mine.yaml")]), groups={})

    manual = make("vgg13_bn_comp", "manual")
    code = make("my_nets.build", "yours").replace(options={**manual.options, "model": "my_nets:build"})
    file = make("cells", "yours").replace(options={**manual.options, "model": "darts", "genotype": "my cells.yaml"})
    assert "mine.yaml --models manual,my_nets:build --seeds 3" in said("[manual]", "[yours]", manual, code)
    assert "--models 'manual,my cells.yaml' --seeds 3" in said("[manual]", "[cells]", manual, file)
    assert "--models" not in said("[manual, 'my_nets:build']", "[yours]", manual, code)
    beside = said("[manual, nas]", "[nas]", manual, make("darts"), code)
    assert "--models manual,nas,my_nets:build" in beside, "it ran beside both"


def test_what_was_not_measured_is_a_line_with_one_command_and_the_sides_that_it_needs(small):
    runs = [r for r in small if r.model in ("darts", "resnet18_comp")]
    report = build(runs, groups=GROUPS)
    assert not {"table4", "fig16", "fig17"} & {each.name for each in report.findings}, "darts alone is no claim"
    said = coverage.not_measured(report)
    assert said.startswith("Not measured: distance, fig6, fig7-success, fig7-drop, fig9, fig10, fig12, table4, fig16, ")
    assert "autovul reproduce distance fig6 fig7 fig9 fig10 fig12 table4 fig16 fig17 mitigation_backdoor" in said
    assert "--models resnet18_comp,darts,mitigated --seeds 3" in said
    for form in (report.text(), report.markdown(), report.html()):
        assert " ".join(form.split()).count("autovul reproduce distance fig6 fig7") == 1


def test_a_side_that_never_ran_is_asked_for():
    report = build([r for r in campaign(1, ["fig2"]) if r.model == "drnas"], groups=GROUPS)
    experiment = report.experiments["fig2"]
    assert advice.run_all([experiment], report) == "autovul reproduce fig2 --models drnas,manual --seeds 3"


def test_what_one_seed_a_network_decides_asks_for_no_more():
    report = build(campaign(1, ["sampled", "sampled_attack"]))
    (found,) = [each for each in report.findings if each.name == "fast_are_weaker"]
    assert found.verdict is not None and not advice.run_this(found, report)


def test_the_defaults_of_data_and_places_are_those_of_the_commands():
    declared = {
        n: f.default for each in (EnvironmentOptions, DataOptions, ModelOptions) for n, f in each.model_fields.items()
    }
    assert {name: declared[name] for name in advice.PLACES} == advice.PLACES

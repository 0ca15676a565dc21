"""What may stand together in a section, and what must not."""

from __future__ import annotations

import pytest

from autovul.base.report import build, wording
from autovul.base.result import Metric
from tests.base.report.records import make


def sections(*results):
    return build(list(results)).sections


def notes(section):
    return " ".join(wording.notes(section))


def test_different_data_are_never_pooled():
    found = sections(
        make("darts", value=80.0),
        make("enas", "manual", value=90.0, data_sha256="e1" * 32),
        make("darts", value=70.0, dataset="digits"),
    )
    assert [[network.name for network in section.networks] for section in found] == [["darts"], ["enas"], ["darts"]]
    assert not any(section.comparisons for section in found)
    assert "several different data “cifar10”" in notes(found[0])
    assert "different data" not in notes(found[2])
    assert found[0].conditions != found[1].conditions


def test_experiments_and_algorithms_are_never_pooled():
    found = sections(make(), make(algorithm="other"), make(experiment="validate", algorithm=""))
    assert [section.experiment for section in found] == ["validate", "adv_attack", "adv_attack"]


def test_repetitions_share_a_row_though_their_models_carry_the_seeds_suffix():
    (section,) = sections(make(seed=1), make(seed=2), make("darts_big", seed=2))
    assert [(network.name, len(network.runs)) for network in section.networks] == [("darts", 2), ("darts_big", 1)]
    (section,) = sections(make(seed=1228).replace(model="darts_s7"))
    assert section.networks[0].name == "darts_s7", "a suffix of another seed is part of the name"


def test_an_option_that_varies_within_a_network_divides_the_section():
    low, high = {"pgd_eps": 4 / 255, "iteration": 7}, {"pgd_eps": 16 / 255, "iteration": 7}
    found = sections(make(options=high), make(options=low, value=40.0), make("resnet", "manual", options=low))
    assert [dict(section.setting) for section in found] == [{"pgd_eps": "4/255"}, {"pgd_eps": "16/255"}]
    assert [network.name for network in found[0].networks] == ["resnet", "darts"]
    assert found[1].networks[0].values("success_rate") == [84.0]
    assert len(found[0].comparisons) > 0 and not found[1].comparisons


@pytest.mark.parametrize(("first", "second", "told"), [(None, 0.0, False), (None, None, False), (0.5, 0.0, True)])
def test_an_option_of_structure_that_is_not_given_is_no_difference(first, second, told):
    """A network without dropout has none to give."""
    (section,) = sections(
        make("resnet", "manual", options={"dropout": first}),
        make("vgg", "manual", options={"dropout": second}),
        make("darts", options={"dropout": 0.0}),
    )
    assert ("differ in dropout" in notes(section)) == told
    cells = {"genotype": {"normal": []}}
    (section,) = sections(
        make("darts", options={"dropout": first}, facts=cells), make("enas", options={"dropout": second}, facts=cells)
    )
    assert ("differ in dropout" in notes(section)) == (first != second), "cells have it, as published if not given"
    (section,) = sections(make("a", options={"queries": None}), make("b", options={"queries": 8}))
    assert "queries: not given (a) and 8 (b)" in notes(section)


def test_networks_are_in_the_order_of_groups_and_of_the_numbers_in_their_names():
    names = ["sampled_10", "sampled_9", "sampled_100", "sampled_9b", "sampled_x"]
    (section,) = sections(*(make(name, "sampled") for name in names), make("z", "manual"), make("10", "manual"))
    assert [network.name for network in section.networks] == [
        *("10", "z", "sampled_9", "sampled_9b", "sampled_10", "sampled_100", "sampled_x")
    ]


def test_settings_are_in_the_order_of_their_numbers():
    found = sections(*(make(options={"budget": budget}) for budget in (16000, 2000, 1000)))
    assert [section.setting["budget"] for section in found] == ["1000", "2000", "16000"]


def test_an_option_that_differs_between_networks_is_named():
    (section,) = sections(make("a", options={"epoch": 4, "lr": 0.1}), make("b", options={"epoch": 8, "lr": 0.1}))
    assert dict(section.differing) == {"epoch": {"4": ["a"], "8": ["b"]}}
    assert "These runs differ in epoch, so compare them with care. epoch: 4 (a) and 8 (b)." in notes(section)


def test_an_option_that_came_later_has_the_value_of_before_where_it_is_lacking():
    before, after, many = ({**extra, "iteration": 7} for extra in ({}, {"eot_samples": 1}, {"eot_samples": 10}))
    (section,) = sections(make("a", options=before), make("b", options=after))
    assert not section.differing and not section.setting
    (section,) = sections(make("a", options=before), make("b", options=after), make("c", options=many))
    assert dict(section.differing) == {"eot_samples": {"10": ["c"], "1": ["a", "b"]}}
    found = sections(make("a", options=before), make("a", options=many, value=50.0))
    assert [dict(section.setting) for section in found] == [{"eot_samples": "1"}, {"eot_samples": "10"}]


def test_where_and_how_loudly_a_run_took_place_makes_no_difference():
    first = {"seed": 1, "device": "cpu", "tqdm": True, "suffix": "", "result_dir": "a", "epoch": 2}
    second = {"seed": 2, "device": "cuda", "tqdm": False, "suffix": "_s2", "result_dir": "b", "epoch": 2}
    (section,) = sections(
        make(seed=1, options=first), make(seed=2, options=second), make("enas", seed=2, options=second)
    )
    assert not section.differing and not section.setting


def test_a_narrowed_network_is_marked_and_named():
    narrow, published = {"width": 0.25, "layers": 8}, {"width": 1.0, "layers": 20, "init_channels": None}
    (section,) = sections(make("a", options=narrow), make("b", options=published), make("c", "manual", options={}))
    assert [network.marks for network in section.networks] == [(), ("width 0.25", "layers 8"), ()]
    assert "width: 0.25 (a) and as published (c and b)" in notes(section)
    whole, narrowed = sections(make("a", options=published), make("a", options=narrow))
    assert whole.setting == {"layers": "as published", "width": "as published"}
    assert narrowed.setting == {"layers": "8", "width": "0.25"}


def sized(name, width, seed=1, **changes):
    """A run of a network in a size; its number of parameters is 100,000 times the width."""
    options = {**({} if width is None else {"width": width}), **changes.pop("options", {}), "suffix": f"_s{seed}"}
    return make(name, "manual", seed, options=options, facts={"parameters": 100_000 * (width or 10)}, **changes)


def standing(found):
    return {network.name: network.marks for section in found if not section.is_variants for network in section.networks}


def test_networks_of_unlike_sizes_stand_together_and_variants_of_theirs_apart():
    """Each stands in the size nearest to the others', however many seeds another one has."""
    runs = [sized("a", 0.05), sized("a", 0.1), sized("b", 0.15), sized("c", 0.1), sized("c", 0.2), sized("c", 0.2, 2)]
    runs += [sized("d", 0.1), sized("e", 0.1), make("darts", "nas", 1, options={"layers": 4, "suffix": "_s1"})]
    for order in (runs, runs[::-1]):
        together, *variants = found = sections(*order)
        assert standing(found) == {
            "a": ("width 0.1",),
            "b": ("width 0.15",),
            "c": ("width 0.1",),
            "d": ("width 0.1",),
            "e": ("width 0.1",),
            "darts": ("layers 4",),
        }
        assert together.setting == {} and not together.is_variants and all(each.is_variants for each in variants)
        apart = [(each.setting["width"], [network.name for network in each.networks]) for each in variants]
        assert apart == [("0.05", ["a"]), ("0.2", ["c"])]


def test_of_two_sizes_of_every_network_all_stand_in_the_same():
    widths = {"a": 0.56, "b": 0.6, "c": 0.65, "d": 0.7}
    found = sections(*(sized(name, times * width) for name, width in widths.items() for times in (1, 4)))
    assert standing(found) == {name: (f"width {width}",) for name, width in widths.items()}


def test_a_network_stands_in_one_size_in_all_sections_that_in_which_most_was_measured():
    trained = {"experiment": "train", "algorithm": "", "metrics": {"valid_accuracy": Metric(90.0, "%")}}
    runs = [sized("a", 0.1), sized("a", 0.1, **trained), sized("a", 0.2, 1), sized("a", 0.2, 2), sized("b", 0.2)]
    found = sections(*runs)
    assert standing(found) == {"a": ("width 0.1",), "b": ("width 0.2",)}
    assert [section.experiment for section in found if section.is_variants] == ["adv_attack"]


@pytest.mark.parametrize(("published", "marks"), [("ab", ()), ("a", ("width 0.1",))])
def test_published_sizes_stand_only_beside_published_ones(published, marks):
    narrow = [sized(name, 0.1) for name in "abcd"[: 4 if published == "a" else 3]]
    found = sections(*narrow, *(sized(name, None) for name in published))
    assert standing(found)["a"] == marks


def test_where_a_network_was_not_measured_in_its_own_size_it_stands_in_the_one_that_it_has():
    """No two sections have one setting, and the values of a grid find each other whatever sizes they have in common."""
    runs = [sized(name, 0.1, options={"pgd_eps": eps}) for name in "ab" for eps in (8, 16)]
    runs += [sized("c", 0.1, options={"pgd_eps": 8})]
    runs += [sized("c", 0.2, seed, options={"pgd_eps": 16}) for seed in (1, 2)]
    found = sections(*runs)
    assert [section.setting["pgd_eps"] for section in found] == ["8", "16"]
    assert [[network.marks for network in section.networks] for section in found] == [
        [("width 0.1",)] * 3,
        [("width 0.1",), ("width 0.1",), ("width 0.2",)],
    ]


def test_a_run_that_failed_in_another_size_gives_the_network_neither_its_label_nor_its_size():
    failed = sized("r", 0.5, status="failed", metrics={})
    early = make("r", "manual", 1, options={}, facts={"parameters": 999}, status="failed", metrics={})
    for lost in ([failed], [early], [failed, early]):
        for order in (1, -1):
            runs = [*lost, sized("r", 0.1, 2), sized("q", 0.1, 2)][::order]
            (together,) = [each for each in sections(*runs) if not each.is_variants and len(each.networks) > 1]
            (network,) = [each for each in together.networks if each.name == "r"]
            assert network.label == "r (width 0.1)" and network.facts["parameters"] == 10_000
            assert sum(len(each.networks) for each in sections(*runs)) == 2 + (failed in lost)


def test_a_run_that_failed_early_divides_nothing():
    runs = [sized("a", 0.1, seed, options={"pgd_eps": eps}) for seed in (1, 2) for eps in (8, 16)]
    found = sections(*runs, make("a", "manual", 3, options={}, status="failed", metrics={}))
    assert [section.setting for section in found] == [{"pgd_eps": "8"}, {"pgd_eps": "16"}]
    assert sorted(len(network.runs) for section in found for network in section.networks) == [2, 3]


def test_a_network_that_failed_here_in_a_size_that_ran_nowhere_stands_beside_no_other():
    trained = {"experiment": "train", "algorithm": "", "metrics": {"valid_accuracy": Metric(90.0, "%")}}
    lost = sized("a", 0.5, status="failed", metrics={})
    found = sections(sized("a", 0.1, **trained), lost, sized("b", 0.1))
    assert [(each.experiment, each.is_variants, [n.name for n in each.networks]) for each in found] == [
        ("train", False, ["a"]),
        ("adv_attack", False, ["b"]),
        ("adv_attack", True, ["a"]),
    ]
    assert found[1].setting != found[2].setting and found[2].setting["width"] == "0.5"


def test_networks_of_one_name_in_two_groups_are_no_variants_of_each_other():
    (section,) = sections(sized("a", 0.1), make("a", "nas", 1, options={"width": 0.2, "suffix": "_s1"}))
    assert [network.label for network in section.networks] == ["a (width 0.1)", "a (width 0.2)"]


def test_the_sizes_of_another_training_are_no_variants():
    """Networks of a narrowed scale beside published ones: two sections, whatever width each has."""
    published = [make(name, "manual", options={"suffix": ""}) for name in "abc"]
    narrow = [
        make(name, "manual", options={"suffix": "_small", "width": width}) for name, width in (("a", 0.1), ("b", 0.2))
    ]
    found = {section.setting["suffix"]: section for section in sections(*published, *narrow)}
    assert [n.name for n in found["none"].networks] == ["a", "b", "c"]
    assert [n.label for n in found["_small"].networks] == ["a (width 0.1)", "b (width 0.2)"]
    assert found["_small"].setting == {"suffix": "_small"}


def test_two_records_of_one_run_are_one_observation_and_the_newest_counts():
    old, new = {"created": "2025-01-01T00:00:00Z"}, {"created": "2025-02-01T00:00:00Z"}
    (section,) = sections(make(value=70.0, environment=new), make(value=60.0, environment=old), make(seed=3))
    assert section.networks[0].values("success_rate") == [84.0, 70.0], "by seed"
    assert section.replaced == 1
    assert "1 older record of the same run was left aside" in notes(section)


def test_a_run_that_failed_stands_behind_one_that_ended_however_new_it_is():
    old, new = {"created": "2025-01-01T00:00:00Z"}, {"created": "2025-02-01T00:00:00Z"}
    failed = make(status="failed", metrics={}, environment=new)
    (section,) = sections(make(value=60.0, environment=old), failed)
    assert section.networks[0].values("success_rate") == [60.0]
    (section,) = sections(make(value=60.0, environment=old), make(status="diverged", environment=new))
    assert section.networks[0].values("success_rate") == [], "that a run diverged is a finding"


def test_weights_of_different_scales_are_not_repetitions_of_each_other():
    paper = [make(seed=s, value=80.0, options={"suffix": "" if s == 1228 else f"_s{s}"}) for s in (1228, 1229)]
    fast = [make(seed=s, value=60.0, options={"suffix": f"_fast_s{s}"}) for s in (1228, 1229)]
    found = sections(*(r.replace(model="darts") for r in paper + fast))
    assert {s.setting["suffix"]: s.networks[0].mean("success_rate") for s in found} == {"_fast": 60.0, "none": 80.0}


def test_seeds_that_share_their_weights_are_pointed_out():
    shared = [make(seed=seed, weights_sha256="ab" * 32) for seed in (1, 2)]
    own = [make(seed=seed, weights_sha256=f"{seed}" * 64) for seed in (1, 2)]
    assert "Seeds of every network share weights" in notes(sections(*shared)[0])
    assert "share weights" not in notes(sections(*own)[0])


def test_runs_of_several_code_versions_are_pointed_out():
    other = make("enas", environment={"code_version": "1.0+ffff0000"})
    assert "2 versions of the code" in notes(sections(make(), other)[0])
    assert "versions" not in notes(sections(make(), make("enas"))[0])


def cells(path, seed=1, created="2025-01-01T00:00:00Z", operation="sep_conv_3x3", **changes):
    """A record of a network that was given as a file of cells."""
    plain = make(path.rpartition("/")[2].removesuffix(".yaml"), "yours", seed, **changes)
    return plain.replace(
        options={**plain.options, "model": "darts", "genotype": path},
        facts={**plain.facts, "genotype": {"normal": [[operation, 0]]}},
        environment={**plain.environment, "created": created},
    )


def test_where_a_file_of_cells_lies_is_no_condition():
    mine = [cells("cell.yaml", 1), cells("/far/cell.yaml", 2), cells("other.yaml", 1)]
    (section,) = sections(*mine, make("vgg", "manual"))
    assert [len(network.runs) for network in section.networks if network.group == "yours"] == [2, 1]
    assert "genotype" not in notes(section)


def test_seeds_of_a_network_that_has_changed_since_are_not_pooled():
    old = cells("cell.yaml", 1, created="2025-01-01T00:00:00Z", value=10.0)
    new = cells("cell.yaml", 2, created="2025-01-02T00:00:00Z", operation="max_pool_3x3", value=30.0)
    lost = cells("cell.yaml", 3, status="failed", metrics={}, message="it broke").replace(facts={})
    (section,) = sections(new, old, cells("steady.yaml", 1), lost)
    network = next(network for network in section.networks if network.name == "cell")
    assert network.values("success_rate") == [30.0] and len(network.runs) == 2, "a failure tells of no other cells"
    assert "Records of cell from before its code or cells changed were left aside" in notes(section)
    (section,) = sections(cells("cell.yaml", 1), cells("cell.yaml", 2))
    assert len(section.networks[0].runs) == 2 and "left aside" not in notes(section)
    code = [make("a.b", "yours", n).replace(facts={"source_sha256": str(n)}) for n in (1, 2)]
    (section,) = sections(*code)
    assert len(section.networks[0].runs) == 1


def test_options_of_structure_are_compared_among_networks_that_can_have_them():
    small = {"layers": 4}
    made = {"genotype": {"normal": []}}
    manual = make("vgg", "manual")
    searched = make("darts").replace(options={**make().options, **small}, facts=made)
    (section,) = sections(manual, searched)
    assert "layers" not in notes(section)
    for group in ("nas", "mitigated", "yours"):
        (section,) = sections(manual, searched, make("enas", group).replace(facts=made))
        assert "differ in layers" in notes(section) and "as published (vgg and enas)" in notes(section)

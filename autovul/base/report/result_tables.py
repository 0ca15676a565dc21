"""What the page shows of its sections and relations, as comma-separated values."""

from __future__ import annotations

from collections.abc import Iterator

from autovul.base.report.claim_table import DIFFERENCE, difference_cells
from autovul.base.report.contents import Contents
from autovul.base.report.sections import Section
from autovul.base.report.spreadsheet import Row, table
from autovul.base.report.standing import word

SECTION = ("experiment", "algorithm", "dataset", "data_sha256", "setting")
NETWORKS = (
    *(*SECTION, "network", "group", "size", "metric", "unit", "mean", "low", "high", "over", "seeds", "seed_values"),
    *("parameters", "multiply_adds", "depth", "skips"),
)
COMPARISONS = (
    *(*SECTION, "metric", "unit", "first", "second", "own_network", "first_networks", "second_networks"),
    *("first_mean", "second_mean", *DIFFERENCE, "same_conditions", "doubtful", "standing"),
)
RELATIONS = (
    *("experiment", "claim", "dataset", "data_sha256", "conditions", "metric", "unit", "fact", "within"),
    *("networks", "correlation", "low", "high"),
)


def networks(contents: Contents) -> str:
    """A line for each network and metric of a section: the mean over its seeds, and its 95 % interval.

    The interval is over seeds or, with one seed and a rate, over images; empty where there is none.
    """
    return table(NETWORKS, _networks(contents))


def comparisons(contents: Contents) -> str:
    """A line for each metric and pair of groups of a section: the difference of the groups' means, first minus second.

    Each network of the user's own is compared by itself, and named.
    The columns are those of the claims' table; no claim is judged here.
    """
    return table(COMPARISONS, _comparisons(contents))


def relations(contents: Contents) -> str:
    """A line for each rank correlation of a claim's metric with a fact: over all networks, and within each group."""
    return table(RELATIONS, _relations(contents))


def _shared(section: Section) -> Row:
    setting = "; ".join(f"{name} {value}" for name, value in section.setting.items())
    return {**{name: getattr(section, name) for name in SECTION[:-1]}, "setting": setting}


def _networks(contents: Contents) -> Iterator[Row]:
    for section in contents.sections:
        for network in section.networks:
            for metric in section.metrics:
                values = network.by_seed(metric)
                over_seeds = network.seed_interval(metric)
                interval = over_seeds or network.image_interval(metric)
                yield {
                    **_shared(section),
                    "network": network.name,
                    "group": network.group,
                    "size": ", ".join(network.marks),
                    "metric": metric,
                    "unit": section.unit(metric),
                    "mean": network.mean(metric),
                    "low": interval.low if interval else None,
                    "high": interval.high if interval else None,
                    "over": None if interval is None else "seeds" if over_seeds else "images",
                    "seeds": len(values),
                    "seed_values": " ".join(f"{seed}:{value!r}" for seed, value in sorted(values.items())),
                    **{name: network.facts.get(name) for name in NETWORKS[-4:]},
                }


def _comparisons(contents: Contents) -> Iterator[Row]:
    for section in contents.sections:
        for each in section.comparisons:
            yield {
                **_shared(section),
                "metric": each.metric,
                "unit": section.unit(each.metric),
                "first": each.first,
                "second": each.second,
                "own_network": each.own,
                **dict(zip(("first_networks", "second_networks"), each.difference.networks, strict=True)),
                "first_mean": each.means[0],
                "second_mean": each.means[1],
                **difference_cells(each.difference),
                "same_conditions": not each.confounded,
                "doubtful": "; ".join(each.doubtful),
                "standing": word(each) if each.own else None,
            }


def _relations(contents: Contents) -> Iterator[Row]:
    for finding in contents.findings:
        for relation in contents.relations.get(finding.number, ()):
            groups = [point.network.group for point in relation.points]
            for group, found in {"": relation.correlation, **relation.within}.items():
                yield {
                    "experiment": finding.experiment.name,
                    "claim": finding.name,
                    "dataset": finding.section.dataset,
                    "data_sha256": finding.section.data_sha256,
                    "conditions": "; ".join(finding.conditions),
                    "metric": relation.metric,
                    "unit": relation.unit,
                    "fact": relation.fact,
                    "within": group,
                    "networks": groups.count(group) if group else len(groups),
                    "correlation": found.estimate if found else None,
                    "low": found.low if found else None,
                    "high": found.high if found else None,
                }

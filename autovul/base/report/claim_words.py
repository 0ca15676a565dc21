"""A claim's findings in plain words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from autovul.base.experiments import Claim, Experiment, experiment_names
from autovul.base.report import catalogue, formats, ranges, unmeasured, wording
from autovul.base.report.claims import Finding
from autovul.base.report.controlled import Controlled
from autovul.base.report.side_names import outside, side, side_names
from autovul.base.statistics import Difference, Verdict
from autovul.base.statistics.groups import DECIDED

NO_VERDICT = "no verdict"


def says(experiment: Experiment, claim: Claim) -> str:
    """A claim in a sentence without its end, and whose it is."""
    of_paper = experiment.of_paper and experiment.name in experiment_names()
    whose = "The paper says that" if of_paper else "The claim:"
    return f"{whose} {claim.says}"


def sides(finding: Finding) -> str:
    """Which sides are compared, as a difference."""
    first, second = side_names(finding.claim)
    return f"{first} {formats.MINUS} {second}" if second else first


def expectation(finding: Finding) -> str:
    """What is claimed to come out, in numbers."""
    claim, shown = finding.claim, finding.reading.unit
    if claim.range is not None:
        return f"{_short(claim.range[0])} to {_short(claim.range[1])} {claim.unit or shown}".rstrip()
    if claim.expected is None:
        return claim.direction or formats.NONE
    text = _signed(claim.expected)
    if claim.tolerance is not None:
        text = f"{_signed(claim.expected - claim.tolerance)} to {_signed(claim.expected + claim.tolerance)}"
    return f"{text} {claim.unit or ('points' if shown == '%' else shown)}".rstrip()


def _short(value: float) -> str:
    return f"{value:g}".replace("-", formats.MINUS)


def _signed(value: float) -> str:
    value = round(value, 9)
    return f"{value:+g}".replace("-", formats.MINUS) if value else "0"


def verdict_text(found: Verdict | None) -> str:
    """A verdict in a few words."""
    if found is None:
        return NO_VERDICT
    if (found.direction, found.size) == ("undecided", "across"):
        return "direction and size undecided"
    sizes = {None: "", "inside": "as claimed", "outside": "not as claimed", "across": "undecided"}
    return f"direction {found.direction}{', size ' if found.size else ''}{sizes[found.size]}"


def label(finding: Finding) -> str:
    """The verdict of a claim in a few words; for a range, how many networks are in it."""
    if finding.claim.range is not None:
        text = ranges.label(finding) or NO_VERDICT
        text += f", {len(finding.doubtful)} doubtful" if finding.doubtful else ""
    elif finding.doubtful:
        text = wording.not_judged(finding.doubtful)
    elif finding.claim.goal is None:
        text = "shown, not judged"
    else:
        text = verdict_text(finding.verdict)
    wanted, absent = (sum(map(len, sides)) for sides in (finding.wanted, finding.absent))
    return f"{text} ({wanted - absent} of {wanted} networks)" if absent else text


def tone(finding: Finding) -> str:
    """How the verdict's label is coloured: good, bad or neither."""
    direction = finding.verdict.direction if finding.verdict else None
    return {"holds": "good", "fails": "bad"}.get(direction or "", "open")


def tally(findings: Sequence[Finding]) -> str:
    """How many claims about a difference hold, in a sentence; empty where there are none."""
    judged = [each for each in findings if each.claim.range is None and each.claim.goal is not None]
    if not judged:
        return ""
    counts = Counter(each.verdict.direction if each.verdict else NO_VERDICT for each in judged)
    claims = f"{formats.plural(len(judged), 'claim')} about a difference"
    if counts[NO_VERDICT] == len(judged):
        chance = all(not each.doubtful and not each.confounds and each.reading.seeds[0] == 1 for each in judged)
        why = ": with one seed per network, design cannot be told from chance" if chance else ""
        return f"No verdict on {'any of ' if len(judged) > 1 else ''}{claims}{why}."
    words = {"holds": "holds for", "fails": "fails for", "undecided": "is undecided for"}
    parts = [f"{text} {counts[direction]}" for direction, text in words.items() if counts[direction]]
    rest = f"; {counts[NO_VERDICT]} {'has' if counts[NO_VERDICT] == 1 else 'have'} {NO_VERDICT}"
    found = f"the direction {formats.listed(parts)}, before controls{rest if counts[NO_VERDICT] else ''}"
    return f"Of {claims}, {found}."


def sentences(finding: Finding) -> list[str]:
    """What was found, the two answers, and what is missing for a verdict."""
    reading, shown = finding.reading, finding.reading.unit
    metric = catalogue.metric_info(reading.metric).title
    if finding.claim.range is not None:
        return _of_a_range(finding)
    difference = reading.difference
    if difference is None:
        return [_lacking(finding)]
    first, second = (
        f"{name} {formats.with_unit(reading.mean(members), shown)}"
        for name, members in zip(side_names(finding.claim), (reading.first, reading.second), strict=True)
    )
    size = formats.with_unit(difference.estimate, shown, signed=True)
    found = [f"{metric}: {first}, {second}; the difference is {size}."]
    if turned := wording.below_chance(
        reading.metric, [reading.mean(reading.first) or 0, reading.mean(reading.second) or 0]
    ):
        found.append(turned)
    found += [doubts(finding)] if finding.doubtful else []
    found += [_these_networks(finding, difference, shown), _in_general(finding, difference, shown)]
    share = finding.share_between_networks
    return found if share is None else [*found, wording.share_text(share)]


def _these_networks(finding: Finding, difference: Difference, shown: str) -> str:
    interval, repeats = difference.these_networks, finding.reading.seeds
    if interval is None:
        found = (
            "These networks: a side has one seed a network, so that how much of the difference is chance is not known"
        )
        return f"{found}." if finding.claim.in_general or finding.doubtful else f"{found} and no verdict is possible."
    seeds = f"{repeats[0]} to {repeats[1]} seeds" if repeats[0] != repeats[1] else f"{repeats[0]} seeds"
    text = f"These networks ({seeds} each): 95 % interval {formats.interval_text(interval, shown, signed=True)}"
    if finding.claim.goal is None:
        return f"{text}. The claim gives no number, so nothing is judged."
    if finding.confounds:
        return f"{text}. {_conditions(finding)}"
    if finding.claim.in_general or finding.doubtful:
        return f"{text}."
    if finding.verdict is None:
        return f"{text}. No verdict: all seeds gave the same values, so that nothing tells what chance does."
    if finding.verdict.direction == "undecided":
        return f"{text}: it holds 0, so the direction is undecided. {more_seeds(finding)}"
    return f"{text}: {verdict_text(finding.verdict)} ({expectation(finding)} expected)."


def _conditions(finding: Finding) -> str:
    how = (f"{name} {'/'.join(left)} against {'/'.join(right)}" for name, (left, right) in finding.confounds.items())
    return f"No verdict: the sides ran under different conditions, {formats.listed(how, 8)}."


def doubts(finding: Finding) -> str:
    """Which networks of the two sides are doubtful, if any are; the section says why."""
    found = finding.doubtful
    return f"{wording.not_judged(found).capitalize()}: {formats.listed(found, 8)}." if found else ""


def reasons(finding: Finding) -> str:
    """Why there is no verdict, where conditions or doubts are the reason, and `notices`."""
    found = [_conditions(finding) if finding.confounds else "", doubts(finding), notices(finding)]
    return " ".join(filter(None, found))


def more_seeds(finding: Finding) -> str:
    """How many more seeds would decide the direction."""
    needed, there = finding.seeds_needed, finding.reading.seeds[0]
    if needed is None:
        return "If the difference is as small as measured, even 100 seeds a network would not decide it."
    more = max(1, needed - there)
    return (
        f"If difference and spread stay as measured, {formats.plural(more, 'more seed')} a network"
        f" ({there + more} in all) would decide it in four of five repetitions."
    )


def _in_general(finding: Finding, difference: Difference, shown: str) -> str:
    interval, permutation = difference.architectures, difference.permutation
    against = f"{difference.networks[0]} against {difference.networks[1]} networks"
    if interval is None or permutation is None:
        return f"Architectures in general ({against}): with one network on a side nothing can be said."
    clear = interval.excludes_zero and permutation.p_value <= DECIDED
    found = "the sides differ by more than their networks do" if clear else "undecided"
    if finding.claim.in_general:
        found = f"{verdict_text(finding.verdict)}, by the wider interval and this test, as the claim is in general"
        if finding.verdict is not None and finding.verdict.direction == "undecided":
            found += "; more of them narrow it, more seeds hardly"
    return (
        f"Architectures in general ({against}): 95 % interval {formats.interval_text(interval, shown, signed=True)},"
        f" {wording.p_phrase(permutation.p_value)}{'' if finding.confounds or finding.doubtful else f': {found}'}."
    )


def _of_a_range(finding: Finding) -> list[str]:
    if not finding.reading.first:
        return [_lacking(finding)]
    found = [*ranges.sentences(finding, expectation(finding))]
    found += [doubts(finding)] if finding.doubtful else []
    if finding.reading.seeds[0] < 2 and ranges.counted(finding):
        found.append("Some networks have one seed, so that their chance is not known.")
    return found


def _lacking(finding: Finding) -> str:
    claim, reading = finding.claim, finding.reading
    metric = f"{catalogue.metric_info(claim.metric).title} ({claim.metric})"
    if claim.halves:
        return f"No two halves of the networks ({side(claim.first)}) that have {metric}."
    names = zip(side_names(claim), (reading.first, reading.second), strict=True)
    missing = [name for name, there in names if name and not there]
    return f"No records of {formats.listed(missing)} have {metric}: no verdict is possible."


def notices(finding: Finding) -> str:
    """What is not in the claim's means, and in what the networks in them are unlike; empty where there is nothing."""
    reading, found = finding.reading, []
    if any(finding.absent):
        shares = [
            f"{len(wanted) - len(absent)} of {len(wanted)} {side(names)}"
            for names, wanted, absent in zip(
                (finding.claim.first, finding.claim.second), finding.wanted, finding.absent, strict=True
            )
            if wanted
        ]
        lacking = formats.listed([name for side in finding.absent for name in side], 8)
        found.append(f"Measured: {'; '.join(shares)}. Without a value: {lacking}.")
    found.append(outside(finding.claim, reading))
    if finding.unmeasured:
        parts = [f"{network.label} ({why})" for network, why in finding.unmeasured]
        found.append(f"In no mean: {formats.listed(parts, 8)}.")
    reasons = (
        (network, filter(None, (wording.status_text(network), unmeasured.why(network, reading.metric))))
        for network in reading.networks
    )
    if troubled := [f"{network.label} ({why})" for network, each in reasons if (why := "; ".join(each))]:
        found.append(f"Some seeds are in no mean: {formats.listed(troubled, 8)}.")
    if mixed := finding.mixed:
        found.append(
            f"Not all networks ran under the same conditions ({formats.listed(mixed, 8)}): the section says which."
        )
    return " ".join(filter(None, found))


def survival(controlled: Controlled, finding: Finding) -> str:
    """Whether the claim's verdict is the control's, in a word or two."""
    found = controlled.survives(finding.verdict)
    if found == "not known" and controlled.verdict is not None:
        return f"alone: {controlled.verdict.direction}"
    return {
        "yes": "survives",
        "no": "turns",
        "undecided": "no longer decided",
        "not known": formats.NONE,
        "not needed": "as it stands",
    }[found]


def survivals(found: Sequence[Controlled], finding: Finding) -> str:
    """How many of the controls that say something the verdict survives."""
    told = [each.survives(finding.verdict) for each in found]
    known = [each for each in told if each not in ("not known", "not needed")]
    if not known:
        return formats.NONE
    silent = told.count("not known")
    return f"{known.count('yes')} of {len(known)}{f', {silent} not known' if silent else ''}"

"""Which arguments stay with the sweep and which are passed on."""

from __future__ import annotations

import pytest

from autovul.base.errors import UsageError
from autovul.base.sweep.passing import split
from autovul.vision import commands

OWN, KNOWN = commands.flags_of("reproduce"), commands.known_options()


@pytest.mark.parametrize(
    ("line", "stays", "passed"),
    [
        ("fig2 fig12 --seeds 3", "fig2 fig12 --seeds 3", {}),
        ("--lr 0.1 fig2", "fig2", {"lr": "0.1"}),
        ("--download --lr=0.1 --scale smoke", "--scale smoke", {"download": True, "lr": "0.1"}),
        ("-d digits --no-save --pgd-eps 4", "", {"dataset": "digits", "save": False, "pgd_eps": "4"}),
        ("--target_idx -1", "", {"target_idx": "-1"}),
        ("--no_flip --dry-run", "--dry-run", {"no_flip": True}),
        ("--config mine.yaml", "--config mine.yaml", {}),
    ],
)
def test_split(line, stays, passed):
    assert split(line.split(), OWN, KNOWN) == (stays.split(), passed)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--seed5 3", r"--seed5: unknown flag \(nearest: --seed"),
        ("--lr", "--lr: needs a value"),
        ("--lr 1 --lr 2", "--lr: given twice"),
        ("--sgm", "--sgm: the skip gradient method is left out"),
    ],
)
def test_mistakes(line, message):
    with pytest.raises(UsageError, match=message):
        split(line.split(), OWN, KNOWN)


def test_a_flag_is_no_value():
    """The next flag would be swallowed: with --dry_run, the sweep would run for real."""
    with pytest.raises(UsageError, match="--model_dir: needs a value"):
        split(["table1", "--model_dir", "--dry_run"], OWN, KNOWN)

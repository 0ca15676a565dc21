"""What the Dockerfile says twice, and what it takes from the checkout."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

from autovul import __version__

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_the_label_tells_this_version():
    assert re.findall(r"^ARG VERSION=(.*)$", TEXT, flags=re.MULTILINE) == [__version__]


def test_what_is_copied_is_there_and_not_ignored():
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
    copied = [word for line in re.findall(r"^COPY (?!--)(.*)$", TEXT, flags=re.MULTILINE) for word in line.split()[:-1]]
    assert len(copied) == 5
    for word in copied:
        assert (ROOT / word).exists()
        assert f"!{word}" in ignored
    assert not any(fnmatch.fnmatch("data", line[1:]) for line in ignored if line.startswith("!"))


def test_it_does_not_run_as_root_and_the_last_stage_has_cuda():
    stages = re.findall(r"^FROM \S+ AS (\S+)$", TEXT, flags=re.MULTILINE)
    assert stages[-1] == "cuda"
    assert re.findall(r"^USER (.*)$", TEXT, flags=re.MULTILINE) == ["autovul"]

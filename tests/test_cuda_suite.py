"""The suite for real CUDA devices, tried where there is none: it collects, and its cheapest part passes on the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CHEAP = "test_data.py or test_plain_training or test_what_waits or test_training_names"


def run(*words: str, **environment: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "AUTOVUL_CUDA"))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/cuda", *words]
    done = subprocess.run(command, cwd=ROOT, env={**clean, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_what_is_cheap_passes_on_the_cpu():
    words = run("-m", "cuda", "-k", CHEAP, AUTOVUL_CUDA_TESTS_ON="cpu").split()
    passed = int(words[words.index("passed,") - 1])
    assert passed >= 14 and "skipped," not in words and "failed," not in words


@pytest.mark.slow
def test_without_a_device_everything_is_skipped_and_says_why():
    output = run("-m", "cuda", "-k", "test_data.py or test_waits.py", CUDA_VISIBLE_DEVICES="")
    assert "PyTorch sees no CUDA device here; AUTOVUL_CUDA_TESTS_ON=cpu tries" in output
    assert " passed" not in output

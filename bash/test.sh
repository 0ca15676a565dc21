#!/usr/bin/env bash
# Makes a virtual environment, installs autovul with its development tools, and runs the tests.
# Arguments go to pytest: bash bash/test.sh -m slow tests/base
set -euo pipefail
# shellcheck source=bash/_environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/_environment.sh"

install "[dev]"
cd "$root"
exec "$venv/bin/python" -m pytest "$@"

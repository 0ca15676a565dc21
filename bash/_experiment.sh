#!/usr/bin/env bash
# What every figure's script calls: _experiment.sh EXPERIMENT [ARGUMENT...], from whatever folder you are in.
# MODELS (a list), SEEDS and SCALE choose a part of it. All arguments go to `autovul reproduce`, where -h explains them;
# one that holds several, such as "--download --lr 0.1", is taken apart at its blanks.
set -euo pipefail
# shellcheck source=bash/_environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/_environment.sh"

words=(reproduce "$1")
shift
if [ -n "${MODELS:-}" ]; then
    read -r -d '' -a names <<< "${MODELS//,/ }" || true
    words+=("--models=$(IFS=,; echo "${names[*]}")")
fi
[ -z "${SEEDS:-}" ] || words+=("--seeds=$SEEDS")
[ -z "${SCALE:-}" ] || words+=("--scale=$SCALE")
for argument in "$@"; do
    if [[ "$argument" =~ ^[[:space:]]*- ]]; then
        read -r -d '' -a parts <<< "$argument" || true
        words+=("${parts[@]}")
    elif [ -n "$argument" ]; then
        words+=("$argument")
    fi
done

python="$venv/bin/python"
[ -x "$python" ] || python="${PYTHON:-python3}"
PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" exec "$python" -m autovul "${words[@]}"

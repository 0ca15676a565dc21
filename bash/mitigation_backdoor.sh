#!/usr/bin/env bash
# Backdoors against the mitigated cells.
exec bash "$(dirname "${BASH_SOURCE[0]}")/_experiment.sh" mitigation_backdoor "$@"

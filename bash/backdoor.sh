#!/usr/bin/env bash
# Figure 7: backdoors.
exec bash "$(dirname "${BASH_SOURCE[0]}")/_experiment.sh" fig7 "$@"

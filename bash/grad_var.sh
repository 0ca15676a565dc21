#!/usr/bin/env bash
# Figure 12: gradient variance.
exec bash "$(dirname "${BASH_SOURCE[0]}")/_experiment.sh" fig12 "$@"

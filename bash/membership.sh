#!/usr/bin/env bash
# Figure 10: membership inference.
exec bash "$(dirname "${BASH_SOURCE[0]}")/_experiment.sh" fig10 "$@"

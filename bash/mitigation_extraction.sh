#!/usr/bin/env bash
# Figure 16: extraction of the mitigated cells.
exec bash "$(dirname "${BASH_SOURCE[0]}")/_experiment.sh" fig16 "$@"

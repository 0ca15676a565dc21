#!/usr/bin/env bash
# Figure 17: poisoning of the mitigated cells.
exec bash "$(dirname "${BASH_SOURCE[0]}")/_experiment.sh" fig17 "$@"

#!/usr/bin/env bash
# Table 4: trains the mitigated cells; clean accuracy.
exec bash "$(dirname "${BASH_SOURCE[0]}")/_experiment.sh" table4 "$@"

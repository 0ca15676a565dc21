#!/usr/bin/env bash
# Table 1: trains every network; clean accuracy.
exec bash "$(dirname "${BASH_SOURCE[0]}")/_experiment.sh" table1 "$@"

#!/usr/bin/env bash
# Figure 9: model extraction.
exec bash "$(dirname "${BASH_SOURCE[0]}")/_experiment.sh" fig9 "$@"

#!/usr/bin/env bash
# Figure 6: data poisoning.
exec bash "$(dirname "${BASH_SOURCE[0]}")/_experiment.sh" fig6 "$@"

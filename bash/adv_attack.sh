#!/usr/bin/env bash
# Figure 2: adversarial examples.
exec bash "$(dirname "${BASH_SOURCE[0]}")/_experiment.sh" fig2 "$@"

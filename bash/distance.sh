#!/usr/bin/env bash
# Distance to the nearest adversarial example.
exec bash "$(dirname "${BASH_SOURCE[0]}")/_experiment.sh" distance "$@"

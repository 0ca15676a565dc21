#!/usr/bin/env bash
# How many neurons TrojanNN excites, and how well its backdoor works.
exec bash "$(dirname "${BASH_SOURCE[0]}")/_experiment.sh" neuron_number "$@"

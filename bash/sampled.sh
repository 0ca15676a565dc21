#!/usr/bin/env bash
# Cells drawn at random: is what trains fast early on easier to attack, and what a search found easier than its space?
exec bash "$(dirname "${BASH_SOURCE[0]}")/_experiment.sh" \
    sampled sampled_attack sampled_distance sampled_variance "$@"

#!/usr/bin/env bash
# Loss contours around weights and images.
exec bash "$(dirname "${BASH_SOURCE[0]}")/_experiment.sh" loss_contour "$@"

#!/usr/bin/env bash
# Makes a virtual environment, installs autovul, and compares two networks that people designed with two that a search
# found: all four, narrowed, are trained on the bundled handwritten digits, attacked in five ways and looked into by
# both analyses, twice over. Arguments go to `autovul reproduce`. What is written goes to ./quickstart.
set -euo pipefail
# shellcheck source=bash/_environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/_environment.sh"

install ""
mkdir -p quickstart
cd quickstart
"$venv/bin/autovul" reproduce table1 fig2 fig6 fig7 fig9 fig10 fig12 loss_contour \
    --scale smoke --models resnet18_comp,vgg13_bn_comp,darts,drnas "$@"
echo
echo "Open $PWD/data/report/report.html in a browser."

#!/usr/bin/env bash
# Makes a virtual environment, installs autovul, and compares two networks that people designed with two that a search
# found: all four, narrowed, are trained on the bundled handwritten digits, attacked in five ways and looked into by
# both analyses. One seed (SEEDS=3 asks for more), short schedules and no controls, for speed; arguments go to
# `autovul reproduce`. What is written goes to ./quickstart.
set -euo pipefail
# shellcheck source=bash/_environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/_environment.sh"

install ""
mkdir -p quickstart
cd quickstart
words=(--scale smoke --models "resnet18_comp,vgg13_bn_comp,darts,snas_mild" --seeds "${SEEDS:-1}")
controls=(--norm inf --sample_num 50 --confidence_filter none --init published --norm_statistics running)
"$venv/bin/autovul" reproduce table1 fig2 distance fig6 fig7 fig9 fig10 fig12 loss_contour "${words[@]}" "${controls[@]}" "$@"
echo
echo "Open $PWD/data/report/report.html in a browser."
if [ "${SEEDS:-1}" = 1 ]; then
    echo "One seed gives no verdicts. SEEDS=3 bash bash/quickstart.sh adds two more and keeps what is there."
fi
echo "Commands that the page names are for this folder: cd $PWD && . $venv/bin/activate"

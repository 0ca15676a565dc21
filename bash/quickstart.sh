#!/usr/bin/env bash
# Makes a virtual environment, installs autovul, and compares two networks that people designed with two that a search
# found: all four, narrowed, are trained on the bundled handwritten digits, attacked in five ways and looked into by
# both analyses. For speed: short schedules, no controls, and a second seed, without which there are no verdicts, of
# what takes little time only (SEEDS=3 repeats everything so often). Arguments go to `autovul reproduce`. What is written
# goes to ./quickstart.
set -euo pipefail
# shellcheck source=bash/_environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/_environment.sh"

install ""
mkdir -p quickstart
cd quickstart
run() {
    "$venv/bin/autovul" reproduce --scale smoke --models resnet18_comp,vgg13_bn_comp,darts,snas_mild \
        --norm inf --sample_num 50 --init published --norm_statistics running "$@"
}
run table1 fig2 distance fig6 fig7 fig9 fig10 fig12 loss_contour --seeds "${SEEDS:-1}" --confidence_filter none "$@"
if [ -z "${SEEDS:-}" ] && [ $# = 0 ]; then
    run table1 fig2 distance fig12 --seeds 2
fi
echo
echo "Open $PWD/data/report/report.html in a browser."
if [ -z "${SEEDS:-}" ]; then
    echo "Where there is one seed there is no verdict. SEEDS=3 bash bash/quickstart.sh adds what is missing and keeps what is there."
fi
echo "Commands that the page names are for this folder: cd $PWD && . $venv/bin/activate"

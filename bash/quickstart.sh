#!/usr/bin/env bash
# Makes a virtual environment, installs autovul, and compares a network that people designed with one that a search
# found: both are trained on the bundled handwritten digits, attacked in the five ways, and compared in a report.
# Networks and attacks are small ones, so that two cores need about four minutes: the figures show that everything
# works, and little of the networks. What is written goes to ./quickstart.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_environment.sh"

install ""
mkdir -p quickstart
cd quickstart

manual=(--model resnet18_comp --width 0.125)
searched=(--model darts --layers 4 --init_channels 8 --dropout 0)
recipe=(--epoch 8 --batch_size 32 --lr 0.05 --lr_scheduler --grad_clip 5 --validate_interval 2)
short=(--batch_size 32 --lr 0.05)

run() {
    echo
    echo "> autovul $*"
    "$venv/bin/autovul" "$@"
}

echo "Narrowed networks, for speed: ${manual[*]} and ${searched[*]}"
for network in manual searched; do
    declare -n flags="$network"
    run train --dataset digits "${flags[@]}" "${recipe[@]}"
    run adv_attack --dataset digits "${flags[@]}" --require_class
    run poison --dataset digits "${flags[@]}" "${short[@]}" --epoch 3 --train_mode dataset --poison_percent 0,0.4
    run backdoor --dataset digits "${flags[@]}" --batch_size 32 --lr 0.02 --epoch 3 --poison_percent 0.1
    run extraction --dataset digits "${flags[@]}" "${short[@]}" --epoch 6 --nb_stolen 200,400
    run membership --dataset digits "${flags[@]}" --sample_num 20 --confidence_filter none --max_iter 3
    run grad_var --dataset digits "${flags[@]}" --sample_num 64
done
run report
echo
echo "Open $PWD/data/report/report.html in a browser."

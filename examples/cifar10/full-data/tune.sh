#!/usr/bin/env bash
# Six trials of two epochs for each method, on the validation images: bash tune.sh [METHOD...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export OMP_NUM_THREADS=1

tune() { # NAME FLAG...
    kd tune resnet8.json --name "tune-full-$1" --trials 6 --final-seeds 0 --set train.epochs=2 --set train.compile=false \
        --search "optimizer.lr=log(0.03..0.3)" "${@:2}"
}

[ $# -gt 0 ] || set -- alone kd dkd dist
for name in "$@"; do
    case $name in
        alone)
            tune alone --set distiller=vanilla --set teacher=null --set teacher_cache=null \
                --search task.label_smoothing=0,0.1,0.2
            ;;
        kd)
            tune kd --search distiller.temperature=1..8 --search "distiller.weight=log(0.3..3)"
            ;;
        dkd)
            tune dkd --set distiller=dkd --set distiller.warmup_epochs=0 \
                --search distiller.temperature=1..8 --search "distiller.beta=log(0.5..8)"
            ;;
        dist)
            tune dist --set distiller=dist --search distiller.temperature=1..4 --search "distiller.weight=log(0.5..8)"
            ;;
        *)
            echo "tune.sh: there is no method '$name': alone, kd, dkd, dist" >&2
            exit 2
            ;;
    esac
done

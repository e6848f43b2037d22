#!/usr/bin/env bash
# Six trials of one epoch for each method, on the validation images of the 2,000 labels: bash tune.sh [METHOD...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export OMP_NUM_THREADS=1

tune() { # NAME FLAG...: all trials read one teacher cache
    kd tune 2000.json --name "tune-few-labels-$1" --trials 6 --final-seeds 0 --set train.epochs=1 \
        --search "optimizer.lr=log(0.03..0.3)" "${@:2}"
}
cached=(--set teacher_cache.augmentations=1 --set "teacher_cache.folder=$PWD/../../../runs/few-labels-tune-cache")

[ $# -gt 0 ] || set -- alone kd dkd dist srd pkt
for name in "$@"; do
    case $name in
        alone)
            tune alone --set distiller=vanilla --set data.labelled_fraction=null --set data.sampling=weights \
                --set teacher=null --set teacher_cache=null --search task.label_smoothing=0,0.1,0.2
            ;;
        kd)
            tune kd "${cached[@]}" --search distiller.temperature=1..8 --search "distiller.weight=log(0.3..3)"
            ;;
        dkd)
            tune dkd "${cached[@]}" --set distiller=dkd --set distiller.warmup_epochs=0 \
                --set data.labelled_fraction=null --set data.sampling=weights \
                --search distiller.temperature=1..8 --search "distiller.beta=log(0.5..8)"
            ;;
        dist)
            tune dist "${cached[@]}" --set distiller=dist --search distiller.temperature=1..4 \
                --search "distiller.weight=log(0.5..8)"
            ;;
        srd)
            tune srd "${cached[@]}" --set distiller=srd --search "distiller.weight=log(0.3..10)"
            ;;
        pkt)
            tune pkt "${cached[@]}" --set distiller=pkt --search "distiller.weight=log(3000..300000)"
            ;;
        *)
            echo "tune.sh: there is no method '$name': alone, kd, dkd, dist, srd, pkt" >&2
            exit 2
            ;;
    esac
done

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

[ $# -gt 0 ] || set -- alone kd dkd dkd-quarter dist srd pkt srrl kd-srd
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
        dkd-quarter) # the images of the other methods, a quarter of each batch with labels
            tune dkd-quarter "${cached[@]}" --set distiller=dkd --set distiller.warmup_epochs=0 \
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
        srrl)
            tune srrl "${cached[@]}" --set distiller=srrl --search "distiller.weight=log(0.01..1)" \
                --search "distiller.beta=log(0.1..10)"
            ;;
        kd-srd) # logits and embeddings together, kd with its own default values
            tune kd-srd "${cached[@]}" --set 'distiller=[{"name": "kd"}, {"name": "srd"}]' --set task.weight=0.1 \
                --search distiller.0.temperature=1..8 --search "distiller.1.weight=log(0.03..3)"
            ;;
        *)
            echo "tune.sh: there is no method '$name': alone, kd, dkd, dkd-quarter, dist, srd, pkt, srrl, kd-srd" >&2
            exit 2
            ;;
    esac
done

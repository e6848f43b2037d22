#!/usr/bin/env bash
# Six trials of two epochs for each method of a student, on the validation images: bash tune.sh STUDENT [METHOD...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export OMP_NUM_THREADS=1

student=${1:-} more=()
[ $# -eq 0 ] || shift
case $student in
    resnet8) name=tune-full methods=(alone kd dkd dist) lr="log(0.03..0.3)" warmup=0 ;;
    resnet20) name=tune-resnet20 methods=(alone kd dist) lr="log(0.03..0.3)" warmup=0 ;;
    vit) name=tune-vit methods=(alone kd dist ofa) lr="log(0.0003..0.003)" warmup=0.25 ;;
    mixer)
        name=tune-mixer methods=(alone kd dist ofa) lr="log(0.0003..0.003)" warmup=0.25
        # the values of mixer.yaml were found with the teacher of the ViT
        more=(--set teacher.run=teacher-short.json --set train.precision=bf16
            --set teacher_cache.folder=../../../runs/full-teacher-short-cache)
        ;;
    *)
        echo "tune.sh: there is no student '$student': resnet8, resnet20, vit, mixer" >&2
        exit 2
        ;;
esac

tune() { # METHOD FLAG...
    kd tune "$student.json" --name "$name-$1" --trials 6 --final-seeds 0 --set train.epochs=2 --set train.compile=false \
        --set "scheduler.warmup_epochs=$warmup" --search "optimizer.lr=$lr" "${more[@]}" "${@:2}"
}

[ $# -gt 0 ] || set -- "${methods[@]}"
for method in "$@"; do
    case $method in
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
        ofa)
            tune ofa --set distiller=ofa --search "distiller.stage_weight=log(0.03..1)" --search distiller.eps=1,1.5,2
            ;;
        *)
            echo "tune.sh: there is no method '$method': alone, kd, dkd, dist, ofa" >&2
            exit 2
            ;;
    esac
done

#!/usr/bin/env bash
# The wheels in a clean environment: kdcore with kd-classic works; kd-feature's wheel adds to the lists.
set -euo pipefail
wheels=$1
environment=$wheels/smoke
cp -Rl "$wheels/base" "$environment" # kdcore's wheel, see .ci/run
install() { uv pip install --quiet --python "$environment/bin/python" "$@"; }
kd="$environment/bin/kd"
cd "$environment"

install "$wheels"/kd_classic-*.whl scikit-learn
"$kd" --help >/dev/null
"$kd" list-distillers --json >before.json
grep -q '"dkd"' before.json
if grep -q '"fitnet"' before.json; then echo "fitnet is listed without kd-feature" >&2; exit 1; fi

cat >spec.json <<'SPEC'
{"student": {"model": "resnet10t"}, "teacher": {"model": "resnet10t"}, "distiller": "fitnet", "data": {"image_size": 32}}
SPEC
status=0
"$kd" validate spec.json 2>message.txt || status=$?
cat message.txt
[ "$status" = 2 ] || { echo "a missing plugin ended with $status" >&2; exit 1; }
grep -q 'pip install kd-feature' message.txt

install "$wheels"/kd_feature-*.whl
"$kd" list-distillers --json >after.json
grep -q '"fitnet"' after.json

cat >spec.json <<'SPEC'
{"name": "smoke", "student": {"model": "resnet10t"}, "teacher": {"model": "resnet10t"}, "distiller": "dkd",
 "data": {"image_size": 32, "train_samples": 64}, "train": {"epochs": 1, "batch_size": 32}}
SPEC
"$kd" run spec.json --json >summary.json
grep -q '"status": "finished"' summary.json
"$environment/bin/python" - <<'PYTHON'
import timm
timm.create_model("local-dir:runs/smoke/student", pretrained=True)
PYTHON
echo "wheels: ok"

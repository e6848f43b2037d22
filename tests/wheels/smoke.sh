#!/usr/bin/env bash
# The wheels in clean environments: kdcore with kd-classic runs a spec and has no command of another package; each package
# adds its commands, and takes them away again. The commands that kd prints for what is missing are run as they stand.
set -euo pipefail
wheels=$1
root=$wheels/smoke
mkdir "$root"
cd "$root"
# a machine may have versions that pip has to take
export OMP_NUM_THREADS=1 PIP_CONSTRAINT=/dev/null

fail() { echo "$*" >&2; exit 1; }
environment() { # NAME: kdcore's wheel alone, see .ci/run
    cp -Rl "$wheels/base" "$root/$1"
    kd=$root/$1/bin/kd python=$root/$1/bin/python
}
lists() { "$kd" --help | grep -Eq "^  $1( |\$)"; }
# WORD COMMAND...: the command ends with 2 and prints how to install WORD, which is in the variable `hint` then
missing() {
    local word=$1 status=0
    shift
    "$@" >message.txt 2>&1 || status=$?
    [ "$status" = 2 ] || { cat message.txt; fail "'$*' ended with $status"; }
    hint=$(sed -n "s/^ *\(.*pip install .*\)/\1/p" message.txt)
    [[ $hint == *"pip install $word"* ]] || { cat message.txt; fail "'$*' does not say how to install $word"; }
}
as_printed() { bash -c "$hint" >install.log 2>&1 || { cat install.log; fail "$hint"; }; }

# the packages and their commands, as kd knows them, those first that others need
environment core
packages=$("$python" - <<'PYTHON'
from kdcore.plugins.known import index
from kdcore.plugins.sources import NEEDS

found = {}
for command, package in index()["command"].items():
    found.setdefault(package, []).append(command)
for package in sorted(found, key=lambda name: (len(NEEDS.get(name, ())), name)):
    print(package, *found[package])
PYTHON
)
[[ $packages == *"kd-report data eval report"* ]] || fail "these commands are known: $packages"

echo "-- kdcore with kd-classic"
"$kd" install kd-classic >install.log 2>&1 || { cat install.log; fail "kd install kd-classic"; }
"$kd" list-distillers --json >before.json
grep -q '"dkd"' before.json
if grep -q '"fitnet"' before.json; then fail "fitnet is listed without kd-feature"; fi
while read -r package commands; do
    for command in $commands; do
        if lists "$command"; then fail "kd $command is there without $package"; fi
    done
done <<<"$packages"

cat >spec.json <<'SPEC'
{"name": "smoke", "student": {"model": "resnet10t"}, "teacher": {"model": "resnet10t"}, "distiller": "dkd",
 "data": {"image_size": 32, "train_samples": 64, "eval_samples": 100}, "train": {"epochs": 1, "batch_size": 32}}
SPEC
missing '"scikit-learn' "$kd" run spec.json
as_printed
"$kd" run spec.json --json >summary.json 2>messages.txt
grep -q '"status": "finished"' summary.json
if grep -qi report messages.txt || [ -e runs/smoke/report.html ]; then cat messages.txt; fail "a report without kd-report"; fi
"$python" - <<'PYTHON'
import timm
timm.create_model("local-dir:runs/smoke/student", pretrained=True)
PYTHON

echo "-- a method that is missing"
missing kd-feature "$kd" validate spec.json --set distiller=fitnet
as_printed
"$kd" list-distillers --json >after.json
grep -q '"fitnet"' after.json

while read -r package commands; do
    echo "-- $package: $commands"
    for command in $commands; do
        missing "$package" "$kd" "$command" runs/smoke
    done
    as_printed
    for command in $commands; do
        lists "$command" || fail "kd --help does not list $command of $package"
        "$kd" "$command" --help >/dev/null
    done
done <<<"$packages"
"$kd" report runs/smoke >/dev/null 2>&1
[ -s runs/smoke/report.html ] || fail "kd report made no report"
"$kd" export runs/smoke --to torch >/dev/null 2>&1
[ -s runs/smoke/export/torch/model.safetensors ] || fail "kd export made no student"
KD_STRICT_PLUGINS=1 "$kd" plugins
"$kd" doctor >doctor.txt || { cat doctor.txt; fail "kd doctor"; }

echo "-- without them again"
while read -r package commands; do
    "$kd" uninstall "$package" --yes >install.log 2>&1 || { cat install.log; fail "kd uninstall $package"; }
    for command in $commands; do
        if lists "$command"; then fail "kd $command is there without $package"; fi
        missing "$package" "$kd" "$command" runs/smoke
    done
done < <(tac <<<"$packages")
"$kd" validate spec.json
"$kd" list-distillers --json | cmp - after.json

echo "-- by pip"
environment by-pip
"$python" -m ensurepip >/dev/null
"$kd" install kd-classic >install.log 2>&1 || { cat install.log; fail "kd install kd-classic"; }
grep -q "^$python -m pip install kd-classic torch==" install.log
missing kd-report "$kd" report
[[ $hint == "$python -m pip install kd-report --find-links $wheels" ]] || fail "$hint"
as_printed
lists report

echo "-- everything"
environment all
missing kd-report "$kd" report
"$kd" install kd-all >install.log 2>&1 || { cat install.log; fail "kd install kd-all"; }
while read -r package commands; do
    for command in $commands; do
        lists "$command" || fail "kd-all does not bring $command"
    done
done <<<"$packages"
echo "wheels: ok"

#!/usr/bin/env bash
# Plugins as third parties have them: the examples, and a new one of each kind made by `kd new-plugin`. All are built
# and installed with wheels of kdcore, kd-dev, and what the tests of kd-toolbox ask for; each is linted, type-checked,
# tested and run.
set -euo pipefail
wheels=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
root=$wheels/others
bin=$root/env/bin
export bin OMP_NUM_THREADS=1
mkdir "$root"
cp -Rl "$wheels/base" "$root/env" # kdcore's wheel, see .ci/run
uv pip install --quiet --python "$bin/python" "$wheels"/kd_{dev,compare,export,report}-*.whl

cp -R "$here/examples/plugins/." "$root"
cd "$root"
# written for the first four hooks: a line that fails here is a plugin that had to be changed
sha256sum --quiet --check "$here/tests/wheels/first_plugins.sha256"
mv kd-broken broken # which no other plugin may notice: it comes last
new=()
make() { "$bin/kd" new-plugin "$@" --json >/dev/null && new+=("./$1[test]"); }
make kd-soft --kind distiller
make kd-maps --kind distiller --features --license Apache-2.0
make kd-regnets --kind adapter
make kd-shapes --kind dataset
make kd-little-net --kind model
make kd-ranking --kind command
make kd-short --kind recipe
make kd-arrays --kind exporter
make kd-class-mean --kind metric
make kd-epochs --kind report-section
make kd-processes --kind launcher

# tests and specs of the new ones need what their pyproject.toml names, and nothing else
"$bin/kd" install "${new[@]}" ./kd-*/ "./kd-efficientnet-lite[lite0]" >install.log 2>&1 || { cat install.log; exit 1; }
KD_STRICT_PLUGINS=1 "$bin/kd" plugins

types() {
    local plugin # one after the other: the first fills the cache for all
    for plugin in kd-*/; do
        (cd "$plugin" && "$bin/mypy" --no-error-summary --cache-dir "$root/mypy") || { echo "mypy: $plugin" >&2; return 1; }
    done
}
types & # beside the tests, which wait for processes of their own now and then
types=$!

check() (
    # each line ends the check by itself: bash ignores errexit where the status is asked for, as `logged` does
    cd "$1" || exit 1
    "$bin/ruff" check --quiet . || exit 1
    # not `python -m pytest`, which would find the sources in this folder instead of what is installed
    "$bin/pytest" -q --durations=3 || exit 1
    if [ -f spec.json ]; then "$bin/kd" run spec.json || exit 1; fi
)
logged() {
    local status=0
    check "$1" >"${1%/}.log" 2>&1 || status=255 # which makes xargs stop
    printf '\n-- %s\n%s\n' "$1" "$(cat "${1%/}.log")"
    return "$status"
}
export -f check logged
printf '%s\n' kd-*/ | xargs -P 2 -I {} bash -c 'logged {}'
wait "$types"
"$bin/kd" ranking kd-ranking/runs # the command of a new plugin

printf '\n-- beside broken plugins\n'
"$bin/ruff" check --quiet broken
(cd broken && "$bin/mypy" --no-error-summary --cache-dir "$root/mypy")
"$bin/kd" list-distillers --json >before.json
"$bin/kd" install ./broken ./broken/twin >install.log 2>&1 || { cat install.log; exit 1; }
"$bin/kd" --help >/dev/null
"$bin/kd" plugins
"$bin/kd" list-distillers --json 2>warnings.txt >after.json
grep -c "is broken: " warnings.txt
"$bin/python" - <<'PYTHON'
import json
before, after = (json.load(open(name)) for name in ("before.json", "after.json"))
assert before == [item for item in after if item["name"] != "broken-twice"]
PYTHON
"$bin/kd" validate kd-soft/spec.json
# one thing of every role, broken in each way: a run, its report and an export are made next to them
"$bin/kd" install ./broken/toolbox >install.log 2>&1 || { cat install.log; exit 1; }
"$bin/kd" run kd-toolbox/spec.json --output beside 2>warnings.txt
"$bin/kd" export beside/stripes --to npz 2>>warnings.txt
"$bin/kd" report beside/stripes 2>>warnings.txt
for thing in metric section; do
    for way in lost wrong failing; do grep -q "$way-$thing" warnings.txt beside/stripes/report.html; done
done

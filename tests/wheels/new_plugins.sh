#!/usr/bin/env bash
# A new plugin of each kind, made by `kd new-plugin` from the wheels: installed beside kdcore alone, linted, type-checked,
# tested, and run.
set -euo pipefail
wheels=$1
root=$wheels/new-plugins
uv venv --quiet --python 3.11 "$root/env"
pip() { uv pip "$1" --quiet --python "$root/env/bin/python" "${@:2}"; }
pip install "$wheels"/kdcore-*.whl pytest ruff mypy scikit-learn
bin=$root/env/bin
cd "$root"
make() {
    local name=$1
    "$bin/kd" new-plugin "$@" --json >/dev/null
    "$bin/kd" install "./$name" >/dev/null
    (
        cd "$name"
        "$bin/ruff" check --quiet .
        "$bin/mypy" --no-error-summary --cache-dir "$root/mypy"
        "$bin/pytest" -q
        KD_STRICT_PLUGINS=1 "$bin/kd" plugins
        "$bin/kd" run spec.json
    )
    "$bin/kd" uninstall --yes "$name"
}
make kd-soft --kind distiller
make kd-maps --kind distiller --features --license Apache-2.0
make kd-regnets --kind adapter
make kd-shapes --kind dataset
make kd-little-net --kind model

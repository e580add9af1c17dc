#!/bin/sh
# Everything that proves the project.  `make test` calls it in the project's environment.  Needs no Quarto and no network beyond the package index.
# The tests and each notebook are jobs of their own, see tools/jobs.py; `python tools/jobs.py nbs/01_dataset.ipynb` does one of them.
set -eu
cd "$(dirname "$0")/.."
began=$(date +%s)
seconds() { echo $(($(date +%s) - began)); }
step() { name="$1"; shift; echo "== $name ($(seconds) s)"; "$@" || { echo "FAILED: $name" >&2; exit 1; }; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT INT TERM
mkdir "$scratch/cache"
export EMOTION_CACHE="$scratch/cache"  # nothing computed elsewhere may pass for computed here

in_sync() {  # clean and export a copy of the tree: nothing may change
    mkdir "$scratch/tree"
    git ls-files -z --cached --others --exclude-standard | xargs -0 ls -d 2>/dev/null | tar -cf - -T - | tar -xf - -C "$scratch/tree"
    cp -R "$scratch/tree" "$scratch/before"
    (cd "$scratch/tree" && nbdev_clean && nbdev_export)
    diff -r -q "$scratch/before/nbs" "$scratch/tree/nbs" || { echo "notebooks are not clean: run 'make export' and commit" >&2; return 1; }
    diff -r -q -x __pycache__ "$scratch/before/emotion_nbdev" "$scratch/tree/emotion_nbdev" || { echo "modules differ from their notebooks: run 'make export' and commit" >&2; return 1; }
}
step "no unused import, no undefined name, no long line" ruff check --quiet emotion_nbdev nbs
step "each part imports only from parts below it" lint-imports --no-cache
step "notebooks are clean and in sync with the modules" in_sync
step "README.md is in sync with nbs/index.ipynb" python tools/readme.py --check
step "tests and notebooks" python tools/jobs.py
echo "== all of it passed in $(seconds) s"

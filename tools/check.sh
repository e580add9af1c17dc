#!/bin/sh
# Everything that proves the project.  `make test` calls it in the project's environment.  Needs no Quarto and no network beyond the package index.
set -eu
cd "$(dirname "$0")/.."
export TOKENIZERS_PARALLELISM=false
began=$(date +%s)
step() { name="$1"; shift; echo "== $name ($(($(date +%s) - began)) s)"; "$@" || { echo "FAILED: $name" >&2; exit 1; }; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT INT TERM
export EMOTION_CACHE="$scratch/cache"  # nothing computed elsewhere may pass for computed here

in_sync() {  # clean and export a copy of the tree: nothing may change
    mkdir "$scratch/tree"
    git ls-files -z --cached --others --exclude-standard | xargs -0 ls -d 2>/dev/null | tar -cf - -T - | tar -xf - -C "$scratch/tree"
    cp -R "$scratch/tree" "$scratch/before"
    (cd "$scratch/tree" && nbdev_clean && nbdev_export)
    diff -r -q "$scratch/before/nbs" "$scratch/tree/nbs" || { echo "notebooks are not clean: run 'make export' and commit" >&2; return 1; }
    diff -r -q -x __pycache__ "$scratch/before/emotion_nbdev" "$scratch/tree/emotion_nbdev" || { echo "modules differ from their notebooks: run 'make export' and commit" >&2; return 1; }
}
notebook() { nbdev_test --path "$1" --do_print --timing; }  # alone in its process: workers of one run share imported modules
docs_build() { python -c "from nbdev.serve import proc_nbs; proc_nbs(force=True, n_workers=1)" && rm -rf _proc; }

step "notebooks are clean and in sync with the modules" in_sync
step "README.md is in sync with nbs/index.ipynb" python tools/readme.py --check
for nb in nbs/*.ipynb; do step "notebook $nb" notebook "$nb"; done
step "notebooks pass the processing of the docs build" docs_build
step "tests" python -m pytest -q --durations=8 tests
echo "== all of it passed in $(($(date +%s) - began)) s"

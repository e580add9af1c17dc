#!/bin/sh
# Everything that proves the project.  `make test` calls it in the project's environment.  Needs no Quarto and no network beyond the package index.
# The tests and each notebook are jobs of their own, two at a time, one thread each; `tools/check.sh nbs/01_dataset.ipynb` does one of them.
set -eu
cd "$(dirname "$0")/.."
export TOKENIZERS_PARALLELISM=false
began=$(date +%s)
seconds() { echo $(($(date +%s) - began)); }
step() { name="$1"; shift; echo "== $name ($(seconds) s)"; "$@" || { echo "FAILED: $name" >&2; exit 1; }; }

job() {  # what it prints is shown when it is done, so that two of them do not mix
    log=$(mktemp)
    case "$1" in
        *.ipynb) set -- "$1" nbdev_test --path "$1" --do_print ;;  # alone in its process: workers of one run share imported modules
        *) set -- "$1" python -m pytest -q --durations=8 "$1" ;;
    esac
    name="$1"; shift
    if "$@" > "$log" 2>&1; then verdict="passed"; else verdict="FAILED"; fi
    echo "== $verdict: $name (in $(seconds) s)"
    case "$verdict $name" in *.ipynb) test "$verdict" = passed || cat "$log" ;; *) cat "$log" ;; esac
    rm -f "$log"
    test "$verdict" = passed || { echo "FAILED: $name" >&2; exit 1; }
}
if [ $# -gt 0 ]; then for each in "$@"; do job "$each"; done; exit; fi

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
jobs() {  # the longest first
    { echo tests; find nbs -name '07_fine_tuning.ipynb' -o -name '08_error_analysis.ipynb' | sort; find nbs -name '*.ipynb' ! -path '*/.*' ! -name '07_fine_tuning.ipynb' ! -name '08_error_analysis.ipynb' | sort; } | OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 xargs -n 1 -P 2 "$PWD/tools/check.sh"
}

step "no unused import, no undefined name, no long line" ruff check --quiet emotion_nbdev nbs
step "each part imports only from parts below it" lint-imports --no-cache
step "notebooks are clean and in sync with the modules" in_sync
step "README.md is in sync with nbs/index.ipynb" python tools/readme.py --check
step "tests and notebooks" jobs
echo "== all of it passed in $(seconds) s"

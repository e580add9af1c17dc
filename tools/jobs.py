"""The tests and every notebook, two at a time, one thread each: `tools/jobs.py`, or some of them: `tools/jobs.py tests nbs/01_dataset.ipynb`.

Each notebook is alone in a process of its own: workers of one run would share imported modules.  What a job prints is shown when it is done."""
import os, subprocess, sys, tempfile, time
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")

ROOT = Path(__file__).resolve().parent.parent
LONGEST = ("tests", "nbs/07_fine_tuning.ipynb", "nbs/app/03_cli.ipynb", "nbs/08_error_analysis.ipynb")
AT_ONCE = 2


def jobs():
    "The longest first"
    notebooks = sorted(str(path.relative_to(ROOT)) for path in (ROOT/"nbs").rglob("*.ipynb") if not any(part.startswith(".") for part in path.parts))
    return [*LONGEST, *(name for name in notebooks if name not in LONGEST)]


def command_of(name):
    "What does a job"
    if name == "tests": return [sys.executable, "-m", "pytest", "-q", "--durations=12", "tests"]
    return [Path(sys.executable).with_name("nbdev_test"), "--path", name, "--do_print"]


def main(wanted):
    began, waiting, running, failed = time.monotonic(), list(wanted), {}, []
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            name = waiting.pop(0)
            log = tempfile.NamedTemporaryFile(prefix="job-", mode="w+", errors="replace")
            process = subprocess.Popen(command_of(name), stdout=log, stderr=subprocess.STDOUT)
            running[process.pid] = process, name, log, time.monotonic()
        number, status = os.wait()
        process, name, log, since = running.pop(number)
        process.returncode = os.waitstatus_to_exitcode(status)
        good = status == 0
        failed += [] if good else [name]
        now = time.monotonic()
        print(f"== {'passed' if good else 'FAILED'}: {name} ({now - since:.0f} s; {now - began:.0f} s since the start)", flush=True)
        if name == "tests" or not good: print(Path(log.name).read_text(errors="replace"), flush=True)
    if failed: sys.exit(f"FAILED: {', '.join(failed)}")


if __name__ == "__main__":
    os.chdir(ROOT)
    main(sys.argv[1:] or jobs())

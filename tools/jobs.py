"""The tests and every notebook, one thread each: `tools/jobs.py`, or some of them: `tools/jobs.py tests nbs/01_dataset.ipynb`.

The tests are shared out to two processes.  Beside them each notebook runs alone in a process of its own, as `nbdev_test` runs it.  The chapter's pages share a cache, as they do for somebody who reads them one after the other; each of the others has one of its own: vectors kept by another, of other batches, have other last digits.  The process is forked from this one, which has imported the large libraries (and nothing of the package), so that fifty notebooks do not import them fifty times; nor do the commands on their pages, see tools/commands.py.  What a job prints is shown when it is done."""
import gc, os, signal, subprocess, sys, tempfile, time
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")

import datasets, matplotlib.pyplot, pandas, scipy.stats, seaborn, sklearn.linear_model, torch, transformers.trainer, umap
import transformers.models.auto.modeling_auto, transformers.models.bert.modeling_bert
from nbdev.config import get_config
from nbdev.test import test_nb

from commands import listen, serve

ROOT = Path(__file__).resolve().parent.parent
LONGEST = ("tests", "nbs/07_fine_tuning.ipynb", "nbs/app/03_cli.ipynb", "nbs/08_error_analysis.ipynb")
AT_ONCE = 2


def jobs():
    "The longest first"
    notebooks = sorted(str(path.relative_to(ROOT)) for path in (ROOT/"nbs").rglob("*.ipynb") if not any(part.startswith(".") for part in path.parts))
    return [*LONGEST, *(name for name in notebooks if name not in LONGEST)]


def passes(name):
    "Do a job, in the process that was made for it"
    if name == "tests":
        return subprocess.run([sys.executable, "-m", "pytest", "-q", "--durations=12", "-n", "2", "--dist", "loadfile", "tests"]).returncode == 0
    cache = Path(tempfile.gettempdir())/"chapter"
    os.environ["EMOTION_CACHE"] = str(cache) if (ROOT/name).parent == ROOT/"nbs" else tempfile.mkdtemp()
    os.environ["PATH"] = os.pathsep.join([str(ROOT/"tools/forked"), os.environ["PATH"]])
    return test_nb(ROOT/name, skip_flags=get_config().tst_flags.split(), basepath=ROOT)[0]


def start(name):
    "(process number, log) of a new process that does a job"
    log = tempfile.NamedTemporaryFile(prefix="job-", mode="w+", errors="replace")
    sys.stdout.flush()
    number = os.fork()
    if number:
        return number, log
    code = 1
    try:
        for stream in (1, 2): os.dup2(log.fileno(), stream)
        code = 0 if passes(name) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def serve_commands(folder):
    "Process number of what runs the commands of pages"
    os.environ["EMOTION_COMMANDS"] = f"{folder}/commands"
    listener = listen(os.environ["EMOTION_COMMANDS"])
    number = os.fork()
    if not number:
        try: serve(listener)
        finally: os._exit(1)
    listener.close()
    return number


def main(wanted):
    began, waiting, running, failed = time.monotonic(), list(wanted), {}, []
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            name = waiting.pop(0)
            number, log = start(name)
            running[number] = name, log, time.monotonic()
        number, status, used = os.wait4(-1, 0)
        name, log, since = running.pop(number)
        good = status == 0
        failed += [] if good else [name]
        now = time.monotonic()
        print(f"== {'passed' if good else 'FAILED'}: {name} ({now - since:.0f} s, of a processor {used.ru_utime + used.ru_stime:.0f} s; {now - began:.0f} s since the start)", flush=True)
        if name == "tests" or not good: print(Path(log.name).read_text(errors="replace"), flush=True)
        log.close()
    if failed: sys.exit(f"FAILED: {', '.join(failed)}")


if __name__ == "__main__":
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory(prefix="jobs-", ignore_cleanup_errors=True) as folder:
        os.environ["TMPDIR"] = tempfile.tempdir = folder  # what the jobs leave lies there, and goes in the end
        gc.freeze()  # no search for garbage among all that is imported
        commands = serve_commands(folder)
        try: main(sys.argv[1:] or jobs())
        finally: os.kill(commands, signal.SIGTERM)

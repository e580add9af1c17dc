"What users install: the wheel, in an environment of its own; and what importing and asking for help cost."
import os, subprocess, sys, zipfile
from pathlib import Path

from conftest import call, COMMAND

ROOT = Path(__file__).parent.parent


def shell(*arguments, **options):
    done = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


# the command, and Python, in one process: each has to compile what it imports
IN_ONE = """
import runpy, sys
from emotion_nbdev.dataset import load_data
data = load_data()
print(len(data["train"]), len(data["test"]), sys.prefix)
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_wheel_in_a_second_environment_answers(tmp_path):
    environment = {**os.environ, "PIP_CONSTRAINT": str(ROOT/"constraints.txt")}
    shell(sys.executable, "-m", "build", "--outdir", tmp_path/"dist", ROOT, env=environment)  # the sdist, and the wheel from it
    (wheel,), (sdist,) = (tmp_path/"dist").glob("*.whl"), (tmp_path/"dist").glob("*.tar.gz")
    inside = set(zipfile.ZipFile(wheel).namelist())
    tracked = [path.relative_to(ROOT).as_posix() for path in (ROOT/"emotion_nbdev").rglob("*") if path.is_file() and path.suffix in (".py", ".csv", ".html", ".md")]
    assert {"emotion_nbdev/foundations/sources.py", "emotion_nbdev/app/cli.py", "emotion_nbdev/templates/report.html", "emotion_nbdev/embedded/train.csv"} <= set(tracked) <= inside
    shell(sys.executable, "-m", "venv", "--without-pip", tmp_path/"venv")
    pip = (sys.executable, "-m", "pip", "--python", tmp_path/"venv/bin/python")
    shell(*pip, "install", "--quiet", "--no-compile", f"{wheel}[embedded]", env=environment)
    installed = shell(*pip, "list", "--format=freeze")
    assert "nbdev" not in installed.replace("emotion-nbdev", "") and "fastcore" not in installed
    assert call("train", "--approach", "features", "--max-train-samples", 600, "--output-dir", "model", cwd=tmp_path).returncode == 0
    alone = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": ""}}
    assert shell(tmp_path/"venv/bin/emotion-nbdev", "--version", **alone) == "0.1.0\n"
    listing, answer = shell(tmp_path/"venv/bin/python", "-c", IN_ONE, tmp_path/"venv/bin/emotion-nbdev", "predict", "you people charged me twice, again", "--model", "model", **alone).split("\n", 1)
    assert listing == f"2880 360 {tmp_path/'venv'}"
    assert "you people charged me twice" in answer and "anger" in answer


def test_help_answers_at_once_and_imports_nothing_heavy():
    loaded = shell(sys.executable, "-c", "import sys, emotion_nbdev.app.cli; print([m for m in ('torch', 'transformers', 'datasets', 'pandas', 'sklearn', 'matplotlib', 'onnxruntime', 'fastapi') if m in sys.modules])")
    assert loaded.strip() == "[]"
    for command in ((), ("check",), ("run",), ("train",), ("evaluate",), ("inspect",), ("export",), ("errors",), ("predict",), ("compare",), ("push",), ("page",), ("serve",), ("drift",), ("cache",)):
        assert "Usage" in shell(COMMAND, *command, "--help")
    assert shell(COMMAND, "--version") == "0.1.0\n"


def test_modules_import_neither_nbdev_nor_fastcore():
    for path in (ROOT/"emotion_nbdev").rglob("*.py"):
        if path.name != "_modidx.py": assert not [line for line in path.read_text().splitlines() if line.split()[:1] in (["import"], ["from"]) and ("fastcore" in line or line.split()[1].startswith("nbdev"))], path

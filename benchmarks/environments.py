"Environments of the peers: their pins differ from ours, and from each other's."
import os, subprocess, sys
from pathlib import Path

HERE = Path(__file__).parent


def environment(name):
    "The Python of the environment `.NAME` with what NAME.txt lists, made where it is missing; an OSError where it cannot be had"
    folder = HERE.parent/f".{name}"
    listed, installed = HERE/f"{name}.txt", folder/".installed"
    python = folder/"bin/python"
    if installed.is_file() and installed.read_text() == listed.read_text():
        return python
    print(f"making {folder.name} (a minute or two)", file=sys.stderr)
    pip = [python, "-m", "pip", "--disable-pip-version-check"]
    commands = [
        [sys.executable, "-m", "venv", "--clear", folder],
        [*pip, "install", "--quiet", "--requirement", listed],
        [*pip, "uninstall", "--quiet", "--yes", "torchvision"],  # of another torch; not needed
    ]
    try:
        for command in commands:
            subprocess.run(command, check=True)
    except subprocess.CalledProcessError as error:
        raise OSError(f"{listed.name} could not be installed: {error}") from None
    installed.write_text(listed.read_text())
    return python


def usual_variables():
    "Of a process that is none of ours: its threads wait as they do where nobody asks"
    return {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}

"What is measured on: the public dataset where EMOTION_DATA names a folder with its train.txt and validation.txt, else the embedded corpus."
import os
from pathlib import Path

from emotion_nbdev.dataset import load_data, load_files


def benchmark_data():
    folder = os.environ.get("EMOTION_DATA")
    if not folder:
        return load_data(preset="embedded")
    return load_files(Path(folder)/"train.txt", Path(folder)/"validation.txt")

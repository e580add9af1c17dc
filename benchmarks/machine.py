"On which machine, and when: what every recorded file of a benchmark says."
import os, time
from importlib.metadata import version
from pathlib import Path


def processor():
    "Its name, and with which instructions it multiplies in bfloat16; nothing where the system does not say"
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    known = dict(map(str.strip, line.split(":", 1)) for line in lines if ":" in line)
    flags = known.get("flags", "").split()
    told = [name for name in ("avx512_bf16", "amx_bf16") if name in flags]
    return ", ".join([known.get("model name", ""), *told])


def machine(**more):
    "What the figures depend on"
    return dict(date=time.strftime("%Y-%m-%d"), processor=processor(), cores=os.cpu_count(),
                torch=version("torch"), **more)

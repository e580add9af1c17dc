"""Kill, cut and flood whatever this project writes, at random moments, for so many minutes; count what was right in the end.

    python tests/torture.py --minutes 30            # prints its seed first; exit code 1 when anything was wrong
    python tests/torture.py --seed 1234 --turns 1   # a turn again, by the seed that is printed with it
"""
import argparse, contextlib, filecmp, io, os, random, shutil, signal, subprocess, sys, tempfile, time, traceback
from collections import Counter
from pathlib import Path
from unittest import mock

os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"  # a closed port

SIGNALS = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT]
ENDINGS = [".csv", ".tsv", ".jsonl", ".parquet"]


class Wrong(Exception):
    "Something is not as it has to be"


def require(right, *what):
    if not right: raise Wrong(*what)


class Place:
    "Data, models and undisturbed results, each made when it is first asked for"
    def __init__(self, folder, records=24_000):
        from conftest import COMMAND, ROWS, tiny_checkpoint
        self.folder, self.records, self.command, self.rows, self.made = folder, records, COMMAND, ROWS, {}
        self.make_checkpoint = tiny_checkpoint.__wrapped__

    def once(self, name, make):
        if name not in self.made: self.made[name] = make()
        return self.made[name]

    def mktemp(self, name): return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))  # what a fixture asks pytest for

    def start(self, *arguments): return subprocess.Popen([self.command, *map(str, arguments)], cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def undisturbed(self, *arguments):
        started = time.monotonic()
        process = self.start(*arguments)
        _, told = process.communicate()
        require(process.returncode in (0, 1), arguments, process.returncode, told)
        return time.monotonic() - started

    def checkpoint(self): return self.once("checkpoint", lambda: self.make_checkpoint(self))

    def training_file(self):
        def make():
            lines = [f"{text} {number} times,{label}" for label, texts in self.rows.items() for number in range(20) for text in texts]
            (self.folder/"train.csv").write_text("text,label\n" + "\n".join(lines) + "\n")
            return "train.csv"
        return self.once("train.csv", make)

    def model(self):
        def make():
            self.undisturbed("train", "--approach", "tfidf", "--train-file", self.training_file(), "--output-dir", "model")
            return "model"
        return self.once("model", make)

    def inbox(self):
        def make():
            lines = [f'{number},"{text} ""{number}""\nand more",{text[:5]}' if number % 97 else f"{number},broken,by,commas" for number in range(self.records) for text in [self.rows["joy"][number % 3]]]
            (self.folder/"inbox.csv").write_text("id,text,more\n" + "\n".join(lines) + "\n")
            return "inbox.csv"
        return self.once("inbox.csv", make)

    def labelling(self, output): return "predict", "--model", self.model(), "--input", self.inbox(), "--output", output

    def labelled(self, ending):
        "(file of answers, file of what is set aside, seconds) without any disturbance"
        def make():
            seconds = self.undisturbed(*self.labelling(f"whole{ending[1:]}{ending}"))
            return self.folder/f"whole{ending[1:]}{ending}", self.folder/f"whole{ending[1:]}.rejected.jsonl", seconds
        return self.once(ending, make)

    def training(self, *kind):
        "(folder, seconds) of a training without any disturbance"
        name = f"whole-{kind[0]}"
        def make(): return self.folder/name, self.undisturbed(*kind, *self.training_options(), "--output-dir", name)
        return self.once(name, make)

    def training_options(self): return "--train-file", self.training_file(), "--model", self.checkpoint()


def disturbed(place, seconds, chance, *arguments):
    "Start a command and end it at a random moment"
    process = place.start(*arguments)
    with contextlib.suppress(subprocess.TimeoutExpired): process.wait(chance.random() * seconds)
    number = chance.choice(SIGNALS)
    alone = process.poll() is not None
    if not alone: process.send_signal(number)
    _, told = process.communicate()
    starting = "emotion_nbdev/app/entry.py" not in told  # Python itself, before anything of ours
    require("Traceback" not in told or number is signal.SIGINT and starting, told[-3000:])


def damaged(folder, chance):
    "One file of a folder is cut, changed, empty or gone"
    files = sorted(path for path in folder.glob("*") if path.is_file()) if folder.is_dir() else []
    if not files: return
    path, how = chance.choice(files), chance.randrange(4)
    raw = bytearray(path.read_bytes())
    if how == 3 or not raw: return path.unlink()
    if how == 0: raw = raw[:chance.randrange(len(raw))]
    elif how == 1: raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
    else: raw.clear()
    path.write_bytes(raw)


def same_files(output, ending, place):
    whole, aside, _ = place.labelled(ending)
    require(filecmp.cmp(whole, output, shallow=False), f"{output.name} has other bytes")
    require(filecmp.cmp(aside, output.with_name(f"{output.stem}.rejected.jsonl"), shallow=False), f"what is set aside of {output.name} has other bytes")


def nothing_left(folder, stem):
    left = [path.name for path in folder.glob(f".{stem}*")]
    require(not left, "left behind:", left)


def turn_labelling(place, chance, seed):
    "A labelling that is killed again and again, its parts damaged, and goes on"
    ending = chance.choice(ENDINGS)
    *_, seconds = place.labelled(ending)
    output = place.folder/f"turn-{seed}{ending}"
    for _ in range(chance.randint(1, 5)):
        disturbed(place, seconds, chance, *place.labelling(output.name))
        if output.is_file(): break
        if chance.random() < .5: damaged(output.with_name(f".{output.name}.parts"), chance)
    else:
        process = place.start(*place.labelling(output.name))
        _, told = process.communicate()
        require(process.returncode == 1 and output.is_file(), process.returncode, told[-2000:])  # 1: rows were set aside
        nothing_left(place.folder, output.stem)
    same_files(output, ending, place)


def turn_two_at_once(place, chance, seed):
    "Two equal commands: one makes the file, the other is told so in one line"
    ending = chance.choice(ENDINGS)
    *_, seconds = place.labelled(ending)
    output = place.folder/f"turn-{seed}{ending}"
    first = place.start(*place.labelling(output.name))
    time.sleep(chance.choice([0, chance.random() * .3, chance.random() * seconds * 1.2]))
    second = place.start(*place.labelling(output.name))
    ends = [(process.communicate()[1], process.returncode) for process in (first, second)]
    require(sorted(code for _, code in ends) == [1, 2], ends)
    refusal = next(told for told, code in ends if code == 2)
    require(refusal.count("\n") == 1 and ("is being written by" in refusal or "exists already" in refusal), refusal)
    same_files(output, ending, place)
    nothing_left(place.folder, output.stem)


def turn_training(place, chance, seed):
    "A training that is killed again and again and goes on has the weights of an undisturbed one"
    kind = chance.choice([("train",), ("train",), ("run",)])
    whole, seconds = place.training(*kind)
    name = f"turn-{seed}"
    for _ in range(chance.randint(1, 3)):
        if (place.folder/name).exists(): break
        resume = ["--resume"] if (place.folder/f".{name}.unfinished").is_dir() else []
        disturbed(place, seconds, chance, *kind, *place.training_options(), "--output-dir", name, *resume)
    if not (place.folder/name).exists():
        resume = ["--resume"] if (place.folder/f".{name}.unfinished").is_dir() else []
        process = place.start(*kind, *place.training_options(), "--output-dir", name, *resume)
        _, told = process.communicate()
        require(process.returncode == 0, process.returncode, told[-3000:])
    for path in sorted(whole.rglob("*.safetensors")):
        require(filecmp.cmp(path, place.folder/name/path.relative_to(whole), shallow=False), f"{kind[0]}: {path.relative_to(whole)} has other bytes")
    nothing_left(place.folder, name)
    shutil.rmtree(place.folder/name)


def turn_hub(place, chance, seed):
    "Pushes that are interrupted publish all of it or nothing"
    from test_hub import torture_interrupts
    folder = place.mktemp("hub")
    with contextlib.redirect_stderr(io.StringIO()):  # the server's words about a caller that went away
        torture_interrupts(14, folder, seed)


def turn_hostile(place, chance, seed):
    "Folders that were made to break a loader are refused in one line"
    from test_hostile import HOSTILE, classifier, looked_at
    folder = place.once("hostile", lambda: classifier.__wrapped__(place, place.checkpoint()))
    with mock.patch.dict(HOSTILE, clear=True):  # the tests have these; here are other ones each time
        found = looked_at(folder, place.mktemp("hostile"), 40, seed)
    for what, _, why, seconds, mebibytes in found:
        require(why == "loaded" or why.startswith("refused: ") and "\n" not in why and len(why) < 600, what, why)
        require(seconds < 10 and mebibytes < 1500, what, seconds, mebibytes)


def turn_models(place, chance, seed):
    "Models and graphs that were changed by force are answered or refused in one line, within bounds"
    import hostile
    models = place.once("honest", lambda: hostile.honest_models(place.mktemp("honest")))
    _, wrong = hostile.trials(place.mktemp("models"), seed * 100, 30, 12, say=lambda *told: None, models=models)
    require(not wrong, "\n".join(wrong))


TURNS = [turn_labelling, turn_two_at_once, turn_labelling, turn_training, turn_labelling, turn_hub, turn_models, turn_labelling, turn_hostile]


def torture(place, seed, minutes=None, turns=None, kinds=None, say=print):
    "Turn after turn, each with a seed of its own: (Counter of what was right, [(kind, seed, what)] of what was wrong)"
    right, wrong, until = Counter(), [], time.monotonic() + 60 * (minutes or 1e9)
    while time.monotonic() < until and (turns is None or turns > sum(right.values()) + len(wrong)):
        turn = TURNS[seed % len(TURNS)]
        if kinds is None or turn.__name__.removeprefix("turn_") in kinds:
            try:
                turn(place, random.Random(seed), seed)
                right[turn.__name__.removeprefix("turn_")] += 1
            except Exception as error:
                wrong.append((turn.__name__.removeprefix("turn_"), seed, error))
                say(f"wrong: {wrong[-1][0]}, seed {seed}: " + (" ".join(map(str, error.args)) if isinstance(error, (Wrong, AssertionError)) else traceback.format_exc()), flush=True)
            for left in place.folder.glob(f"turn-{seed}*"): shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink()
        seed += 1
    return right, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--turns", type=int, help="stop after so many")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000 * 1000)
    parser.add_argument("--kinds", nargs="+", choices=sorted({turn.__name__.removeprefix("turn_") for turn in TURNS}))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        right, wrong = torture(Place(Path(folder)), given.seed, given.minutes, given.turns, given.kinds)
    for kind in sorted(set(right) | {kind for kind, *_ in wrong}):
        bad = [seed for other, seed, _ in wrong if other == kind]
        print(f"{kind}: tried {right[kind] + len(bad)}, right {right[kind]}, wrong {len(bad)}{', seeds ' if bad else ''}{', '.join(map(str, bad))}")
    print(f"in all: tried {sum(right.values()) + len(wrong)}, right {sum(right.values())}, wrong {len(wrong)}; began with seed {given.seed}")
    return bool(wrong)


if __name__ == "__main__": sys.exit(main())

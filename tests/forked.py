"A process that runs the command line, or some lines of Python: what it imports is imported once for all tests, by the server that is forked for each."
import gc, os, sys, tempfile

import emotion_nbdev.app.report
import emotion_nbdev.beyond.check
import emotion_nbdev.beyond.comparison
import emotion_nbdev.beyond.label_noise
import emotion_nbdev.production.artefacts
import emotion_nbdev.production.batches
import emotion_nbdev.production.card
import seaborn
import transformers.models.auto.modeling_auto
import transformers.models.bert.modeling_bert
import transformers.trainer
import umap

gc.freeze()  # what is imported is no garbage: the Trainer looks for it before and after each training


def commanded(arguments, folder, environment, paths):
    "`emotion-nbdev ARGUMENTS`, or `python ARGUMENTS` where they begin with -c, in a folder, with stdout and stderr into two files"
    from emotion_nbdev.app.cli import main
    os.environ.update(environment)
    tempfile.tempdir = None  # an import may have asked for it, before TMPDIR was this one
    os.chdir(folder)
    for number, path in enumerate(paths, 1):
        file = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, number)
    sys.stdin = open(os.devnull)
    sys.stdout, sys.stderr = (os.fdopen(os.dup(number), "w", 1, encoding="utf-8", errors="surrogateescape") for number in (1, 2))
    sys.argv = arguments[:1] + arguments[2:] if arguments[:1] == ["-c"] else ["emotion-nbdev", *arguments]
    try:
        exec(arguments[1], {"__name__": "__main__"}) if sys.argv[0] == "-c" else main()
    finally:
        sys.stdout.flush(), sys.stderr.flush()

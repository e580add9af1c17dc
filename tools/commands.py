"""The command line for the pages that `tools/jobs.py` tries: each command is forked from a process that has the large libraries, so that a hundred commands do not import them a hundred times.

`tools/forked/emotion-nbdev` is what the pages call then.  It hands over what a process is given (arguments, folder, environment, the three streams), passes signals on, and ends as the command ends."""
import json, os, signal, socket, sys, tempfile
from multiprocessing import get_context
from multiprocessing.connection import wait

READ_WHILE_IMPORTING = "HF_"  # variables that begin like this and differ: the command has to import for itself


def listen(address):
    "A socket that clients can reach; `serve` answers there"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(address))
    listener.listen(16)
    return listener


def serve(listener):
    "Fork for each client, for ever"
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        client, _ = listener.accept()
        if not os.fork():
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            try: answer(client)
            finally: os._exit(0)  # what the first process has to clear up is none of this one's
        client.close()


def answer(client):
    "Run the command of a client; tell its number, 0 for one that has to import for itself, and how it ended"
    said, streams, *_ = socket.recv_fds(client, 2**20, 3)
    asked = json.loads(said)
    if imported_alike() != imported_alike(asked["environment"]): return client.sendall(b"0\n")
    process = get_context("fork").Process(target=command, args=(streams, asked))
    process.start()
    for stream in streams: os.close(stream)
    client.sendall(b"%d\n" % process.pid)
    if process.sentinel not in wait([client, process.sentinel]): process.kill()  # the client was killed
    process.join()
    client.sendall(b"%d\n" % process.exitcode)


def imported_alike(environment=os.environ):
    return {name: value for name, value in environment.items() if name.startswith(READ_WHILE_IMPORTING)}


def command(streams, asked):
    "The command, in a process of its own"
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    tempfile.tempdir = None  # an import may have asked for it, before TMPDIR was this one
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdin, sys.stdout, sys.stderr = (open(number, mode, encoding="utf-8", closefd=False) for number, mode in enumerate("rww"))
    sys.argv = ["emotion-nbdev", *asked["arguments"]]
    from emotion_nbdev.app.entry import main
    try: main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()

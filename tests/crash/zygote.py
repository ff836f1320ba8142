"""Forks real training processes, or sweeps, that have their imports behind them.

Reads a line of JSON (a command line) at a time, starts the command with it in a process of its own,
and answers with that process's number. JAX starts its threads after the fork, so the processes are
as good as fresh ones, and seconds faster to start.
"""

import json
import os
import signal
import sys

from jaxtherapy.cli import sweep, train

COMMANDS = {"train": train.main, "sweep": sweep.main}

if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            _, status = os.waitpid(request["wait"], 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
            continue
        child = os.fork()
        if child == 0:
            os.chdir(request["folder"])
            with open("output.txt", "a") as output:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
            code = 70
            try:
                code = COMMANDS[request["command"]](request["arguments"])
            finally:
                sys.stdout.flush()
                os._exit(code)
        print(child, flush=True)

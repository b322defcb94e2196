"""A process that has done the imports, and forks what runs without them: starting Python takes most tests longer."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import CompletedProcess

ROOT = Path(__file__).parents[1]
SECONDS = 300  # a child that runs longer is ended by a signal
SERVER = """
import atexit, json, os, runpy, signal, sys, traceback
answers = os.fdopen(os.dup(1), 'w')
os.dup2(2, 1)  # what an import prints is no answer
import matplotlib.pyplot
import mmengine.config.config
import cssa_mm.apis.testing
sys.stdout.flush()  # else each fork would write it again
# The runner formats its config three times, which takes seconds and changes nothing.
mmengine.config.config.FormatCode = lambda text, **options: (text, True)
def run(script):
    sys.path.insert(0, os.path.dirname(script))  # as Python does
    try:
        runpy.run_path(script, run_name='__main__')
    except SystemExit as end:
        if not isinstance(end.code, str):
            return end.code or 0
        print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    else:
        return 0
    return 1
def child(words, environment, paths, seconds):
    signal.alarm(seconds)
    for number, path in enumerate(paths, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.argv = words
    os.environ.update(environment)
    code = run(words[0])
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # to take down all that was imported would take longer than most commands
for line in sys.stdin:
    if not line.strip():
        break
    children = []
    for job in json.loads(line):
        children.append(os.fork())
        if children[-1] == 0:
            child(*job)
    codes = [os.waitstatus_to_exitcode(os.waitpid(one, 0)[1]) for one in children]
    print(json.dumps(codes), file=answers, flush=True)
os._exit(0)
"""


class ForkServer:
    """Runs Python scripts in forks of a process that has done the imports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        environment = {key: value for key, value in os.environ.items() if not key.startswith('CSSA_')}
        self.process = subprocess.Popen(
            [sys.executable, '-c', SERVER],
            cwd=ROOT,
            # NVML answers whether there is CUDA without starting it, which no fork would survive.
            env=environment | dict(OMP_NUM_THREADS='1', PYTORCH_NVML_BASED_CUDA_CHECK='1'),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self, command: Sequence[object], environments: Sequence[Mapping[str, str]] = ({},)
    ) -> list[CompletedProcess]:
        """Run a script and its arguments once for each environment, all at the same time."""
        words = [str(word) for word in command]
        paths = [[str(self.folder / f'{name}{n}') for name in ('stdout', 'stderr')] for n in range(len(environments))]
        jobs = [[words, *given, SECONDS] for given in zip(environments, paths, strict=True)]
        self.process.stdin.write(json.dumps(jobs) + '\n')
        self.process.stdin.flush()
        codes = json.loads(self.process.stdout.readline())
        return [
            CompletedProcess(words, code, *(Path(path).read_text() for path in pair))
            for code, pair in zip(codes, paths, strict=True)
        ]

    def close(self) -> None:
        """An empty line ends it: the end of its input would not, as long as a forked worker holds the pipe open."""
        self.process.stdin.write('\n')
        self.process.stdin.close()
        self.process.wait(60)

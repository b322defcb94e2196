"""`cssa COMMAND ...`: finds the command, imports its module and runs it.

Importing the package imports torch and the toolbox, which takes seconds. So this file imports nothing of it before it
knows the command, and `cssa.py` runs this file by its path.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

COMMANDS = {
    'quickstart': 'train and compare zero-shot CLIP, labelled-only and CSSA on the embedded demo',
    'doctor': 'look at versions, device, disk and threads, and train a tiny model',
    'start': 'go from a folder of photos to labels, with a page to label the next ones in',
    'import': 'turn labels of any form into a table of your own, with the images beside it',
    'check': 'check images, labels and split of a config before training on them',
    'browse': 'draw training images in their weak and strong view, with their labels',
    'split': 'draw which training images are labelled, and write the list to a file',
    'train': 'train a model',
    'test': 'test a checkpoint, or the untrained model',
    'predict': 'label images with a model, and write what other tools read',
    'suggest': 'choose which photos to label next, and write a page to label them in',
    'merge': 'merge answers of that page, or labels of any form, into labels.csv',
    'evaluate': 'compare predictions with true labels',
    'linear-probe': 'fit and test the baseline: logistic regression on frozen features',
    'replay': 'compute a training step again whose loss or gradient was not finite',
    'report': 'write one page of a training run, or of several side by side',
    'pseudo-labels': "show how good a run's pseudo-labels are, by class and epoch",
    'explain': 'draw where the model looked for each label of an image, with score and threshold',
    'pointing-game': "count how often a model's maps point into the boxes of their class",
    'study': 'run a named study over several seeds: table, CSV and plot',
    'reproduce': "run the paper's twelve settings on the full data sets, and fill a table of results",
    'towers': 'list the image and text towers that can be had, and which to take',
    'benchmark': 'measure speed and memory beside published methods and the bare tower',
    'convert': 'bring a checkpoint of an earlier format up to date',
    'demo-data': 'draw the scenes of the embedded demo',
    'demo-clip': "pretrain the embedded demo's CLIP anew",
    'export': 'write a model as ONNX, int8, a torch program, or a folder for the hub',
    'toolbox': "run one of mmpretrain's own tools with cssa_mm in it",
}
MODULES = {'import': 'import_labels'}  # a keyword names no module


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name, those of the process by default; returns the exit status."""
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ['--help']
    if name in ('-h', '--help'):
        print(usage())
        return 0
    if name == '--version':
        print(f'cssa_mm {version()}')
        return 0
    if name not in COMMANDS:
        matches = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
        hint = f" Did you mean '{matches[0]}'?" if matches else ''
        print(f"error: unknown command '{name}', expected one of {', '.join(COMMANDS)}.{hint}", file=sys.stderr)
        return 2
    if name in ('quickstart', 'study', 'reproduce'):
        # Read once, at import: they run several processes, one thread each.
        os.environ.setdefault('OMP_NUM_THREADS', '1')
    try:
        return import_module(module_of(name)).main(rest)
    except KeyboardInterrupt:  # while torch and the toolbox are imported
        print('error: interrupted', file=sys.stderr)
        return 130
    except Exception as error:
        if name != 'doctor':
            raise
        # What cannot be imported is what the doctor is asked for.
        print(f'PROBLEM  import    {type(error).__name__}: {" ".join(str(error).split())}')
        return 1


def module_of(name: str) -> str:
    """The module of a command."""
    return f'cssa_mm.cli.{MODULES.get(name, name.replace("-", "_"))}'


def usage() -> str:
    """The commands, each with one line."""
    return '\n'.join(
        [
            'usage: cssa COMMAND ...',
            '\nSemi-supervised multi-label learning with a frozen CLIP, as a plugin for mmpretrain.\n',
            *(f'  {name:15}{summary}' for name, summary in COMMANDS.items()),
            '\n`cssa COMMAND --help` shows the arguments of a command and an example.',
        ]
    )


def version() -> str:
    """The version of the package."""
    text = Path(__file__).parents[1].joinpath('version.py').read_text('utf-8')
    return re.findall(r"__version__ = '(.+)'", text)[0]

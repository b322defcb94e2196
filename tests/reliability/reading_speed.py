"""How fast label files of a million rows are read, against pandas and json alone: bash tools/acceptance.sh reading.

Each repeat is a process of its own that reads one file; ours and the baseline take turns. Ours includes the matrix of
labels. Printed are the median CPU seconds, their ratio, and the memory that reading adds at its peak.
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROWS, REPEATS = 1_000_000, 5
CLASSES = [f'class {number}' for number in range(80)]


def write_tags(path: Path) -> None:
    """One to five of 80 classes an image."""
    draw = random.Random(1)
    cells = [';'.join(sorted(draw.sample(CLASSES, draw.randint(1, 5)))) for _ in range(50_000)]
    with path.open('w') as file:
        file.write('image,labels\n')
        file.writelines(f'{row % 1000:03d}/{row:07d}.jpg,{draw.choice(cells)}\n' for row in range(ROWS))


def write_columns(path: Path) -> None:
    """A column for each of 20 classes."""
    draw = random.Random(2)
    with path.open('w') as file:
        file.write(','.join(['image', *CLASSES[:20]]) + '\n')
        for row in range(ROWS):
            file.write(f'{row:07d}.jpg,' + ','.join('1' if draw.random() < 0.1 else '0' for _ in range(20)) + '\n')


def write_coco(path: Path) -> None:
    """A million annotations of 100,000 images."""
    draw = random.Random(3)
    content = dict(
        images=[dict(id=row, file_name=f'{row:07d}.jpg', width=640, height=480) for row in range(ROWS // 10)],
        annotations=[
            dict(id=row, image_id=draw.randrange(ROWS // 10), category_id=draw.randrange(80), bbox=[1, 2, 30, 40])
            for row in range(ROWS)
        ],
        categories=[dict(id=number, name=name) for number, name in enumerate(CLASSES)],
    )
    path.write_text(json.dumps(content))


def ours(path: Path) -> None:
    """Read a file as the data set does."""
    import cssa_mm.datasets  # noqa: F401 - import time and memory are not counted
    from cssa_mm.datasets.data_root import DataRoot
    from cssa_mm.datasets.readers import read_labels
    from cssa_mm.datasets.readers.source import LabelSource, ReadOptions

    files = DataRoot()
    files.data_root, files.backend_args = str(path.parent), None
    measure(lambda: read_labels(LabelSource(files, str(path)), ReadOptions()))


def baseline(path: Path) -> None:
    """Read a file by pandas or json alone."""
    if path.suffix == '.json':
        measure(lambda: json.loads(path.read_text()))
    else:
        import pandas as pd

        measure(lambda: pd.read_csv(path))


def measure(read) -> None:
    before = peak_memory()
    start = time.process_time()
    read()
    seconds = time.process_time() - start
    print(json.dumps([seconds, peak_memory() - before]))


def peak_memory() -> float:
    """The most memory of this process so far, MiB. ru_maxrss would count that of the process which started it."""
    status = Path('/proc/self/status').read_text()
    return int(next(line for line in status.splitlines() if line.startswith('VmHWM')).split()[1]) / 1024


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        print('| file | ours | baseline | baseline / ours | memory ours / baseline |\n|---|---|---|---|---|')
        for name, write in (('tags.csv', write_tags), ('columns.csv', write_columns), ('coco.json', write_coco)):
            path = Path(folder, name)
            write(path)
            found: dict[str, list] = {'ours': [], 'baseline': []}
            for _ in range(REPEATS):
                for side in found:
                    command = [sys.executable, __file__, side, str(path)]
                    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                    found[side].append(json.loads(output.splitlines()[-1]))
            seconds = {side: statistics.median(value[0] for value in values) for side, values in found.items()}
            memory = {side: statistics.median(value[1] for value in values) for side, values in found.items()}
            ratio = seconds['baseline'] / seconds['ours']
            print(
                f'| {name}, {path.stat().st_size / 2**20:.0f} MiB | {seconds["ours"]:.2f} s | '
                f'{seconds["baseline"]:.2f} s | {ratio:.2f} | {memory["ours"]:.0f} / {memory["baseline"]:.0f} MiB |',
                flush=True,
            )


if __name__ == '__main__':
    if len(sys.argv) == 3:
        {'ours': ours, 'baseline': baseline}[sys.argv[1]](Path(sys.argv[2]))
    else:
        main()

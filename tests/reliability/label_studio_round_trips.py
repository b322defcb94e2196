"""Random sets of labels go through a real Label Studio server and are read back: tools/acceptance.sh label-studio.

Each set is a project of its own: tasks are imported, annotated through the API by one or two annotators, and exported
as JSON, JSON-MIN and CSV, with the annotated tasks alone and with all. Every export is read by TableDataset. Oracle:
what was annotated, by the rules of docs/formats.md; a skipped task is unlabelled, as is one that nobody has seen.
Then predictions go the same way, see label_studio_predictions.py.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from label_studio_predictions import run_predictions
from label_studio_server import EXPORTS, LabelStudio, ServerError, running_server
from label_studio_sets import QUESTION, LabelSet, data_of, drawn_set, label_config, result_of
from PIL import Image

import cssa_mm  # noqa: F401  registers the data sets
from cssa_mm.datasets import TableDataset
from cssa_mm.datasets.questions import questions_of
from cssa_mm.errors import ConfigError, DataError
from cssa_mm.names import plain_name


def fill(studio: LabelStudio, users: Sequence[int], each: LabelSet, title: str, folder: Path) -> int:
    """The id of a project with the tasks and annotations of a set."""
    project = studio.new_project(title, label_config(each))
    if each.place == 'upload':
        tasks = studio.upload(project, [folder / photo.name for photo in each.photos])
    else:
        tasks = studio.import_tasks(project, [dict(data=data_of(each, photo, folder)) for photo in each.photos])
    suggested = [pair for pair in zip(tasks, each.photos, strict=True) if pair[1].suggested]
    for task, photo in suggested:
        add = studio.draft if photo.state == 'draft' else studio.predict
        add(task, result_of(each, photo.suggested))
    if any(photo.state != 'draft' for _, photo in suggested):
        studio.show_predictions(project)
    for task, photo in zip(tasks, each.photos, strict=True):
        for user, labels in photo.answers:
            result = [] if labels is None else result_of(each, labels, photo.weather)
            studio.annotate(task, result, users[user], skipped=labels is None)
    return project


def compare(each: LabelSet, folder: Path, export: Path) -> tuple[list[str], set[str]]:
    """How an export reads otherwise than the truth, and the kinds of questions that it raises."""
    options: dict[str, Any] = dict(data_root=str(folder.parent), img_dir=folder.name, ann_file=export.name)
    options |= dict(image_column='path') if each.place == 'inline' and each.lists_classes else {}
    options |= dict(class_names=each.names) if each.lists_classes else {}
    if each.has_other and any(photo.weather for photo in each.photos):
        try:
            TableDataset(**options, lazy_init=True).read_annotations()
            return ['two questions are read without being asked which'], set()
        except DataError as error:
            if f'label_column={QUESTION}' not in str(error) or '\n' in str(error):
                return [f'two questions: {error}'], set()
    options |= dict(label_column=QUESTION) if each.has_other or each.has_note else {}
    try:
        data = TableDataset(**options, lazy_init=True)
        found = data.read_annotations()
    except (DataError, ConfigError) as error:
        return [f'refused: {error}'], set()
    columns = {plain_name(name): column for column, name in enumerate(data.class_names)}
    rows = {
        str(Path(path).relative_to(folder)): row
        for path, row in zip(found.img_paths, found.labels.tolist(), strict=True)
    }
    wrong = [f'class {name!r} that is none' for name in columns.keys() - set(map(plain_name, each.names))]
    wrong += [f'image {name!r} is not read' for name in {photo.name for photo in each.photos} ^ rows.keys()]
    for photo in each.photos if not wrong else []:
        for name in each.names:
            column, true = columns.get(plain_name(name)), each.truth(photo, name)
            if column is None and true == 1:
                wrong.append(f'no class {name!r}')
            elif column is not None and rows[photo.name][column] != true:
                wrong.append(f'{photo.name!r} ({photo.state}) {name!r}: {rows[photo.name][column]} instead of {true}')
    return wrong, {question.kind for question in questions_of(data.class_names, found.labels, data.understanding)}


def run_set(studio: LabelStudio, users: Sequence[int], number: int, seed: int, keep: Path | None) -> bool:
    """Send one set and read it back in each form; print a line, and one for each difference."""
    each = drawn_set(number, seed)
    with tempfile.TemporaryDirectory(prefix='label-studio-set-') as temporary:
        root = Path(temporary) if keep is None else keep / f'set{number:02}'
        folder = root / 'photos'
        for index, photo in enumerate(each.photos):
            path = folder / photo.name
            path.parent.mkdir(parents=True, exist_ok=True)
            # In base64, the first is more than Python's csv module takes by default.
            Image.effect_noise((4 if index else 500,) * 2, 80).save(path, quality=95)
        project = fill(studio, users, each, f'round trip {number}', folder)
        wrong, asked = [], set()
        for kind, suffix in EXPORTS.items():
            for every_task in (False, True):
                export = root / f'{kind.lower()}_{"all" if every_task else "annotated"}{suffix}'
                export.write_bytes(studio.export(project, kind, every_task))
                differences, questions = compare(each, folder, export)
                wrong += [f'{export.name}: {difference}' for difference in differences]
                asked |= questions
    extras = [word for word, holds in (('two questions', each.has_other), ('class_names', each.lists_classes)) if holds]
    print(
        f'set {number:2}: {"differs" if wrong else "equal"}  {", ".join([each.kind, each.place, *extras])}; '
        f'{len(each.names)} classes {each.names}; {len(each.photos)} images: '
        f'{", ".join(photo.state for photo in each.photos)}; questions: {", ".join(sorted(asked)) or "none"}',
        flush=True,
    )
    for line in wrong:
        print(f'        {line}', flush=True)
    return not wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--sets', type=int, default=20)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--keep', type=Path, help='folder for images and exports, which are removed otherwise')
    args = parser.parse_args()
    for sign in (signal.SIGINT, signal.SIGTERM):  # an exception, so that the server is stopped, too
        signal.signal(sign, lambda number, _: sys.exit(128 + number))
    try:
        with tempfile.TemporaryDirectory(prefix='label-studio-files-') as files, running_server() as studio:
            users = [studio.me(), studio.new_user('second@example.com')]
            print(f'Label Studio {studio.version()} answers at {studio.address}', flush=True)
            equal = sum(run_set(studio, users, number, args.seed, args.keep) for number in range(args.sets))
            wrong = run_predictions(studio, users[0], Path(files), args.seed)
    except ServerError as error:
        print(f'error: label-studio: {error}', file=sys.stderr)
        return 2
    print(f'{equal} of {args.sets} sets (seed {args.seed}) read back equal from {", ".join(EXPORTS)}')
    return int(equal < args.sets or bool(wrong))


if __name__ == '__main__':
    sys.exit(main())

"""Random sets of labels go through a real Label Studio server and are read back: tools/acceptance.sh label-studio.

Each set is a project of its own: tasks are imported, annotated through the API by one or two annotators, and exported as
JSON, JSON-MIN and CSV, with the annotated tasks alone and with all. Every export is read by TableDataset. Oracle: what
was annotated, by the rules of docs/formats.md; those exports say of a skipped task no more than of one that nobody
has seen, so both are unlabelled.
"""

from __future__ import annotations

import argparse
import base64
import io
import random
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from label_studio_server import EXPORTS, LabelStudio, ServerError, running_server
from PIL import Image

import cssa_mm  # noqa: F401  registers the data sets
from cssa_mm.datasets import TableDataset
from cssa_mm.datasets.questions import questions_of
from cssa_mm.errors import ConfigError, DataError
from cssa_mm.names import plain_name

NAMES = (
    'cat', 'dog', 'dining table', 'Straße', 'Müller & Söhne', 'größer', '猫', '日本 語', 'собака', 'say "hi"', "it's",
    'red, big', 'a, b, c', '🐈', '👩\u200d🚒 fire', 'x;y', 'one|two', '<b>', '100%', 'a/b', '[x]', '{y}', 'T-shirt', '=1+1',
)  # fmt: skip
FILES = ('{}.jpg', 'photo {}.jpg', 'a/{}.jpg', 'Bücher/größe {}.jpg', '猫/{}, x.JPG', "it's {}.png")
UPLOADED = ('{}.jpg', 'photo {}.jpg', 'IMG_{}.jpeg', 'größe-{}.jpg')
KINDS = ('choices', 'choices', 'rectangles', 'choices', 'single', 'taxonomy')
PLACES = ('path', 'local files', 'address', 'upload', 'inline')
STATES = (
    'labels',
    'labels',
    'none',
    'skipped',
    'unlabelled',
    'predicted',
    'draft',
    'corrected',
    'agreed',
    'contradicted',
)
TAGS = {
    'choices': ('Choices', 'Choice'),
    'rectangles': ('RectangleLabels', 'Label'),
    'taxonomy': ('Taxonomy', 'Choice'),
}
QUESTION, OTHER = 'labels', 'weather today'


@dataclass
class Photo:
    """An image of a set, and what its annotators answered in their order; None stands for skipped."""

    name: str
    state: str
    answers: list[tuple[int, list[str] | None]] = field(default_factory=list)
    suggested: list[str] = field(default_factory=list)  # of a model, or a draft
    weather: str | None = None  # the answer of the other question


@dataclass
class LabelSet:
    """What one project asks, and the truth."""

    kind: str
    place: str
    names: list[str]
    has_other: bool
    has_note: bool
    lists_classes: bool
    photos: list[Photo]

    def truth(self, photo: Photo, name: str) -> int:
        """1, 0 or -1 (unknown): the newest answer of each annotator counts; without agreement it is unknown."""
        newest = {user: labels for user, labels in photo.answers if labels is not None}
        said = {name in labels for labels in newest.values()}
        return int(said.pop()) if len(said) == 1 else -1


def drawn_set(number: int, seed: int) -> LabelSet:
    """One random set; what it is like goes by its number, so that twenty hold everything."""
    draw = random.Random(f'{seed} {number}')
    kind, place = KINDS[number % len(KINDS)], PLACES[number % len(PLACES)]
    names = draw.sample(NAMES, draw.randint(2, 6))
    states = draw.sample(STATES, draw.randint(3, 8))
    if not {'labels', 'corrected', 'agreed'} & set(states):
        states[0] = 'labels'
    has_other = number % 4 == 1
    photos = []
    for index, state in enumerate(states):
        photo = Photo(draw.choice(UPLOADED if place == 'upload' else FILES).format(index), state)
        labels, others = _two_answers(draw, names, kind)
        if state == 'labels':
            photo.answers = [(0, labels)]
        elif state == 'none':
            photo.answers = [(0, [])]
        elif state == 'skipped':
            photo.answers = [(0, None)]
        elif state == 'corrected':
            photo.answers = [(0, others), (0, labels)]
        elif state == 'agreed':
            photo.answers = [(0, labels), (1, labels)]
        elif state == 'contradicted':
            photo.answers = [(0, labels), (1, others)]
        if state in ('predicted', 'draft') or draw.random() < 0.3:
            photo.suggested = [*others, 'zebra']  # which the server does not refuse
        if has_other and any(labels is not None for _, labels in photo.answers) and draw.random() < 0.8:
            photo.weather = draw.choice(['sun', 'rain, snow'])
        photos.append(photo)
    return LabelSet(kind, place, names, has_other, number % 4 == 3, number % 2 == 1, photos)


def _two_answers(draw: random.Random, names: Sequence[str], kind: str) -> tuple[list[str], list[str]]:
    """Labels, and others that are not the same."""
    size = 1 if kind == 'single' else len(names)
    labels, others = (draw.sample(names, draw.randint(1, size)) for _ in range(2))
    return labels, others if set(others) != set(labels) else []


# -- into the server ---------------------------------------------------------------------------------------------


def label_config(each: LabelSet) -> str:
    """The questions of a project, in Label Studio's language."""
    outer, inner = TAGS['choices' if each.kind == 'single' else each.kind]
    options = ''.join(f'<{inner} value={quoteattr(name)}/>' for name in each.names)
    if each.kind == 'taxonomy':
        options = f'<Choice value="All">{options}</Choice>'
    choice = {'choices': ' choice="multiple"', 'single': ' choice="single"'}.get(each.kind, '')
    other = '<Choice value="sun"/><Choice value="rain, snow"/>'
    other = f'<Choices name="{OTHER}" toName="image">{other}</Choices>' if each.has_other else ''
    image = f'<Image name="image" value="${"picture" if each.place == "inline" else "image"}"/>'
    return f'<View>{image}<{outer} name="{QUESTION}" toName="image"{choice}>{options}</{outer}>{other}</View>'


def result_of(each: LabelSet, labels: Sequence[str], weather: str | None = None) -> list[dict]:
    """The answer of an annotator as Label Studio's frontend sends it."""
    common = dict(from_name=QUESTION, to_name='image')
    if each.kind == 'rectangles':
        box = dict(x=10.0, y=20.0, width=30.5, height=40.0, rotation=0)
        results = [
            common | dict(type='rectanglelabels', id=f'r{n}', original_width=4, original_height=4, image_rotation=0)
            | dict(value=box | dict(rectanglelabels=[label]))
            for n, label in enumerate([*labels, *labels[:1]])
        ]  # fmt: skip
    elif each.kind == 'taxonomy':
        results = [common | dict(type='taxonomy', value=dict(taxonomy=[['All', label] for label in labels]))]
    else:
        results = [common | dict(type='choices', value=dict(choices=list(labels)))]
    results = results if labels else []
    if weather is not None:
        results.append(dict(from_name=OTHER, to_name='image', type='choices', value=dict(choices=[weather])))
    return results


def data_of(each: LabelSet, photo: Photo, folder: Path) -> dict[str, Any]:
    """The data of one task."""
    note = dict(note=f'no. {photo.name}', year=2026) if each.has_note else {}
    if each.place == 'inline':
        content = base64.b64encode((folder / photo.name).read_bytes()).decode()
        return note | dict(picture=f'data:image/jpeg;base64,{content}', path=photo.name)
    start = {'local files': '/data/local-files/?d=photos/', 'address': 'https://example.com/photos/'}
    return note | dict(image=start.get(each.place, '') + photo.name)


def fill(studio: LabelStudio, users: Sequence[int], each: LabelSet, title: str, folder: Path) -> int:
    """The id of a project with the tasks and annotations of a set."""
    project = studio.new_project(title, label_config(each))
    if each.place == 'upload':
        tasks = studio.upload(project, [folder / photo.name for photo in each.photos])
    else:
        tasks = studio.import_tasks(project, [dict(data=data_of(each, photo, folder)) for photo in each.photos])
    for task, photo in zip(tasks, each.photos, strict=True):
        if photo.suggested:
            add = studio.draft if photo.state == 'draft' else studio.predict
            add(task, result_of(each, photo.suggested))
        for user, labels in photo.answers:
            result = [] if labels is None else result_of(each, labels, photo.weather)
            studio.annotate(task, result, users[user], skipped=labels is None)
    return project


# -- and back ----------------------------------------------------------------------------------------------------


def compare(each: LabelSet, folder: Path, export: Path) -> tuple[list[str], set[str]]:
    """How an export reads otherwise than the truth, and the kinds of questions that it raises."""
    options: dict[str, Any] = dict(data_root=str(folder.parent), img_dir=folder.name, ann_file=export.name)
    options |= dict(image_column='path') if each.place == 'inline' else {}
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
            content = io.BytesIO()
            Image.new('RGB', (4, 4), (index * 20, 0, 0)).save(content, 'PNG' if photo.name.endswith('png') else 'JPEG')
            (folder / photo.name).parent.mkdir(parents=True, exist_ok=True)
            (folder / photo.name).write_bytes(content.getvalue())
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
        f'set {number:2}: {"differs" if wrong else "equal"}  {each.kind}, {each.place}{"".join(f", {x}" for x in extras)}; '
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
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is stopped, too
    try:
        with running_server() as studio:
            users = [studio.me(), studio.new_user('second@example.com')]
            print(f'Label Studio {studio.version()} answers at {studio.address}', flush=True)
            equal = sum(run_set(studio, users, number, args.seed, args.keep) for number in range(args.sets))
    except ServerError as error:
        print(f'error: label-studio: {error}', file=sys.stderr)
        return 2
    print(f'{equal} of {args.sets} sets (seed {args.seed}) read back equal from {", ".join(EXPORTS)}')
    return int(equal < args.sets)


if __name__ == '__main__':
    sys.exit(main())

"""Random sets of labels for Label Studio: what a project asks, what annotators answer, and the truth."""

from __future__ import annotations

import base64
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

NAMES = (
    'cat', 'dog', 'dining table', 'Straße', 'Müller & Söhne', 'größer', '猫', '日本 語', 'собака', 'say "hi"', "it's",
    'red, big', 'a, b, c', '🐈', '👩\u200d🚒 fire', 'x;y', 'one|two', '<b>', '100%', 'a/b', '[x]', '{y}', 'T-shirt',
    '=1+1',
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

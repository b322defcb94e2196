import re

import numpy as np
import pytest

from cssa_mm.apis.check_report import MOST_CLASSES, Style, section, understood, verdict
from cssa_mm.apis.findings import FIX, NOTE, WARN, Finding
from cssa_mm.apis.parts import Part
from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.datasets.image_table import Annotations
from cssa_mm.datasets.images.image_facts import ImageFacts
from cssa_mm.datasets.readers.understanding import Question, Understanding

LABELS = np.array([[1, 0, 0], [1, 1, -1], [0, 0, 0], [-1, -1, -1], [0, 0, 1], [0, 0, 1]], dtype=np.int8)
NAMES = ['cat', 'dog', 'traffic light']


def part_of(names=NAMES, labels=LABELS, rules=()):
    dataset = SemiMultiLabelDataset(data_root='photos', ann_file='labels.csv', class_names=names, lazy_init=True)
    dataset.understanding = Understanding(
        'photos/labels.csv',
        'csv',
        facts={'encoding': 'utf-16', 'separator': "';'", 'yes': '1 (12 cells)'},
        taken=list(names),
        left={'width': 'numbers', 'url': 'addresses', 'height': 'numbers'},
        left_out={'an extension that is not read': ['a.heic', 'b.heic', 'c.heic', 'd.heic']},
    )
    ids = [f'{n}.jpg' for n in range(len(labels))]
    facts = [ImageFacts(None, '', (), str(n), 'PNG', rule) for n, rule in enumerate(rules)]
    data = Annotations(ids, [f'photos/{name}' for name in ids], labels)
    return Part('train', dataset, data, (labels >= 0).any(axis=1), facts)


def test_a_section_says_all_that_was_understood():
    assert section(part_of(rules=['12-bit data', '12-bit data', '']), Style()) == [
        'train: 6 images of 3 classes, 5 of them labelled with 14 known cells, 5 positive: from 1 (\'dog\') to 2 '
        "('cat') a class",
        '  file           photos/labels.csv',
        '  format         csv (CSV, TSV or text table)',
        '  encoding       utf-16',
        "  separator      ';'",
        '  yes            1 (12 cells)',
        '  taken          3 columns, one a class',
        '  left           width, height (numbers); url (addresses)',
        '  labels         5 with labels, 1 of them none of the classes; 1 without labels',
        '  beyond 8 bits  2 images: 12-bit data',
        '  left out       4 images: an extension that is not read: a.heic, b.heic, c.heic, ...',
        '  classes        3: yes / no / unknown in images with labels',
        '    cat           2 / 3 / 0    dog           1 / 4 / 0    traffic light 2 / 2 / 1',
        '  read as        0.jpg -> cat',
        '                 1.jpg -> cat, dog (1 unknown)',
        '                 2.jpg -> none of the classes',
    ]  # fmt: skip


def test_eighty_classes_stand_in_columns_and_thousands_are_cut_but_not_in_the_json():
    rng = np.random.default_rng(0)
    for count in (80, 3000):
        names = [f'class number {n}' for n in range(count)]
        part = part_of(names, rng.integers(-1, 2, (50, count)).astype(np.int8))
        lines = section(part, Style())
        assert max(map(len, lines[1:])) <= 120
        cells = [cell for line in lines for cell in re.findall(r'class number \d+ +\d+ / +\d+ / +\d+', line)]
        assert len(cells) == min(count, MOST_CLASSES)
        assert len({line.index(' / ') for line in lines if line.startswith('    class')}) == 1  # aligned
        assert ('... and 2,880 more, all in --out' in '\n'.join(lines)) == (count == 3000)
        found = understood(part)
        assert list(found['classes']) == names
        counted = found['classes'][names[7]]
        annotated = part.data.labels
        assert list(counted.values()) == [int((annotated[:, 7] == value).sum()) for value in (1, 0, -1)]


def test_rows_that_the_label_file_names_are_shown_first():
    part = part_of()
    shown = lambda: [line[17:] for line in section(part, Style()) if ' -> ' in line]  # noqa: E731
    values = dict(cat=[1, 1, 0, 0, 1, 1], dog=[0, 1, 0, 0, 0, 1])
    part.data = part.data._replace(labels=np.array([*values.values(), [0, 1, 0, 0, 0, 0]], dtype=np.int8).T)
    part.dataset.named_ids = ['0.jpg', '5.jpg', '3.jpg']
    assert shown() == ['1.jpg -> cat, dog, traffic light', '3.jpg -> none of the classes', '5.jpg -> cat, dog']
    part.data.labels[3] = part.data.labels[2] = -1
    assert shown()[1] == '3.jpg -> unlabelled'
    part.dataset.named_ids = None
    assert shown()[1] == '2.jpg -> unlabelled'


def test_the_path_of_a_file_is_shown_without_detours():
    part = part_of()
    for path, shown in (('photos/./a/', 'photos/a'), ('a/../b', 'a/../b'), ('s3://a/./b', 's3://a/./b')):
        part.dataset.understanding.source = path
        assert section(part, Style())[1].split() == ['file', shown]


def test_long_names_are_cut_in_the_text_alone():
    part = part_of(['x' * 200, 'dog', 'cow'])
    assert max(map(len, section(part, Style()))) < 200
    assert list(understood(part)['classes']) == ['x' * 200, 'dog', 'cow']


@pytest.mark.parametrize('kind', [FIX, WARN, NOTE])
def test_words_are_coloured_where_colours_are_asked_for(kind):
    line = Finding(kind, 'train', 'empty images', ['a.jpg'], 'restore').line()
    assert Style().line(line) == line
    coloured = Style(colour=True).line(line)
    assert coloured.startswith('\x1b[')
    assert re.sub(r'\x1b\[\d*m', '', coloured) == line
    assert re.sub(r'\x1b\[\d*m', '', '\n'.join(section(part_of(), Style(colour=True)))) == '\n'.join(
        section(part_of(), Style())
    )


def test_the_verdict_counts_what_must_be_fixed_and_answered():
    fix = Finding(FIX, 'train', 'missing images', ['a.jpg'], '')
    warn = Finding(WARN, 'train', 'tiny images', ['a.jpg'], '')
    question = Question('codes', 'text', 'fix')
    well = 'Verdict: training would run well'
    assert verdict([], [], 0, Style()) == [well]
    assert verdict([warn], [], 0, Style()) == [f'{well}; the warnings above are worth a look']
    assert verdict([], [], 2, Style()) == [f'{well}; 2 questions accepted']
    assert verdict([fix], [], 0, Style()) == ['Verdict: fix 1 of these before training: missing images (train)']
    lines = verdict([warn], [question, question], 0, Style())
    assert lines[-1] == 'Verdict: answer 2 questions before training'
    assert lines[0].endswith('--yes (all), or --cfg-options accept=[codes]')
    assert verdict([fix], [question], 0, Style())[-1] == (
        'Verdict: fix 1 of these before training: missing images (train); answer 1 question before training'
    )

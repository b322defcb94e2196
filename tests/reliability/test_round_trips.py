"""Labels written in each form by an independent writer read back equal, or are refused in one line, or questioned.

Oracle: the matrix that was written. 60 examples a form, 2,000 with `bash tools/acceptance.sh round-trips`.
"""

import csv
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

import pytest

import cssa_mm  # noqa: F401  registers the data sets
from cssa_mm.datasets import TableDataset
from cssa_mm.datasets.questions import questions_of
from cssa_mm.errors import ConfigError, DataError
from cssa_mm.names import one_form, plain_name

hypothesis = pytest.importorskip('hypothesis')
st = hypothesis.strategies

EXAMPLES = int(os.environ.get('CSSA_ROUND_TRIPS', '60'))
COMMON = dict(
    database=None,
    report_multiple_bugs=False,
    deadline=None,
    derandomize=EXAMPLES == 60,  # the same examples in each run of the tests, new ones in the acceptance run
    suppress_health_check=list(hypothesis.HealthCheck),
    phases=[phase for phase in hypothesis.Phase if phase is not hypothesis.Phase.explain],
)
USUAL = hypothesis.settings(max_examples=EXAMPLES // 4, **COMMON)
ODD = hypothesis.settings(max_examples=EXAMPLES - EXAMPLES // 4, **COMMON)
BROKEN = hypothesis.settings(max_examples=EXAMPLES // 5, **COMMON)
WORDS = ('cat', 'dog', 'dining table', 'traffic light', 'Straße', 'Müller', '猫', 'собака', 'café', 'T-shirt', '🐈')
TRICKY = (
    'a"b',
    "it's",
    'x,y',
    'p;q',
    'one|two',
    ' lead',
    'trail ',
    'e\u0301',
    '👩\u200d🚒',
    '[x]',
    '{y}',
    'a/b',
    'c\\d',
    '<t>',
)
TRICKY += ('&amp;', '=1+1', '#tag', '100%', 'x_y', 'N', '1', '0', '2.5', 'nan', 'none', 'true', 'id', 'image', 'labels')
TRICKY += ('split', 'url', 'null', 'yes', 'no', 'a: b', '- a', '\u00a0hard', 'zero\u200bwidth', 'ﬁ', 'İ', "['a', 'b']")
PIECES = st.sampled_from([*'abcXYZ019 ,;|"\'[]{}()<>&/\\:=#%+-_.!?äöüßéñ猫犬日本', '🐈', 'e\u0301', '\u00a0', '\u3000'])

# Words of label files for 'none of the classes' and 'unlabelled'.
SAID = {'none', 'nan', 'n/a', 'na', 'null', '-', '--', '?'}

TOKENS = [
    b'null', b'[]', b'{}', b'[1]', b'"', b'1e999', b'NaN', b'-1', b',', b';', b'\n', b'\r', b'\0', b'<', b'>', b': ',
    b'</annotations>', b'\xff\xfe', b'\xef\xbb\xbf', b'\\ud83d', b'{"a":', b'true', b'image,labels\n', b'1.jpg', b'&x;',
    b'!!python/object:x', b'{"images": [', b'{"data_list": 3, "metainfo": []}', b'[{"image": 1}]',
]  # fmt: skip
SHORT = st.lists(PIECES, min_size=1, max_size=8).map(''.join)


@dataclass
class Labels:
    """What a label file says: C classes, n images, and 1, 0 or -1 (unknown) for each pair."""

    names: list[str]
    images: list[str]
    rows: list[list[int]]

    def positives(self, row: list[int]) -> list[str]:
        return [name for name, value in zip(self.names, row, strict=True) if value == 1]

    def items(self) -> list[tuple[str, list[int]]]:
        return list(zip(self.images, self.rows, strict=True))


@dataclass
class Form:
    """How labels are written, and what can be written so."""

    write: Callable[[Path, Labels], dict]
    has_partial: bool = False  # an image of which some classes are known
    has_none: bool = True
    has_unlabelled: bool = True
    is_single: bool = False
    can_hold: Callable[[str], bool] = field(default=lambda name: True)  # a class name
    can_call: Callable[[str], bool] = field(default=lambda name: True)  # an image


# -- writers: the standard library, and forms as their tools document them ---------------------------------------


def as_csv(rows: list[list], delimiter: str = ',') -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator='\n').writerows(rows)
    return text.getvalue()


def csv_of_names(root: Path, labels: Labels, delimiter: str = ',', encoding: str = 'utf-8', between: str = ';') -> dict:
    rows = [
        [image, '' if -1 in row else between.join(labels.positives(row)) or 'none'] for image, row in labels.items()
    ]
    text = as_csv([['image', 'labels'], *rows], delimiter)
    (root / 'labels.csv').write_bytes(text.encode(encoding))
    return dict(ann_file='labels.csv')


def csv_of_columns(root: Path, labels: Labels, words: tuple[str, str] = ('1', '0')) -> dict:
    cells = {1: words[0], 0: words[1], -1: ''}
    rows = [[image, *(cells[value] for value in row)] for image, row in labels.items()]
    (root / 'labels.csv').write_text(as_csv([['image', *labels.names], *rows]), encoding='utf-8')
    return dict(ann_file='labels.csv')


def csv_of_lists(root: Path, labels: Labels, write: Callable = repr) -> dict:
    rows = [[image, '' if -1 in row else write(labels.positives(row))] for image, row in labels.items()]
    (root / 'labels.csv').write_text(as_csv([['image', 'labels'], *rows]), encoding='utf-8')
    return dict(ann_file='labels.csv')


def csv_of_pairs(root: Path, labels: Labels) -> dict:
    rows = []
    for image, row in labels.items():
        rows += [[image, name] for name in labels.positives(row) or ['' if -1 in row else 'none']]
    (root / 'labels.csv').write_text(as_csv([['image', 'label'], *rows]), encoding='utf-8')
    return dict(ann_file='labels.csv')


def json_lines(root: Path, labels: Labels) -> dict:
    lines = [
        json.dumps(dict(image=image, labels=None if -1 in row else labels.positives(row)), ensure_ascii=False)
        for image, row in labels.items()
    ]
    (root / 'labels.jsonl').write_text('\n'.join(lines), encoding='utf-8')
    return dict(ann_file='labels.jsonl')


def workbook(root: Path, labels: Labels) -> dict:
    openpyxl = pytest.importorskip('openpyxl')
    book = openpyxl.Workbook()
    book.active.append(['image', *labels.names])
    for image, row in labels.items():
        book.active.append([image, *(None if value < 0 else value for value in row)])
    book.save(root / 'labels.xlsx')
    return dict(ann_file='labels.xlsx')


def mmpretrain(root: Path, labels: Labels) -> dict:
    entries = []
    for image, row in labels.items():
        known = {} if -1 in row else dict(gt_label=[index for index, value in enumerate(row) if value])
        entries.append(dict(img_path=image) | known)
    content = dict(metainfo=dict(classes=labels.names), data_list=entries)
    (root / 'labels.json').write_text(json.dumps(content), encoding='utf-8')
    return dict(ann_file='labels.json')


def fiftyone(root: Path, labels: Labels) -> dict:
    found = {
        os.path.splitext(image)[0]: None if -1 in row else [dict(label=name) for name in labels.positives(row)]
        for image, row in labels.items()
    }
    content = dict(classes=labels.names, labels=found)
    (root / 'labels.json').write_text(json.dumps(content, ensure_ascii=False), encoding='utf-8')
    return dict(ann_file='labels.json')


def coco(root: Path, labels: Labels) -> dict:
    images = [dict(id=number, file_name=image, width=9, height=9) for number, image in enumerate(labels.images)]
    instances = [
        dict(image_id=number, category_id=category, bbox=[1, 1, 2, 2], area=4, iscrowd=0)
        for number, row in enumerate(labels.rows)
        for category, value in enumerate(row)
        if value == 1
    ]
    annotations = [dict(item, id=number) for number, item in enumerate(instances)]
    categories = [dict(id=number, name=name, supercategory='') for number, name in enumerate(labels.names)]
    content = dict(images=images, annotations=annotations, categories=categories)
    (root / 'instances.json').write_text(json.dumps(content, ensure_ascii=False), encoding='utf-8')
    return dict(ann_file='instances.json')


def voc(root: Path, labels: Labels) -> dict:
    folder = root / 'Annotations'
    folder.mkdir()
    for image, row in labels.items():
        if -1 in row:
            continue
        box = '<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox>'
        objects = ''.join(f'<object><name>{escape(name)}</name>{box}</object>' for name in labels.positives(row))
        text = f'<annotation><filename>{escape(image)}</filename>{objects}</annotation>'
        (folder / f'{os.path.splitext(image)[0]}.xml').write_text(text, encoding='utf-8')
    return dict(ann_file='Annotations')


def yolo(root: Path, labels: Labels) -> dict:
    for image, row in labels.items():
        if -1 not in row:
            lines = [f'{index} 0.5 0.5 0.1 0.1\n' for index, value in enumerate(row) if value]
            path = root / 'labels' / f'{os.path.splitext(image)[0]}.txt'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(''.join(lines))
    names = '\n'.join(f'  {index}: {json.dumps(name, ensure_ascii=False)}' for index, name in enumerate(labels.names))
    (root / 'data.yaml').write_text(f'train: images\nnames:\n{names}\n', encoding='utf-8')
    return dict(ann_file='data.yaml', subset='train')


def cvat(root: Path, labels: Labels) -> dict:
    declared = ''.join(f'<label><name>{escape(name)}</name></label>' for name in labels.names)
    images = ''
    for number, (image, row) in enumerate(labels.items()):
        tags = ''.join(f'<tag label={quoteattr(name)} source="manual"></tag>' for name in labels.positives(row))
        images += f'<image id="{number}" name={quoteattr(image)} width="9" height="9">{tags}</image>'
    meta = f'<version>1.1</version><meta><task><labels>{declared}</labels></task></meta>'
    text = f'<?xml version="1.0" encoding="utf-8"?><annotations>{meta}{images}</annotations>'
    (root / 'annotations.xml').write_text(text, encoding='utf-8')
    return dict(ann_file='annotations.xml')


def studio_tasks(labels: Labels) -> list[dict]:
    tasks = []
    for number, (image, row) in enumerate(labels.items(), 1):
        choices = dict(choices=labels.positives(row))
        result = [dict(value=choices, id='r', from_name='tags', to_name='image', type='choices', origin='manual')]
        annotation = dict(id=number, completed_by=1, was_cancelled=False, ground_truth=False)
        annotation |= dict(result=result if 1 in row else [], updated_at='2024-01-01T00:00:00Z')
        data = dict(image=f'/data/local-files/?d={quote(f"shop/images/{image}")}')
        tasks.append(dict(id=number, data=data, annotations=[] if -1 in row else [annotation], predictions=[]))
    return tasks


def label_studio(root: Path, labels: Labels) -> dict:
    (root / 'export.json').write_text(json.dumps(studio_tasks(labels)), encoding='utf-8')
    return dict(ann_file='export.json')


def label_studio_min(root: Path, labels: Labels) -> dict:
    """JSON-MIN: one choice is a text, several are a dict, and only tasks with an annotation are exported."""
    tasks = []
    for task in studio_tasks(labels):
        for annotation in task['annotations']:
            names = [name for result in annotation['result'] for name in result['value']['choices']]
            answers = dict(tags=names[0] if len(names) == 1 else dict(choices=names)) if names else {}
            facts = dict(id=task['id'], annotator=1, annotation_id=annotation['id'], lead_time=1.5)
            tasks.append(dict(image=task['data']['image']) | facts | answers)
    (root / 'export.json').write_text(json.dumps(tasks), encoding='utf-8')
    return dict(ann_file='export.json')


def label_studio_csv(root: Path, labels: Labels) -> dict:
    rows = []
    for task in studio_tasks(labels):
        for annotation in task['annotations']:
            names = [name for result in annotation['result'] for name in result['value']['choices']]
            cell = names[0] if len(names) == 1 else json.dumps(dict(choices=names)) if names else ''
            rows.append([1, annotation['id'], 'now', task['id'], task['data']['image'], 1.5, cell, 'now'])
    header = ['annotator', 'annotation_id', 'created_at', 'id', 'image', 'lead_time', 'tags', 'updated_at']
    (root / 'export.csv').write_text(as_csv([header, *rows]), encoding='utf-8')
    return dict(ann_file='export.csv')


def folders(root: Path, labels: Labels) -> dict:
    for image, row in labels.items():
        name = '' if -1 in row else (labels.positives(row) or ['none'])[0]
        target = root / 'images' / name / image
        target.parent.mkdir(exist_ok=True)
        if name:
            (root / 'images' / image).rename(target)
    return dict(ann_file='images', img_dir=None)


def is_plain(name: str) -> bool:
    """Whether a class name can stand among others in a cell: nothing separates it, nothing marks a list."""
    return not set(name) & set(';,|[]{}()"\'') and is_no_word(name)


def is_flat(name: str) -> bool:
    """Whether a name can be one of a folder, or of an image that lies in no other."""
    return not set(name) & set('/\\') and len(name.encode()) < 250 and name[0] != '.' and is_no_word(name)


def is_no_word(name: str) -> bool:
    """Whether a name is none of the words that say 'none of the classes' or 'unlabelled', as is documented."""
    return one_form(name).casefold() not in RESERVED


RESERVED = {'none', 'nan', 'null', 'n/a', 'na', '-', '?'}
FORMS = {
    'csv of names': Form(csv_of_names, can_hold=is_plain),
    'csv of Excel': Form(partial(csv_of_names, delimiter=';', encoding='utf-8-sig', between=','), can_hold=is_plain),
    'tsv in UTF-16': Form(partial(csv_of_names, delimiter='\t', encoding='utf-16'), can_hold=is_plain),
    'csv of columns': Form(csv_of_columns, has_partial=True),
    'csv of booleans': Form(partial(csv_of_columns, words=('True', 'False')), has_partial=True),
    'csv of Python lists': Form(csv_of_lists),
    'csv of JSON lists': Form(partial(csv_of_lists, write=json.dumps)),
    'csv of pairs': Form(csv_of_pairs, can_hold=is_plain),
    'json lines': Form(json_lines),
    'workbook': Form(workbook, has_partial=True),
    'mmpretrain': Form(mmpretrain),
    'fiftyone': Form(fiftyone),
    'coco': Form(coco, has_none=False),
    'voc': Form(voc, can_call=is_flat),
    'yolo': Form(yolo),
    'cvat': Form(cvat, has_none=False),
    'label studio json': Form(label_studio, can_hold=is_no_word),
    'label studio json-min': Form(label_studio_min, can_hold=is_no_word),
    'label studio csv': Form(label_studio_csv, can_hold=is_no_word),
    'folders': Form(folders, is_single=True, can_hold=is_flat, can_call=is_flat),
}


# -- examples ----------------------------------------------------------------------------------------------------

odd_names = st.one_of(
    st.sampled_from(WORDS), st.sampled_from(TRICKY), SHORT,
    SHORT.map(lambda text: (text * 200)[:200]),
).filter(plain_name)  # fmt: skip
stems = st.one_of(
    st.from_regex(r'[a-z0-9_]{1,8}', fullmatch=True),
    SHORT,
    SHORT.map(lambda text: (text * 80)[:80]),
).filter(lambda text: '/' not in text and text.strip('. ') and text[0] != '.' and len(text.encode()) < 250)
odd_images = st.builds(
    '{}{}{}'.format, st.sampled_from(['', '', 'sub/', 'a b/']), stems, st.sampled_from(['.jpg', '.png'])
)
plain_images = st.from_regex(r'(north/|south/)?[a-z][a-z0-9_]{0,8}\.(jpg|png)', fullmatch=True)


def key_of(image: str) -> str:
    """Two images whose paths differ in case, extension, or blanks at an end are too much alike to tell apart."""
    return one_form(os.path.splitext(image.replace('\\', '/'))[0]).casefold().replace(' ', '')


@st.composite
def examples(draw, form: Form, is_odd: bool) -> Labels:
    names = draw(
        st.lists(
            odd_names.filter(form.can_hold) if is_odd else st.sampled_from(WORDS),
            min_size=2, max_size=5, unique_by=plain_name,
        )
    )  # fmt: skip
    images = (odd_images if is_odd else plain_images).filter(form.can_call)
    images = draw(st.lists(images, min_size=2, max_size=6, unique_by=key_of))
    known = st.lists(st.sampled_from([0, 1]), min_size=len(names), max_size=len(names))
    if form.is_single:
        known = st.integers(0, len(names)).map(lambda index: [int(index == n) for n in range(len(names))])
    if not form.has_none:
        known = known.filter(any)
    rows = [known]
    if form.has_unlabelled:
        rows.append(st.just([-1] * len(names)))
    if form.has_partial:
        rows.append(st.lists(st.sampled_from([0, 1, -1]), min_size=len(names), max_size=len(names)))
    return Labels(names, images, [draw(st.one_of(rows)) for _ in images])


@pytest.fixture(scope='module')
def place():
    with tempfile.TemporaryDirectory(dir='/dev/shm' if os.path.isdir('/dev/shm') else None) as folder:
        yield Path(folder)


def written(form: Form, labels: Labels, place: Path) -> tuple[Path, dict]:
    """Images of no content, which annotations don't look at, and the labels: folder and options of a data set."""
    root = Path(tempfile.mkdtemp(dir=place))
    for image in labels.images:
        path = root / 'images' / image
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root, dict(data_root=str(root), img_dir='images') | form.write(root, labels)


def difference(data: TableDataset, labels: Labels, root: Path) -> str:
    """How a data set says something else than what was written; '' where it does not."""
    found = data.read_annotations()
    columns = {plain_name(name): column for column, name in enumerate(data.class_names)}
    if set(columns) - {plain_name(name) for name in labels.names}:
        return f'classes {data.class_names} instead of {labels.names}'
    rows = found.labels.tolist()
    read = {os.path.basename(path): row for path, row in zip(found.img_paths, rows, strict=True)}  # of moved images
    read |= {os.path.relpath(path, root / 'images'): row for path, row in zip(found.img_paths, rows, strict=True)}
    for image, row in labels.items():
        if image not in read:
            return f'no image {image!r} among {list(read)}'
        if {name.strip().casefold() for name, value in zip(labels.names, row, strict=True) if value == 1} & SAID:
            continue  # a class that is called so can't be told from what the word says
        for name, value in zip(labels.names, row, strict=True):
            column = columns.get(plain_name(name))
            if name in data.understanding.left:  # a column called fold or id, which is said
                continue
            if column is None and value == 1:
                return f'no class {name!r} among {data.class_names}'
            if column is not None and read[image][column] != value:
                return f'{image!r} {name!r}: {read[image][column]} instead of {value}'
    return ''


def read_back(form: Form, labels: Labels, place: Path, **options) -> tuple[str, bool]:
    """What reads back otherwise, and whether something about the labels is questioned."""
    root, keys = written(form, labels, place)
    try:
        data = TableDataset(**keys | options, lazy_init=True)
        return difference(data, labels, root), is_asked(data)
    finally:
        shutil.rmtree(root)


def is_asked(data: TableDataset) -> bool:
    return bool(questions_of(data.class_names, data.read_annotations().labels, data.understanding))


def refused(error: Exception) -> None:
    assert str(error)
    assert '\n' not in str(error)


# -- properties --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('name', FORMS)
def test_usual_names_are_read_as_they_were_written(name, place):
    form = FORMS[name]

    @USUAL
    @hypothesis.given(examples(form, is_odd=False))
    def check(labels):
        cells = {value for row in labels.rows for value in row}
        # Where nothing says no, it is asked what a blank says.
        hypothesis.assume(1 in cells and (0 in cells or not form.has_partial))
        found, is_questioned = read_back(form, labels, place)
        assert not found or is_questioned, (found, labels)

    check()


@pytest.mark.parametrize('name', FORMS)
def test_odd_names_are_read_as_they_were_written_or_refused_in_one_line_or_questioned(name, place):
    form = FORMS[name]

    @ODD
    @hypothesis.given(examples(form, is_odd=True))
    def check(labels):
        try:
            found, is_questioned = read_back(form, labels, place)
        except (DataError, ConfigError) as error:
            refused(error)
        else:
            assert not found or is_questioned, (found, labels)

    check()


@st.composite
def wounds(draw, content: bytes) -> bytes:
    """Content that was cut, written over, doubled or swapped somewhere, or is none at all."""
    for kind in draw(st.lists(st.sampled_from(['cut', 'over', 'out', 'in', 'twice']), min_size=1, max_size=3)):
        # A share, not a position: a workbook holds the time, and is never the same twice.
        start = int(draw(st.floats(0, 1)) * len(content))
        end = min(len(content), start + draw(st.integers(0, 40)))
        noise = draw(st.one_of(st.binary(max_size=6), st.sampled_from(TOKENS)))
        content = {
            'cut': content[:start],
            'over': content[:start] + noise + content[start + len(noise) :],
            'out': content[:start] + content[end:],
            'in': content[:start] + noise + content[start:],
            'twice': content[:end] + content[start:],
        }[kind]
    return content


@pytest.mark.parametrize('name', FORMS)
def test_broken_label_files_are_read_or_refused_in_one_line(name, place):
    """No traceback of another kind, whatever bytes are in the files."""
    form = FORMS[name]

    @BROKEN
    @hypothesis.given(examples(form, is_odd=False), st.data())
    def check(labels, data):
        root, keys = written(form, labels, place)
        files = sorted(path for path in root.rglob('*') if path.is_file() and path.suffix not in ('.jpg', '.png'))
        for path in files[:3]:
            path.write_bytes(data.draw(wounds(path.read_bytes())))
        try:
            TableDataset(**keys, lazy_init=True).read_annotations()
        except (DataError, ConfigError) as error:
            refused(error)
        finally:
            shutil.rmtree(root)

    check()


@pytest.mark.parametrize('suffix', ['.csv', '.tsv', '.json', '.jsonl', '.xml', '.yaml', '.xlsx', '.txt', '.manifest'])
def test_any_bytes_are_refused_in_one_line(suffix, place):
    @BROKEN
    @hypothesis.given(st.one_of(st.binary(max_size=200), st.lists(st.sampled_from(TOKENS)).map(b''.join)))
    def check(content):
        root = Path(tempfile.mkdtemp(dir=place))
        (root / f'labels{suffix}').write_bytes(content)
        (root / '1.jpg').touch()
        try:
            TableDataset(data_root=str(root), ann_file=f'labels{suffix}', lazy_init=True).read_annotations()
        except (DataError, ConfigError) as error:
            refused(error)
        finally:
            shutil.rmtree(root)

    check()

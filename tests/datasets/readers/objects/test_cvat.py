"""CVAT's own XML: tags, shapes, subsets, and what is none of it."""

import pytest
from PIL import Image

from cssa_mm.datasets import TableDataset
from cssa_mm.errors import DataError

META = """<meta><task><labels>
<label><name>Katze</name><attributes></attributes></label><label><name>person</name><type>skeleton</type></label>
<label><name>nose</name><parent>person</parent></label><label><name>spare</name></label>
</labels></task></meta>"""
IMAGES = {
    'a b.jpg': '<tag label="Katze" source="manual"><attribute name="age">old</attribute></tag><tag label="自行车"/>',
    'sub/b.png': '<box label="Katze" xtl="1" ytl="1" xbr="2" ybr="2"/><polygon label="Katze" points="1,2;3,4"/>'
    '<skeleton label="person"><points label="nose" points="1,2"/></skeleton>',
    'c.jpg': '',
}


def xml(images=IMAGES, meta=META, subsets=None):
    body = ''.join(
        f'<image id="{number}" name="{name}" width="4" height="4"'
        f'{"" if subsets is None else f" subset={chr(34)}{subsets[number]}{chr(34)}"}>{content}</image>'
        for number, (name, content) in enumerate(images.items())
    )
    return f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n{meta}{body}</annotations>'


@pytest.fixture
def read(tmp_path):
    for name in [*IMAGES, 'd.jpg']:
        path = tmp_path / 'images' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (4, 4)).save(path)

    def make(text, encoding='utf-8', **options):
        (tmp_path / 'annotations.xml').write_bytes(text.encode(encoding))
        return TableDataset(**dict(data_root=str(tmp_path), ann_file='annotations.xml') | options)

    return make


def rows(data):
    return {
        image_id: {data.class_names[c] for c in data.get_cat_ids(i)} if (data.labels[i] >= 0).all() else None
        for i, image_id in enumerate(data.image_ids)
    }


LABELS = {'a b.jpg': {'Katze', '自行车'}, 'sub/b.png': {'Katze', 'person'}}


@pytest.mark.parametrize('meta', [META, META.replace('task>', 'project>'), ''])
def test_tags_and_shapes_are_the_labels_of_an_image(read, meta):
    data = read(xml(meta=meta))
    assert data.understanding.format == 'cvat'
    assert data.class_names == ['Katze', 'person', '自行车']
    assert rows(data) == LABELS | {'c.jpg': None, 'd.jpg': None}
    assert data.understanding.left['age'] == 'an attribute (old)'
    assert list(data.understanding.left) == ['age', *(['spare'] if meta else [])]
    assert data.understanding.questions == []
    assert data.understanding.facts['unannotated'].startswith('1 of 3 images have no tag or shape: unlabelled')


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        (dict(unannotated='negative'), {'c.jpg': set(), 'd.jpg': None}),
        (dict(unannotated='drop'), {'d.jpg': None}),
        (dict(test_mode=True), {'c.jpg': set()}),
        (dict(test_mode=True, unannotated='drop'), {}),
    ],
)
def test_images_without_any_are_what_the_key_says(read, options, expected):
    assert rows(read(xml(), **options)) == LABELS | expected


def test_a_subset_is_read_alone_and_the_others_are_no_unlabelled_images(read):
    text = xml(subsets=['Train', 'Validation', 'Train'])
    assert rows(read(text, subset='train')) == {'a b.jpg': LABELS['a b.jpg'], 'c.jpg': None, 'd.jpg': None}
    assert rows(read(text, subset='Validation', test_mode=True)) == {'sub/b.png': LABELS['sub/b.png']}
    questions = read(text).understanding.questions
    assert [(question.kind, question.fix) for question in questions] == [('subsets', 'subset=Train')]
    assert not read(xml(subsets=['Train'] * 3)).understanding.questions
    with pytest.raises(DataError, match="no image of the subset 'Test', expected one of Train, Validation"):
        read(text, subset='Test')


def test_names_of_windows_and_utf_16_are_read(read):
    images = {'D:\\work\\images\\a b.jpg': IMAGES['a b.jpg'], 'sub\\b.png': IMAGES['sub/b.png']}
    assert rows(read(xml(images))) == LABELS | {'c.jpg': None, 'd.jpg': None}
    text = xml().replace('utf-8', 'utf-16')
    assert rows(read(text, encoding='utf-16')) == LABELS | {'c.jpg': None, 'd.jpg': None}


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('<annotations><version>1.1</version><track id="0" label="cat"></track></annotations>', 'tracks of a video'),
        ('<annotations><image id="0"><tag label="cat"/></image></annotations>', 'image 0: found no name'),
        ('<annotations><image id="0" name="c.jpg">', 'found no valid XML'),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>', 'found entities'),
        ('<annotations></annotations>', 'no label in any'),
        ('<annotations><image id="0" name="x.jpg"><tag label="cat"/></image></annotations>', 'no such image'),
    ],
)
def test_other_forms_are_refused_in_one_line(read, text, message):
    with pytest.raises(DataError, match=message) as caught:
        read(text)
    assert '\n' not in str(caught.value)


def test_checkboxes_of_tags_are_asked_about_as_they_are_not_read(read):
    box = '<tag label="photo"><attribute name="cat">{}</attribute></tag>'
    data = read(xml({'a b.jpg': box.format('true'), 'c.jpg': box.format('false')}, meta=''))
    assert data.class_names == ['photo']
    assert [question.kind for question in data.understanding.questions] == ['checkboxes_of_tags']

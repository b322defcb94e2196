"""Labels of any form become our own table, and say the same there."""

import json
import os

import numpy as np
import pytest

from cssa_mm.apis import import_parts
from cssa_mm.apis.importing import import_labels
from cssa_mm.datasets import TableDataset
from cssa_mm.datasets.readers.datumaro_adapter import Found, Item
from cssa_mm.errors import ConfigError, DataError, OpenQuestionsError

ENTRIES = [('a.jpg', [0, 1]), ('b.jpg', [1]), ('sub/c.jpg', []), ('sub/d.jpg', None), ('e.jpg', [0])]


def mmpretrain_json(entries) -> str:
    data = [dict(img_path=name) | ({} if found is None else dict(gt_label=found)) for name, found in entries]
    return json.dumps(dict(metainfo=dict(classes=['cat', 'dining table']), data_list=data))


@pytest.fixture
def source(tmp_path):
    root = tmp_path / 'source'
    for name, _ in ENTRIES:
        path = root / 'images' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (root / 'train.json').write_text(mmpretrain_json(ENTRIES))
    return root


def rows_of(out, table='labels.csv', **options) -> dict[str, list[int]]:
    data = TableDataset(data_root=str(out), ann_file=table, lazy_init=True, include_unlisted=False, **options)
    found = data.read_annotations()
    return {os.path.relpath(path, out): row for path, row in zip(found.img_paths, found.labels.tolist(), strict=True)}


def listed(path) -> list[str]:
    return sorted(found.relative_to(path).as_posix() for found in path.rglob('*') if found.is_file())


WHOLE = {
    'images/a.jpg': [1, 1], 'images/b.jpg': [0, 1], 'images/c.jpg': [0, 0], 'images/d.jpg': [-1, -1],
    'images/e.jpg': [1, 0],
}  # fmt: skip


@pytest.mark.parametrize('is_folder', [False, True])
def test_a_label_file_and_the_folder_that_holds_it_become_a_table(source, tmp_path, is_folder):
    out = tmp_path / 'out'
    result = import_labels(source=source if is_folder else source / 'train.json', out=out)
    assert listed(out) == ['classes.txt', *(f'images/{name}.jpg' for name in 'abcde'), 'labels.csv']
    assert rows_of(out) == WHOLE
    assert (out / 'images' / 'c.jpg').samefile(source / 'images' / 'sub' / 'c.jpg')
    text = result.text()
    assert '5 images, 4 of them labelled, 1 of those with none of the 2 classes' in text
    assert 'read as mmpretrain' in text
    assert 'images as hard links' in text
    assert f'cssa check {out}' in text


def test_images_of_the_same_name_keep_their_folders(source, tmp_path):
    (source / 'images' / 'other').mkdir()
    (source / 'images' / 'other' / 'a.jpg').touch()
    import_labels(source=source, out=tmp_path / 'out', is_copied=True)
    assert 'images/sub/c.jpg' in rows_of(tmp_path / 'out')
    assert 'images/other/a.jpg' in listed(tmp_path / 'out')


@pytest.mark.parametrize('name', ['test.json', 'valid.json'])
def test_another_part_becomes_the_test_set_and_is_not_trained_on(source, tmp_path, name):
    (source / 'train.json').write_text(mmpretrain_json([*ENTRIES[:3], ENTRIES[3]]))
    (source / name).write_text(mmpretrain_json([ENTRIES[4], ('b2.jpg', [1])]))
    (source / 'images' / 'b2.jpg').touch()
    out = tmp_path / 'out'
    result = import_labels(source=source, out=out)
    assert list(result.parts) == ['train', 'test']
    assert rows_of(out, 'test.csv', test_mode=True) == {'images/b2.jpg': [0, 1], 'images/e.jpg': [1, 0]}
    assert 'images/e.jpg' not in rows_of(out)
    data = TableDataset(data_root=str(out), ann_file='labels.csv', held_out='test.csv', lazy_init=True)
    assert data.read_annotations().image_ids == ['a.jpg', 'b.jpg', 'c.jpg', 'd.jpg']


def test_a_validation_part_beside_a_test_part_has_a_folder_of_its_own(source, tmp_path):
    """Images of `images` that no table lists would be trained on."""
    (source / 'train.json').write_text(mmpretrain_json(ENTRIES[:2]))
    (source / 'valid.json').write_text(mmpretrain_json([ENTRIES[4], ('sub/c.jpg', [1])]))
    (source / 'test.json').write_text(mmpretrain_json([('t.jpg', [1])]))
    (source / 'images' / 't.jpg').touch()
    out = tmp_path / 'out'
    import_labels(source=source, out=out)
    assert rows_of(out, 'valid.csv', img_dir='valid') == {'valid/c.jpg': [0, 1], 'valid/e.jpg': [1, 0]}
    assert rows_of(out, 'test.csv') == {'images/t.jpg': [0, 1]}
    assert not (out / 'images' / 'e.jpg').exists()


def test_options_of_the_data_set_decide_how_it_is_read(tmp_path):
    (tmp_path / 'images').mkdir()
    for name in 'abc':
        (tmp_path / 'images' / f'{name}.jpg').touch()
    (tmp_path / 'tags.csv').write_text('file,tags\na.jpg,cat+dog\nb.jpg,nothing\nc.jpg,dog\n')
    options = dict(image_column='file', label_column='tags', label_separators='+', none_word='nothing')
    import_labels(source=tmp_path / 'tags.csv', out=tmp_path / 'out', options=options)
    assert rows_of(tmp_path / 'out') == {
        'images/a.jpg': [1, 1], 'images/b.jpg': [0, 0], 'images/c.jpg': [0, 1],
    }  # fmt: skip
    with pytest.raises(ConfigError, match=r"^options: found 'none_wrd'.* Did you mean 'none_word'\?$"):
        import_labels(source=tmp_path / 'tags.csv', out=tmp_path / 'out2', options=dict(none_wrd='nothing'))
    assert not (tmp_path / 'out2').exists()


def test_what_looks_wrong_stops_the_import_until_it_is_accepted(source, tmp_path):
    names = ['cat', "['cat'"]
    content = dict(metainfo=dict(classes=names), data_list=[dict(img_path='a.jpg', gt_label=[1])])
    (source / 'train.json').write_text(json.dumps(content))
    out = tmp_path / 'out'
    with pytest.raises(OpenQuestionsError) as caught:
        import_labels(source=source, out=out)
    assert "['cat'" in str(caught.value)
    assert not out.exists()
    import_labels(source=source, out=out, accept='all')
    assert rows_of(out)['images/a.jpg'] == [0, 1]


def test_a_folder_that_holds_something_is_kept_unless_it_is_to_be_replaced(source, tmp_path):
    out = tmp_path / 'out'
    import_labels(source=source, out=out)
    (out / 'notes.txt').touch()
    (source / 'train.json').write_text(mmpretrain_json([('e.jpg', [1]), ('b.jpg', [0])]))
    with pytest.raises(ConfigError, match='which holds something'):
        import_labels(source=source, out=out)
    assert rows_of(out) == WHOLE
    import_labels(source=source, out=out, replaces=True)
    assert rows_of(out)['images/e.jpg'] == [0, 1]
    assert (out / 'notes.txt').exists()


def test_images_of_the_source_are_never_replaced(source):
    with pytest.raises(ConfigError, match='which holds the image'):
        import_labels(source=source, out=source, replaces=True)
    assert listed(source) == ['images/a.jpg', 'images/b.jpg', 'images/e.jpg', 'images/sub/c.jpg', 'images/sub/d.jpg',
                              'train.json']  # fmt: skip


def test_a_source_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r'gone: found nothing there'):
        import_labels(source=tmp_path / 'gone', out=tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


# -- by Datumaro -------------------------------------------------------------------------------------------------


@pytest.fixture
def answers(monkeypatch, source):
    """answers(format, class names, items) makes Datumaro answer so; paths are counted from the source's images."""

    def call(format, names, items):
        found = Found(format, '1.13', names, [
            Item(path and str(source / 'images' / path), *rest) for path, *rest in items
        ], {'caption': 1})  # fmt: skip
        monkeypatch.setattr(import_parts, 'read_by_datumaro', lambda *_: found)

    return call


def test_an_image_without_a_label_is_unlabelled_and_it_is_said(answers, source, tmp_path):
    items = [('a.jpg', 'train', ('dog', 'cat'), ()), ('b.jpg', 'train', ('dog',), ()), ('e.jpg', 'train', (), ())]
    answers('vott_csv', ['cat', 'dog', 'never'], [*items, ('gone.jpg', 'train', ('cat',), ()), (None, '', (), ())])
    result = import_labels(source=source, out=tmp_path / 'out', datumaro='python')
    assert rows_of(tmp_path / 'out') == {
        'images/a.jpg': [1, 1], 'images/b.jpg': [0, 1], 'images/e.jpg': [-1, -1],
    }  # fmt: skip
    text = result.text()
    assert 'Datumaro cannot tell it from one with none of the classes' in text
    assert 'left out: 2 images (no such file)' in text
    assert 'caption (1 annotations without a class)' in text


def test_of_open_images_what_nobody_has_verified_is_unknown(answers, source, tmp_path):
    (source / 'annotations').mkdir()
    (source / 'annotations' / 'oidv6-class-descriptions.csv').write_text('LabelName,DisplayName\n/m/0,Cat\n/m/1,Dog\n')
    answers('open_images', ['/m/0', '/m/1'], [
        ('a.jpg', 'train', ('/m/0',), ('/m/1',)), ('b.jpg', 'train', ('/m/1',), ()),
        ('e.jpg', 'validation', ('/m/1',), ('/m/0',)),
    ])  # fmt: skip
    import_labels(source=source, out=tmp_path / 'out', datumaro='python')
    assert rows_of(tmp_path / 'out') == {'images/a.jpg': [1, 0], 'images/b.jpg': [-1, 1]}
    assert rows_of(tmp_path / 'out', 'test.csv') == {'images/e.jpg': [0, 1]}
    assert (tmp_path / 'out' / 'classes.txt').read_text().split() == ['Cat', 'Dog']


def test_a_format_of_ours_is_left_to_our_reader(answers, source, tmp_path):
    answers('coco_instances', ['cat'], [('a.jpg', 'train', ('cat',), ())])
    result = import_labels(source=source, out=tmp_path / 'out', datumaro='python')
    assert result.parts['train'].understanding.format == 'mmpretrain'


def test_a_format_that_was_never_tried_is_questioned(answers, source, tmp_path):
    answers('nyu_depth_v2', ['cat', 'dog'], [('a.jpg', 'train', ('cat',), ()), ('b.jpg', 'train', ('dog',), ())])
    with pytest.raises(OpenQuestionsError, match='untried_format'):
        import_labels(source=source, out=tmp_path / 'out', datumaro='python')
    import_labels(source=source, out=tmp_path / 'out', datumaro='python', accept=['untried_format'])
    np.testing.assert_equal(list(rows_of(tmp_path / 'out').values()), [[1, 0], [0, 1]])


def test_an_image_of_two_parts_is_an_error_where_both_label_it(answers, source, tmp_path):
    answers('vott_csv', ['cat'], [('a.jpg', 'train', ('cat',), ()), ('a.jpg', 'test', ('cat',), ())])
    with pytest.raises(DataError, match="found this image in both 'train' and 'test'"):
        import_labels(source=source, out=tmp_path / 'out', datumaro='python', accept='all')
    assert not (tmp_path / 'out').exists()


def test_where_datumaro_finds_no_label_it_is_an_error(answers, source, tmp_path):
    answers('vott_csv', ['cat'], [('a.jpg', 'train', (), ()), ('gone.jpg', 'train', ('cat',), ())])
    with pytest.raises(DataError, match="found no labelled training image by Datumaro's 'vott_csv'"):
        import_labels(source=source, out=tmp_path / 'out', datumaro='python')

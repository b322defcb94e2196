from pathlib import Path

import pytest
from mmengine.config import Config
from mmpretrain.registry import DATASETS

from cssa_mm.datasets import VOCMultiLabelDataset
from cssa_mm.datasets.voc import VOC_CLASSES
from cssa_mm.errors import ConfigError, DataError

CONFIGS = Path(__file__).parents[2] / 'configs'


def positives(data):
    return {image_id: {data.class_names[c] for c in data.get_cat_ids(i)} for i, image_id in enumerate(data.image_ids)}


def test_images_come_sorted_by_name_with_the_classes_of_their_objects(voc_root):
    data = VOCMultiLabelDataset(data_root=str(voc_root))
    assert data.image_ids == ['2008_000001', '2008_000002', '2008_000003', '2008_000004']
    assert positives(data) == {
        '2008_000001': {'dining table', 'chair'},
        '2008_000002': {'chair'},
        '2008_000003': {'dog', 'person'},
        '2008_000004': {'tv monitor'},
    }
    assert (data.labels >= 0).all()


def test_a_class_with_difficult_objects_only_is_unknown_on_request(voc_root):
    data = VOCMultiLabelDataset(data_root=str(voc_root), ignore_difficult=True)
    chair = VOC_CLASSES.index('chair')
    assert data.labels[:, chair].tolist() == [-1, 1, 0, 0]
    assert (data.labels == -1).sum() == 1


def test_an_image_list_with_flags_is_read(voc_root):
    (voc_root / 'ImageSets' / 'Main' / 'dog_train.txt').write_text('2008_000003  1\n2008_000001 -1\n\n')
    data = VOCMultiLabelDataset(data_root=str(voc_root), image_set='dog_train')
    assert data.image_ids == ['2008_000001', '2008_000003']


def test_the_default_class_names_are_words():
    assert len(set(VOC_CLASSES)) == 20
    assert {'dining table', 'potted plant', 'tv monitor'} < set(VOC_CLASSES)


def test_names_as_the_annotation_writes_them_are_taken_too(voc_root):
    names = [name.replace(' ', '') for name in VOC_CLASSES]
    data = VOCMultiLabelDataset(data_root=str(voc_root), class_names=names)
    assert positives(data)['2008_000001'] == {'diningtable', 'chair'}


def test_a_missing_image_list_is_named(voc_root):
    with pytest.raises(DataError, match='Main/trian.txt: cannot be read .*expected a VOC image list'):
        VOCMultiLabelDataset(data_root=str(voc_root), image_set='trian')


def test_a_missing_annotation_is_named(voc_root):
    (voc_root / 'Annotations' / '2008_000002.xml').unlink()
    with pytest.raises(DataError, match='2008_000002.xml: cannot be read'):
        VOCMultiLabelDataset(data_root=str(voc_root))


def test_an_annotation_that_is_no_xml_is_named_in_one_line(voc_root):
    (voc_root / 'Annotations' / '2008_000002.xml').write_text('<annotation><object>')
    with pytest.raises(DataError, match='2008_000002.xml: found no valid XML') as caught:
        VOCMultiLabelDataset(data_root=str(voc_root))
    assert '\n' not in str(caught.value)


def test_an_object_that_the_class_list_lacks_is_named_with_the_nearest_class(voc_root):
    names = ['monitor of a tv' if name == 'tv monitor' else name for name in VOC_CLASSES]
    (voc_root / 'classes.txt').write_text('\n'.join(names))
    with pytest.raises(DataError, match="2008_000004.xml: found class 'tvmonitor', expected one of the 20"):
        VOCMultiLabelDataset(data_root=str(voc_root), class_names='classes.txt')


def empty(voc_root):
    path = voc_root / 'Annotations' / '2008_000002.xml'
    path.write_text('<annotation><filename>2008_000002.jpg</filename></annotation>')


def test_an_annotation_without_objects_is_refused_in_one_line(voc_root):
    empty(voc_root)
    with pytest.raises(DataError, match='2008_000002.xml: found no object, expected .*keep_empty') as caught:
        VOCMultiLabelDataset(data_root=str(voc_root))
    assert '\n' not in str(caught.value)


def test_images_without_objects_stay_on_request_as_negatives(voc_root):
    empty(voc_root)
    data = VOCMultiLabelDataset(data_root=str(voc_root), keep_empty=True)
    assert data.image_ids[1] == '2008_000002'
    assert data.labels[1].tolist() == [0] * 20
    assert data.is_labelled.all()


@pytest.mark.parametrize('option', ['negative', 'unlabelled', 'drop'])
def test_images_without_objects_are_what_the_key_says(voc_root, option):
    empty(voc_root)
    data = VOCMultiLabelDataset(data_root=str(voc_root), unannotated=option)
    rows = dict(zip(data.image_ids, data.labels.tolist(), strict=True))
    assert rows.get('2008_000002') == {'negative': [0] * 20, 'unlabelled': [-1] * 20, 'drop': None}[option]
    assert len(rows) == (3 if option == 'drop' else 4)
    assert data.understanding.facts['unannotated'].startswith('1 of 4 images have no object')


@pytest.mark.parametrize('option', ['negative', 'unlabelled', 'drop'])
def test_a_listed_image_without_xml_is_unlabelled_on_request_and_never_negative(voc_root, option):
    (voc_root / 'Annotations' / '2008_000002.xml').unlink()
    options = dict(data_root=str(voc_root), unannotated=option)
    if option == 'negative':
        with pytest.raises(DataError, match='2008_000002.xml: cannot be read'):
            VOCMultiLabelDataset(**options)
        return
    data = VOCMultiLabelDataset(**options)
    assert data.image_ids.count('2008_000002') == (option == 'unlabelled')
    assert data.is_labelled.tolist() == [True, *[False] * (option == 'unlabelled'), True, True]


def test_both_names_of_the_key_are_refused_together(voc_root):
    with pytest.raises(ConfigError, match="found True beside unannotated='drop'"):
        VOCMultiLabelDataset(data_root=str(voc_root), unannotated='drop', keep_empty=True)


# ---------------------------------------------------------------- what annotation tools write


def write_objects(path, *names, filename=''):
    objects = ''.join(f'<object><name>{name}</name></object>' for name in names)
    path.write_text(f'<annotation><filename>{filename}</filename>{objects}</annotation>')


def test_names_of_images_may_hold_blanks_and_lists_of_one_class_have_flags(voc_root):
    for old, new in (('2008_000001', 'Photo (1)'), ('2008_000002', 'Photo 1'), ('2008_000003', 'Photo -1')):
        (voc_root / 'Annotations' / f'{old}.xml').rename(voc_root / 'Annotations' / f'{new}.xml')
        (voc_root / 'JPEGImages' / f'{old}.jpg').rename(voc_root / 'JPEGImages' / f'{new}.jpg')
    lists = voc_root / 'ImageSets' / 'Main'
    (lists / 'train.txt').write_text('Photo (1)\nPhoto 1\nPhoto -1\n')
    (lists / 'dog_train.txt').write_text('Photo (1) -1\nPhoto 1  -1\nPhoto -1  1\n')
    (lists / 'two.txt').write_text('Photo 1\nPhoto -1\n')
    names = ['Photo (1)', 'Photo -1', 'Photo 1']
    for image_set, expected in (('train', names), ('dog_train', names), ('two', names[1:])):
        data = VOCMultiLabelDataset(data_root=str(voc_root), image_set=image_set)
        assert data.image_ids == expected
    assert positives(data) == {'Photo -1': {'dog', 'person'}, 'Photo 1': {'chair'}}


@pytest.mark.parametrize('suffix', ['.png', '.JPG', '.jpeg'])
def test_images_may_have_another_extension(voc_root, suffix):
    for path in list((voc_root / 'JPEGImages').iterdir())[:3]:
        path.rename(path.with_suffix(suffix))
    data = VOCMultiLabelDataset(data_root=str(voc_root))
    assert [Path(path).stem for path in data.img_paths] == data.image_ids
    assert all(Path(path).is_file() for path in data.img_paths)


def test_of_two_images_of_one_name_the_file_tells_which(voc_root):
    path = voc_root / 'JPEGImages' / '2008_000001.jpg'
    (voc_root / 'JPEGImages' / '2008_000001.webp').touch()
    path.rename(path.with_suffix('.png'))
    with pytest.raises(DataError, match='2008_000001.xml: found the images 2008_000001.png, 2008_000001.webp'):
        VOCMultiLabelDataset(data_root=str(voc_root))
    write_objects(voc_root / 'Annotations' / '2008_000001.xml', 'cat', filename='2008_000001.png')
    assert VOCMultiLabelDataset(data_root=str(voc_root)).img_paths[0].endswith('2008_000001.png')


@pytest.mark.parametrize(
    ('annotations', 'images'), [('Annotations', 'JPEGImages'), ('annotations', 'images'), ('', '')]
)
def test_without_lists_all_files_are_read_and_images_without_one_are_unlabelled(tmp_path, annotations, images):
    for folder in (annotations, images):
        (tmp_path / folder).mkdir(exist_ok=True)
    for name in ('b 1.png', 'a.jpg', 'c.jpg', 'd.jpg'):
        (tmp_path / images / name).touch()
    write_objects(tmp_path / annotations / 'a.xml', 'Fahrrad', '自行车', filename='other.jpg')
    write_objects(tmp_path / annotations / 'b 1.xml', 'Fahrrad')
    write_objects(tmp_path / annotations / 'renamed.xml', '自行车', filename='d.jpg')
    data = VOCMultiLabelDataset(data_root=str(tmp_path))
    assert data.class_names == ['Fahrrad', '自行车']
    assert dict(zip(data.image_ids, data.labels.tolist(), strict=True)) == {
        'a': [1, 1], 'b 1': [1, 0], 'c': [-1, -1], 'd': [0, 1],
    }  # fmt: skip
    assert data.understanding.facts['images without XML'] == '1 of 4: unlabelled'
    assert data.annotation_path('d').endswith('renamed.xml')
    test = VOCMultiLabelDataset(data_root=str(tmp_path), test_mode=True)
    assert test.image_ids == ['a', 'b 1', 'd']


def test_the_classes_are_vocs_or_those_of_all_files(voc_root):
    lists = voc_root / 'ImageSets' / 'Main'
    (lists / 'val.txt').write_text('2008_000001\n')
    (lists / 'train.txt').write_text('2008_000002\n')
    write_objects(voc_root / 'Annotations' / '2008_000002.xml', 'raccoon', 'chair')
    train = VOCMultiLabelDataset(data_root=str(voc_root))
    assert train.class_names == ['chair', 'diningtable', 'dog', 'person', 'raccoon', 'tvmonitor']
    val = VOCMultiLabelDataset(data_root=str(voc_root), image_set='val', classes_from=str(voc_root))
    assert val.class_names == train.class_names
    assert VOCMultiLabelDataset(data_root=str(voc_root), image_set='val').class_names == list(VOC_CLASSES)


def test_a_file_that_declares_entities_is_refused(voc_root):
    bomb = '<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;">]>'
    (voc_root / 'Annotations' / '2008_000002.xml').write_text(f'{bomb}<annotation>&y;</annotation>')
    with pytest.raises(DataError, match='2008_000002.xml: found entities'):
        VOCMultiLabelDataset(data_root=str(voc_root))


@pytest.mark.parametrize('encoding', ['latin-1', 'gb18030', 'utf-16', 'utf-8-sig'])
def test_a_file_may_have_the_encoding_that_it_declares(voc_root, encoding):
    name = 'Hüte' if encoding == 'latin-1' else '帽子'
    head = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>'
    text = f'{head}\n<annotation><object><name>{name}</name></object></annotation>'
    (voc_root / 'Annotations' / '2008_000002.xml').write_bytes(text.encode(encoding))
    data = VOCMultiLabelDataset(data_root=str(voc_root))
    assert positives(data)['2008_000002'] == {name}


def test_an_annotation_that_is_no_utf_8_is_refused(voc_root):
    (voc_root / 'Annotations' / '2008_000002.xml').write_bytes('<annotation>Übung</annotation>'.encode('latin-1'))
    with pytest.raises(DataError, match='2008_000002.xml: cannot be read as UTF-8 text .*; save it in UTF-8'):
        VOCMultiLabelDataset(data_root=str(voc_root))


def test_an_image_that_is_listed_twice_is_refused(voc_root):
    (voc_root / 'ImageSets' / 'Main' / 'train.txt').write_text('2008_000001\n2008_000002\n2008_000001\n')
    with pytest.raises(DataError, match="Main/train.txt: found image id '2008_000001' more than once"):
        VOCMultiLabelDataset(data_root=str(voc_root))


@pytest.mark.parametrize('name', ['../../x', '/elsewhere/x', 's3://elsewhere/x'])
def test_a_listed_image_outside_of_the_data_root_is_refused(voc_root, name):
    (voc_root / 'ImageSets' / 'Main' / 'train.txt').write_text(f'2008_000001\n{name}\n')
    with pytest.raises(DataError, match=f"Main/train.txt: found the image '{name}.jpg', which lies outside"):
        VOCMultiLabelDataset(data_root=str(voc_root))


@pytest.mark.parametrize(('part', 'trained', 'tested'), [('voc', 'train', 'val'), ('voc2007', 'trainval', 'test')])
def test_each_config_reads_the_image_sets_of_its_year(voc_root, part, trained, tested):
    for image_set, image_id in ((trained, '2008_000001'), (tested, '2008_000004')):
        (voc_root / 'ImageSets' / 'Main' / f'{image_set}.txt').write_text(f'{image_id}\n')
    config = Config.fromfile(CONFIGS / '_base_' / 'datasets' / f'{part}.py')
    assert config.train_dataloader.dataset.data_root == f'data/VOC{2007 if part == "voc2007" else 2012}/'
    for loader, image_id in (
        ('train_dataloader', '2008_000001'),
        ('val_dataloader', '2008_000004'),
        ('test_dataloader', '2008_000004'),
    ):
        data = DATASETS.build(config[loader].dataset | dict(data_root=str(voc_root), split=None))
        assert data.image_ids == [image_id]

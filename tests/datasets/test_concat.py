"""Two folders of photos with a label file each, as one data set."""

import numpy as np
import pytest
from PIL import Image

from cssa_mm.datasets import COCOMultiLabelDataset, ConcatMultiLabelDataset, TableDataset, UnlabelledDataset
from cssa_mm.datasets.questions import questions_of
from cssa_mm.datasets.sample_key import SampleKey
from cssa_mm.errors import ConfigError, DataError

PIPELINE = [dict(type='View', size=8), dict(type='PackInputs', meta_keys=('image_id', 'is_labelled'))]


def folder(root, count, table, shade=0):
    (root / 'images').mkdir(parents=True)
    for number in range(count):
        Image.new('RGB', (8, 8), (shade, number, 0)).save(root / 'images' / f'{number}.png')
    (root / 'labels.csv').write_text('image,labels\n' + table)
    return dict(type='TableDataset', data_root=str(root), ann_file='labels.csv')


@pytest.fixture
def first(tmp_path):
    """Four photos, 0 and 1 labelled: cat and dog; nothing of 'none'."""
    return folder(tmp_path / 'first', 4, '0.png,cat;dog\n1.png,none\n')


@pytest.fixture
def second(tmp_path):
    """Three photos, 0 and 1 labelled: Dog and sun."""
    return folder(tmp_path / 'second', 3, '0.png,sun;Dog\n1.png,sun\n', 90)


def join(*parts, **options):
    return ConcatMultiLabelDataset(datasets=list(parts), pipeline=PIPELINE, **options)


def test_the_parts_stand_one_below_the_other_over_the_classes_of_all(first, second):
    found = join(first, second)
    assert found.class_names == ['cat', 'dog', 'sun']
    assert found.image_ids == ['1/0.png', '1/1.png', '1/2.png', '1/3.png', '2/0.png', '2/1.png', '2/2.png']
    assert found.is_labelled.tolist() == [True, True, False, False, True, True, False]
    cat, dog, sun = (found.class_names.index(name) for name in ('cat', 'dog', 'sun'))
    expected = np.full((7, 3), -1)
    expected[0, [cat, dog]], expected[1, [cat, dog]] = 1, 0  # nobody says of these whether the sun shines
    expected[4, [dog, sun]], expected[5, [dog, sun]] = 1, [0, 1]
    assert (found.labels == expected).all()
    assert (found.hidden_labels == expected).all()
    assert 'sun' in found.understanding.facts['part 1: unknown']
    assert 'cat' in found.understanding.facts['part 2: unknown']
    sample = found[SampleKey(4, 1)]
    assert sample['data_samples'].image_id == '2/0.png'
    assert sample['data_samples'].gt_score.tolist() == expected[4].tolist()
    assert sample['inputs'][:, 0, 0].tolist() == [90, 0, 0]


def test_class_names_decide_the_order_and_must_hold_all(first, second):
    assert join(first, second, class_names=['sun', 'moon', 'dog', 'cat']).class_names == ['sun', 'moon', 'dog', 'cat']
    with pytest.raises(DataError, match=r"second.labels.csv: found class 'sun', expected one of the 2 class names"):
        join(first, second, class_names=['dog', 'cat'])


def test_listed_classes_are_known_to_a_part(first, second):
    found = join(first | dict(class_names=['cat', 'dog', 'sun']), second)
    assert found.labels[1].tolist() == [0, 0, 0]
    assert 'part 1: unknown' not in found.understanding.facts


def test_a_photo_in_several_parts_is_one_image(first, tmp_path):
    (tmp_path / 'first' / 'more.csv').write_text('image,labels\n1.png,\n2.png,cat\n0.png,dog;cat\n')
    found = join(first, first | dict(ann_file='more.csv'))
    assert found.image_ids == ['1/0.png', '1/1.png', '1/3.png', '2/2.png']  # 2 is unlabelled in the first part alone
    assert found.is_labelled.tolist() == [True, True, False, True]
    assert found.labels.tolist() == [[1, 1], [0, 0], [-1, -1], [1, 0]]
    assert found.understanding.facts['photos in several parts'].startswith(
        '4, each counts once; 2 of them are labelled'
    )
    alone = TableDataset(**{key: value for key, value in first.items() if key != 'type'})
    twice = join(first, first)
    assert (twice.labels == alone.labels).all()


def test_parts_that_contradict_each_other_are_refused(first, tmp_path):
    (tmp_path / 'first' / 'more.csv').write_text('image,labels\n0.png,dog\n1.png,cat\n')
    with pytest.raises(DataError, match='0.png: found this photo in several parts, which disagree on 1 of the 2'):
        join(first, first | dict(ann_file='more.csv'))


def test_each_part_has_its_own_split_and_validation(first, second):
    found = join(first | dict(split=dict(proportion=0.5, seed=1)), second)
    assert found.is_labelled.sum() == 3
    assert (found.hidden_labels[:2, :2] >= 0).all()  # the truth that the split hides
    hidden = np.flatnonzero(~found.is_labelled[:2])
    assert (found.labels[hidden] == -1).all()
    held = join(first | dict(validation=dict(proportion=0.5)), second)
    assert len(held) == 6


def test_one_split_and_one_validation_over_all_parts(first, second):
    found = join(first, second, split=dict(proportion=0.5, seed=3))
    assert set(found.split.image_ids) == set(np.array(found.image_ids)[found.is_labelled])
    assert found.is_labelled.sum() == 2
    options = dict(validation=dict(proportion=0.5, seed=0))
    train, held = join(first, second, **options), join(first, second, part='validation', **options)
    assert len(held) == 2
    assert not set(held.image_ids) & set(train.image_ids)
    assert len(train) == 5
    with pytest.raises(ConfigError, match=r'datasets.0.split: found one beside that of all'):
        join(first | dict(split=dict(proportion=0.5)), second, split=dict(proportion=0.5))


def test_other_data_sets_join_too(first, coco_root):
    coco = dict(type='COCOMultiLabelDataset', data_root=str(coco_root), ann_file='instances.json')
    coco['class_names'] = ['dog', 'person', 'dining table']
    found = join(first, coco)
    assert found.class_names == ['cat', 'dog', 'person', 'dining table']
    alone = COCOMultiLabelDataset(**{key: value for key, value in coco.items() if key != 'type'})
    assert found.image_ids[4:] == [f'2/{image_id}' for image_id in alone.image_ids]
    assert (found.labels[4:, 1:] == alone.labels).all()
    assert (found.labels[4:, 0] == -1).all()


def test_photos_without_labels_join_as_unlabelled_ones(first, tmp_path):
    more = tmp_path / 'more' / 'deep'
    more.mkdir(parents=True)
    for name in ('b.png', 'a.png'):
        Image.new('RGB', (8, 8)).save(more / name)
    (tmp_path / 'more' / 'list.txt').write_text('deep/b.png\n')
    found = join(first, dict(type='UnlabelledDataset', data_root=str(tmp_path / 'more')))
    assert found.image_ids[4:] == ['2/deep/a.png', '2/deep/b.png']
    assert not found.is_labelled[4:].any()
    assert (found.hidden_labels[4:] == -1).all()
    assert UnlabelledDataset(data_root=str(tmp_path / 'more'), ann_file='list.txt').image_ids == ['deep/b.png']


def test_groups_stay_together_across_parts(first, second, tmp_path):
    for name, rows in (('first', '0.png,cat;dog,a\n1.png,none,b\n'), ('second', '0.png,sun,a\n1.png,Dog,c\n')):
        (tmp_path / name / 'labels.csv').write_text('image,labels,film\n' + rows)
    found = join(*(part | dict(group_column='film') for part in (first, second)), split=dict(proportion=0.5, seed=1))
    sides = dict(zip(found.image_ids, found.is_labelled.tolist(), strict=True))
    assert sides['1/0.png'] == sides['2/0.png']


def test_light_copies_keep_rows_together(first, second):
    found = join(first, second, oversample=dict(times=2))
    part = found.get_subset([6, 4, 1])
    assert part.image_ids == ['2/2.png', '2/0.png', '1/1.png']
    assert part.labelled_draws.tolist() == [1, 1, 2, 2]
    assert len(found.with_pipeline([], indices=[0])) == 1


def test_labelled_images_are_drawn_as_their_part_says(first, second):
    found = join(first | dict(oversample=[dict(times=3)]), second)
    assert found.labelled_draws.tolist() == [0, 0, 0, 1, 1, 1, 4, 5]
    assert found.labelled_indices.tolist() == [0, 1, 4, 5]
    assert join(first, second).labelled_draws.tolist() == [0, 1, 4, 5]
    # The sun shines in 2 of 4, dog in 2, cat in 1 of them: sqrt(.5 / .25) is rounded up to 2.
    assert join(first, second, oversample=dict(oversample_thr=0.5)).labelled_draws.tolist() == [0, 0, 1, 4, 5]


def test_a_part_is_questioned_alone(first, second, tmp_path):
    rows = ''.join(f'{number}.png,{"cat" if number % 2 else "dog"}\n' for number in range(6))
    third = folder(tmp_path / 'third', 6, rows) | dict(class_names=['cat', 'dog', 'sun'])
    found = join(second | dict(class_names=['cat', 'dog', 'sun']), third)
    asked = questions_of(found.class_names, found.hidden_labels, found.understanding)
    (question,) = [each for each in asked if each.kind == 'one_label_an_image']
    assert question.text.startswith(str(tmp_path / 'third' / 'labels.csv'))


def test_wrong_labels_and_other_things_of_all_parts(first, second):
    with pytest.raises(ConfigError, match=r'datasets.1.wrong_labels: found 0.5'):
        join(first, second | dict(wrong_labels=0.5))
    with pytest.raises(ConfigError, match=r'datasets: found \[\], expected a list'):
        join()
    with pytest.raises(ConfigError, match=r'datasets.0: found a CustomDataset'):
        join(dict(type='CustomDataset', data_root=first['data_root']))


@pytest.mark.parametrize('seed', range(4))
def test_what_validation_holds_out_is_not_trained_on_whatever_the_parts_say(first, tmp_path, seed):
    (tmp_path / 'first' / 'more.csv').write_text('image,labels\n2.png,cat\n3.png,dog\n')
    options = dict(validation=dict(proportion=0.5, seed=seed))
    parts = [first | dict(split=dict(proportion=0.5)), first | dict(ann_file='more.csv')]
    train = join(*parts, **options)
    held = join(*parts, **options, part='validation', test_mode=True)
    assert len(held) == 2
    assert held.is_labelled.all()  # by no split
    assert not set(train.img_paths) & set(held.img_paths)

import logging
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger

from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.datasets.bad_images import BadImages
from cssa_mm.datasets.base import ImageRecord
from cssa_mm.datasets.readers.understanding import Question, Understanding
from cssa_mm.datasets.splits.split import labelled_indices
from cssa_mm.engine.questions import check_training_data, in_short, refuse_untaught, warn_of_questions
from cssa_mm.errors import DataError, OpenQuestionsError

MIXED = [(1, 0), (1, 1), (0, 1), (0, 0), (-1, -1)]


class Photos(SemiMultiLabelDataset):
    """Images with the given labels; their files hold what their ids say."""

    def __init__(self, rows, folder, **options):
        self.rows, self.folder = rows, folder
        super().__init__(data_root=str(folder), class_names=['cat', 'dog'], **options)

    def load_images(self):
        self.understanding = Understanding('labels.csv', 'csv', facts=dict(encoding='utf-8', separator="';'"))
        for name in self.rows:
            (self.folder / name).write_text(name)
        return [ImageRecord(name, str(self.folder / name), np.array(row)) for name, row in self.rows.items()]


@pytest.fixture
def photos(tmp_path):
    """photos('train', [(1, 0), ...]) -> a data set of these labels, in a folder of its own."""

    def make(name, rows=MIXED, **options):
        (tmp_path / name).mkdir()
        return Photos({f'{name}{n}.jpg': row for n, row in enumerate(rows)}, tmp_path / name, **options)

    return make


@pytest.fixture
def log(caplog):
    """The logged lines."""
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO, logger=logger.name)
    yield lambda level=logging.INFO: [record.message for record in caplog.records if record.levelno == level]
    logger.removeHandler(caplog.handler)


def config(**options):
    return Config(options)


def test_good_data_pass_and_are_told_in_a_line_each(photos, log):
    check_training_data(photos('train'), photos('val'), config())
    assert log() == [
        "Data of train: labels.csv (csv; encoding utf-8; separator ';'): 2 classes, 4 images labelled, 1 unlabelled",
        "Data of val: labels.csv (csv; encoding utf-8; separator ';'): 2 classes, 4 images labelled, 1 unlabelled",
    ]


def test_open_questions_are_a_line_each_and_one_says_how_to_go_on(photos):
    train, val = photos('train'), photos('val', [(1, -1), (1, 1)])
    train.understanding.questions.append(Question('paths', 'found by their ends', 'set img_dir'))
    with pytest.raises(OpenQuestionsError) as error:
        check_training_data(train, val, config(accept=[]))
    lines = str(error.value).splitlines()
    assert lines[:2] == [
        '2 questions about the data, before the first step:',
        'question: train: found by their ends -> set img_dir [paths]',
    ]
    assert lines[2].startswith('question: val: none of the 2 labelled images says of any class that it is not shown')
    assert lines[3].endswith('--cfg-options accept=[paths,test_without_negatives]')
    with pytest.raises(OpenQuestionsError) as error:
        check_training_data(train, val, config(accept=['paths']))
    assert str(error.value).splitlines()[0] == '1 question about the data, before the first step:'
    for accept in ('all', ['paths', 'test_without_negatives']):
        check_training_data(train, val, config(accept=accept))


def test_what_a_split_hides_is_no_reason_to_ask(photos):
    """The labelled image of the split shows every class; the annotation as a whole does not."""
    seed = next(seed for seed in range(99) if labelled_indices(6, 0.2, seed).tolist() == [0])
    train = photos('train', [(1, 1), (1, 0), (0, 1), (0, 0), (1, 0), (0, 1)], split=dict(proportion=0.2, seed=seed))
    assert train.labels[train.is_labelled].tolist() == [[1, 1]]
    check_training_data(train, None, config())


def test_labelled_images_that_show_no_class_train_nothing(photos, log):
    refuse_untaught(photos('good'), config())
    refuse_untaught(object(), config())  # a data set of another package
    train = photos('train', [(0, 0), (0, 0), (-1, -1)])
    with pytest.raises(OpenQuestionsError, match=r'none of the 2 labelled images of this run shows .*\[no_positives\]'):
        refuse_untaught(train, config())
    refuse_untaught(train, config(accept='all'))
    assert log(logging.WARNING)[-1].endswith('nothing is trained, and figures are those of the untrained model')
    hooks = dict(pseudo_labels=dict(mask_unseen_classes=False))
    refuse_untaught(train, config(accept=['no_positives'], default_hooks=hooks))
    assert 'trained on negatives alone' in log(logging.WARNING)[-1]


def test_what_a_split_labels_must_show_a_class(photos):
    seed = next(seed for seed in range(99) if labelled_indices(6, 0.2, seed).tolist() == [0])
    train = photos('train', [(0, 0), (1, 0), (0, 1), (0, 0), (1, 0), (0, 1)], split=dict(proportion=0.2, seed=seed))
    check_training_data(train, None, config())
    with pytest.raises(OpenQuestionsError, match='none of the 1 labelled images of this run shows any class'):
        refuse_untaught(train, config())


def test_labelled_images_that_cannot_be_read_are_named(photos):
    train = photos('train', [(1, 0), (-1, -1), (-1, -1)])
    train.bad_images = BadImages()
    train.bad_images.reasons['train0.jpg'] = 'found no readable image'
    train.labels[0] = -1
    with pytest.raises(OpenQuestionsError, match=r'1 of which cannot be read, such as .*train0\.jpg, shows any class'):
        refuse_untaught(train, config())


def test_a_validation_set_without_positives_is_refused(photos):
    with pytest.raises(DataError, match='^val_dataloader.dataset: found no class with a positive among the 2 test'):
        check_training_data(photos('train'), photos('val', [(0, 0), (0, -1)]), config(accept='all'))


def test_images_in_both_sets_are_refused_by_their_bytes_whatever_is_accepted(photos):
    train, val = photos('train'), photos('val')
    (val.folder / 'val1.jpg').write_text('train0.jpg')
    with pytest.raises(DataError) as error:
        check_training_data(train, val, config(accept='all'))
    assert str(error.value) == (
        f'val_dataloader.dataset: found 1 images that are in the training set, too, such as {val.folder}/val1.jpg '
        f'(the same bytes as {train.folder}/train0.jpg), expected no image in both; remove them from one.'
    )


def test_the_few_photos_that_published_sets_hold_twice_are_a_warning(photos, log):
    train, val = photos('train'), photos('val', MIXED * 50)
    (val.folder / 'val1.jpg').write_text('train0.jpg')
    check_training_data(train, val, config())
    (line,) = log(logging.WARNING)
    assert 'found 1 images that are in the training set, too' in line
    (val.folder / 'val1.jpg').unlink()
    (val.folder / 'val1.jpg').symlink_to(train.folder / 'train0.jpg')
    with pytest.raises(DataError, match='expected no image in both'):
        check_training_data(train, val, config())


def test_ids_that_both_sets_use_are_no_overlap(tmp_path):
    for name in ('train', 'val'):
        (tmp_path / name).mkdir()
    sets = [Photos({f'{n}.jpg': row for n, row in enumerate(MIXED)}, tmp_path / name) for name in ('train', 'val')]
    for n in range(len(MIXED)):
        (tmp_path / 'val' / f'{n}.jpg').write_text('of another content')
    check_training_data(*sets, config())


def test_data_sets_of_others_are_left_alone():
    check_training_data(SimpleNamespace(), SimpleNamespace(), config())
    warn_of_questions(SimpleNamespace(), 'test')


def test_what_is_odd_about_a_test_set_is_a_warning(photos, log):
    warn_of_questions(photos('test', [(1, -1), (1, 1)]), 'test')
    (line,) = log(logging.WARNING)
    assert line.startswith('question: test: none of the 2 labelled images')


def test_a_data_set_without_an_understanding_is_told_by_its_type(photos):
    data = photos('train')
    data.understanding = None
    assert in_short('train', data) == (
        f'Data of train: {data.folder}/ (Photos): 2 classes, 4 images labelled, 1 unlabelled'
    )


@pytest.mark.slow
def test_all_ranks_stop_where_the_first_finds_something(two_ranks):
    two_ranks("""
from mmengine.dist import get_rank
from cssa_mm.engine.questions import on_first_rank
from cssa_mm.errors import OpenQuestionsError
def look():
    assert get_rank() == 0
    raise OpenQuestionsError('a line for each')
try:
    on_first_rank(look)
except OpenQuestionsError as error:
    assert str(error) == 'a line for each'
else:
    raise SystemExit('went on')
on_first_rank(lambda: None)
""")

"""The model has the classes of the training data, said once."""

import pytest

import cssa_mm
from cssa_mm.models.class_names import resolve_class_names, resolve_classes


@pytest.fixture
def root(tmp_path):
    (tmp_path / 'labels.csv').write_text('The image,labels\na.jpg,cat\nb.jpg,dog\nc.jpg,\n')
    (tmp_path / 'words.csv').write_text('name,prompt\ndog,puppy\ncat,kitten\n')
    (tmp_path / 'images').mkdir()
    for name in 'abc':
        (tmp_path / 'images' / f'{name}.jpg').touch()
    return tmp_path


def names_of(root, **overrides):
    options = {key.replace('__', '.'): value for key, value in overrides.items()}
    return cssa_mm.load_config('cssa_table', data_root=root, overrides=options).model.class_names


def test_the_model_follows_the_training_set(root):
    options = dict(train_dataloader__dataset__image_column='The image')
    assert resolve_class_names(names_of(root, **options)) == ['cat', 'dog']
    words = resolve_classes(names_of(root, **options, train_dataloader__dataset__class_names='words.csv'))
    assert words.prompts == (('puppy',), ('kitten',))


def test_options_of_a_data_set_are_no_names_and_prompts(root):
    """As the overrides of four places wrote them, when each had to be told."""
    options = dict(
        train_dataloader__dataset__image_column='The image',
        model__class_names__image_column='The image',
        model__class_names__label_column='labels',
    )
    found = names_of(root, **options)
    assert found.type == 'TableDataset'
    assert found.label_column == 'labels'
    assert resolve_class_names(found) == ['cat', 'dog']


def test_a_dict_of_prompts_stays_what_it_is(root):
    words = {'dog': 'puppy', 'cat': ['kitten', 'cat']}
    assert names_of(root, model__class_names=words) == words


@pytest.mark.parametrize('train', [{}, dict(train_dataloader__dataset__class_names='words.csv')])
def test_a_file_of_the_model_is_found_below_the_data_root(root, train):
    found = names_of(root, model__class_names='words.csv', **train)
    assert resolve_class_names(found) == ['dog', 'cat']

"""The model's classes and prompts, from wherever they come."""

import pytest
import torch
from mmpretrain.registry import DATASETS

import cssa_mm
from cssa_mm.datasets.class_words import ClassWords
from cssa_mm.errors import CheckpointError, ConfigError, DataError
from cssa_mm.models.class_names import resolve_class_names, resolve_classes
from cssa_mm.models.context_head import adapted_contexts
from cssa_mm.models.description import KEY, decode_description, encode_description

WORDS = {'A1': ['dog'], 'B2': ['cat', 'a small tiger'], 'red bicycle': []}
TABLE = 'name,prompt\nA1,dog\nB2,cat;a small tiger\nred bicycle,\n'
EXPECTED = ClassWords.of(WORDS)


@pytest.fixture
def root(tmp_path):
    (tmp_path / 'classes.csv').write_text('\ufeff' + TABLE, 'utf-8')
    (tmp_path / 'classes.txt').write_text('\ufeffsun\ncafe\u0301\n', 'utf-8')
    (tmp_path / 'names.json').write_text('["sun", "caf\u00e9"]', 'utf-8')
    (tmp_path / 'labels.csv').write_text('image,labels\na.jpg,A1\nb.jpg,red bicycle;B2\nc.jpg,\n')
    (tmp_path / 'images').mkdir()
    return tmp_path


def test_a_file_is_found_below_the_data_root_or_as_it_is_written(root, monkeypatch):
    monkeypatch.chdir(root.parent)
    for names in (str(root / 'classes.txt'), f'{root.name}/classes.txt', str(root / 'names.json')):
        assert resolve_class_names(names) == ['sun', 'caf\u00e9']
    assert resolve_class_names('classes.txt', str(root)) == ['sun', 'caf\u00e9']
    assert resolve_classes('classes.csv', str(root)) == EXPECTED
    with pytest.raises(ConfigError, match=r"found 'classes.txt', expected a list of names, a text file"):
        resolve_class_names('classes.txt')
    with pytest.raises(ConfigError, match=r"found 'no.txt' \(no such file below '.*' or here\), expected"):
        resolve_class_names('no.txt', str(root))


def test_dicts_data_sets_and_label_files(root):
    assert resolve_classes(WORDS) == EXPECTED
    assert resolve_classes(EXPECTED) is EXPECTED
    config = dict(type='TableDataset', data_root=str(root), ann_file='labels.csv')
    assert resolve_classes(config | dict(classes_from=['classes.csv', 'labels.csv'])) == EXPECTED
    assert resolve_classes(config | dict(classes_from=['no.csv', 'labels.csv'])).is_plain
    assert resolve_classes(config | dict(class_names=WORDS)) == EXPECTED
    assert resolve_classes(config | dict(class_names='classes.csv')) == EXPECTED
    # A label file defines classes by itself, whatever lies beside it.
    assert resolve_classes(str(root / 'labels.csv')).is_plain
    assert set(resolve_class_names(str(root / 'labels.csv'))) == set(EXPECTED.names)
    coco = dict(type='COCOMultiLabelDataset', data_root=str(root), class_names='classes.csv')
    assert resolve_classes(coco) == EXPECTED


@pytest.mark.parametrize(
    ('source', 'error', 'message'),
    [
        (dict(type='TablesDataset'), ConfigError, "Did you mean 'TableDataset'"),
        (['dog', None], ConfigError, 'found the name None in place 2'),
        ([float('nan')], ConfigError, 'write it in quotes'),
        ({'dog': 3}, ConfigError, 'found the prompt 3'),
        (None, ConfigError, 'found None, expected a list of names'),
        ({}, ConfigError, 'found no name'),
        ({'dog', 'cat'}, ConfigError, 'expected a list of names'),
        (dict(type='COCOMultiLabelDataset', class_names='labels.csv'), DataError, 'labels.csv: found neither'),
    ],
)
def test_what_gives_no_classes_is_refused_in_one_line(root, monkeypatch, source, error, message):
    monkeypatch.chdir(root)
    with pytest.raises(error) as found:
        resolve_classes(source)
    assert message in str(found.value)
    assert '\n' not in str(found.value)


def test_every_shipped_list_of_names_is_in_one_form_already():
    for kind in ('COCOMultiLabelDataset', 'VOCMultiLabelDataset', 'NUSWIDEMultiLabelDataset', 'IconsDataset'):
        assert resolve_class_names(kind) == list(DATASETS.get(kind).METAINFO['classes'])


# -- the words of a model ----------------------------------------------------------------------------------------


def test_zero_shot_reads_the_words_and_not_the_names():
    tower = dict(model_name='cssa-demo-rn', pretrained='demo', size=None)

    def texts(names):
        model = cssa_mm.zero_shot(class_names=names, **tower)
        return model.class_names, model.head.text_features(model.text_encoder).positive

    named, expected = texts(['sun', 'cloud', 'night'])
    coded, found = texts({'A1': 'sun', 'B2': ['cloud'], 'C3': ['sun', 'cloud']})
    assert (named, coded) == (['sun', 'cloud', 'night'], ['A1', 'B2', 'C3'])
    torch.testing.assert_close(found[:2], expected[:2], rtol=1e-5, atol=1e-6)
    mean = expected[0] + expected[1]
    torch.testing.assert_close(found[2], mean / mean.norm(), rtol=1e-5, atol=1e-6)


def test_the_anchor_of_the_evidence_is_that_of_the_words(make_model):
    model = make_model(class_names=WORDS, context_head=None, evidence=dict(type='DiscriminantEvidence'))
    expected = model.head.text_features(model.text_encoder)
    assert expected.positive.shape[0] == 3
    assert torch.equal(model.evidence.anchor_text().positive, expected.positive)


def test_a_checkpoint_brings_its_prompts_along(make_model, tmp_path):
    model = make_model(seed=5, class_names=WORDS, context_head=None, view=dict(type='View', size=64))
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'model.pth')
    loaded = cssa_mm.load_model(tmp_path / 'model.pth', device='cpu')
    assert loaded.class_words == EXPECTED
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    model.eval()
    with torch.no_grad():
        assert torch.equal(loaded(images), model(images))


def test_a_model_of_other_prompts_takes_nothing_of_a_checkpoint(make_model):
    state = make_model(class_names=WORDS, context_head=None).state_dict()
    other = make_model(class_names=list(WORDS), context_head=None)
    with pytest.raises(CheckpointError, match=r"""found a model trained with prompts of 'A1' \["dog"\], exp"""):
        other.load_state_dict(state)


def test_a_checkpoint_without_prompts_has_those_of_its_names(make_model):
    model = make_model(class_names=['dog', 'caf\u00e9'], context_head=None)
    state = model.state_dict()
    before = decode_description(state[KEY])
    assert before.pop('prompts') == [['dog'], ['caf\u00e9']]
    state[KEY] = encode_description(before | dict(class_names=['dog', 'cafe\u0301\u00a0']))
    make_model(seed=1, class_names=['dog', 'caf\u00e9'], context_head=None).load_state_dict(state)
    state[KEY] = encode_description(before | dict(prompts=[['dog']]))
    with pytest.raises(CheckpointError, match='found prompts .* expected texts for each class'):
        model.load_state_dict(state)


# -- contexts ----------------------------------------------------------------------------------------------------


def test_no_more_contexts_than_classes():
    assert adapted_contexts(None, 3) == (None, '')
    assert adapted_contexts(dict(num_contexts=3), 3) == (dict(num_contexts=3), '')
    assert adapted_contexts(dict(num_contexts=6), 3) == (
        dict(num_contexts=3),
        'model.context_head.num_contexts: 3 in place of 6, as there are 3 classes',
    )
    options, line = adapted_contexts(dict(num_contexts=6), 1)
    assert options is None
    assert 'single class' in line


def test_a_model_of_few_classes_says_that_it_has_fewer_contexts(make_model, monkeypatch):
    said = []
    monkeypatch.setattr('cssa_mm.models.classifier.print_log', lambda line, *args: said.append(line))
    names = ['a', 'b', 'c', 'd', 'e', 'f']
    assert make_model(class_names=names, context_head={}).context_head.num_contexts == 6
    assert said == []
    model = make_model(class_names=['dog'], context_head={})
    assert model.context_head is None
    assert model.description()['context_head'] is None
    assert make_model(class_names=['dog', 'cat'], context_head={}).context_head.num_contexts == 2
    assert [line.split(':')[0] for line in said] == ['model.context_head', 'model.context_head.num_contexts']

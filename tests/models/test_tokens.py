"""Names that a tokenizer cuts are found without the weights of the tower, and as training finds them."""

import json

import pytest

from cssa_mm.datasets.class_words import ClassWords
from cssa_mm.errors import CheckpointError, ConfigError
from cssa_mm.models import open_clip_loader
from cssa_mm.models.open_clip_loader import load_tokenizer
from cssa_mm.models.prompts import ClassPrompts
from cssa_mm.models.tokens import count_tokens, token_problems


def words(**prompts):
    return ClassWords.of(prompts)


@pytest.fixture
def demo(monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError('weights were opened')

    monkeypatch.setattr(open_clip_loader.open_clip, 'create_model', fail)
    return load_tokenizer('cssa-demo-rn', 'demo')


def test_a_tokenizer_needs_no_weights(demo):
    assert demo(['sun']).shape == (1, demo.context_length)
    with pytest.raises(ConfigError, match="Did you mean 'cssa-demo-rn'"):
        load_tokenizer('cssa-demo-rm', 'demo')


def test_a_missing_vocabulary_is_refused(tmp_path):
    text = dict(context_length=8, tokenizer_kwargs=dict(bpe_path='no.gz'))
    config = dict(embed_dim=4, vision_cfg=dict(image_size=8), text_cfg=text)
    (tmp_path / 'without-vocabulary.json').write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"found no vocabulary 'no.gz'"):
        load_tokenizer('without-vocabulary', config_dir=str(tmp_path))


@pytest.mark.parametrize('num_context', [0, 4, 16])
def test_what_the_check_passes_training_takes_and_the_other_way_round(encoder, num_context):
    limit = encoder.context_length - num_context
    for length in range(limit - 8, limit + 3):
        name = ' '.join(['sun'] * length)
        lines = token_problems(encoder.tokenizer, words(short=['a'], long=[name]), num_context)
        try:
            ClassPrompts(encoder, ['a', name], num_context=num_context)
            message = ''
        except ConfigError as error:
            message = str(error)
        assert lines == ([message] if message else [])
    assert lines[0].startswith(f"class name '{name}' after {num_context} context vectors: found ")


def test_every_wording_counts_and_has_a_line_of_its_own(demo):
    long, longer = 'sun ' * 40, 'sun ' * 50
    found = token_problems(demo, words(a=['sun', long.strip()], b=[], c=[longer.strip()]), 2)
    assert [line.split(': found ')[0].count('sun') for line in found] == [40, 50]


def test_a_tokenizer_of_transformers_is_counted_too():
    class Inner:
        def __call__(self, text):
            return {'input_ids': list(range(len(text.split()) + 1))}

    class Wrapped:
        context_length = 6
        tokenizer = Inner()

        @staticmethod
        def clean_fn(text):
            return text.strip()

    assert count_tokens(Wrapped(), ' a b c ') == 4
    assert token_problems(Wrapped(), words(x=['a b c d e f']), 0) == [
        "class name 'a b c d e f' after 0 context vectors: found 7 tokens, expected at most the 6 of the text tower; "
        'shorten the name or lower prompts.num_context'
    ]
    assert count_tokens(object(), 'a') is None

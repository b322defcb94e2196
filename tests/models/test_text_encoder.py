import json
from dataclasses import replace

import pytest
import torch

from cssa_mm.errors import ConfigError
from cssa_mm.models.open_clip_loader import load_open_clip
from cssa_mm.models.prompts import ClassPrompts
from cssa_mm.models.text_encoder import TextEncoder

TEXTS = ['dog', 'a photo of a traffic light.', 'a very long red bicycle beside the old green table.']


@pytest.fixture(params=['tiny-rn', 'tiny-custom'])
def clip(clip_dir, request):
    """Both layouts of open_clip: the text tower spread over the model (CLIP), and a part of its own."""
    return load_open_clip(request.param, str(clip_dir / f'{request.param}.pt'), str(clip_dir))


@pytest.fixture
def eos_clip(clip_dir, tmp_path):
    """A tower that is read where a certain token stands, not at the largest one."""
    config = json.loads((clip_dir / 'tiny-custom.json').read_text())
    config['text_cfg'].update(pool_type='eos', eos_id=config['text_cfg']['vocab_size'] - 1)
    (tmp_path / 'tiny-eos.json').write_text(json.dumps(config))
    return load_open_clip('tiny-eos', str(clip_dir / 'tiny-custom.pt'), str(tmp_path))


def untruncated(clip, texts=TEXTS):
    with torch.no_grad():
        return clip.model.encode_text(clip.tokenizer(list(texts)))


@pytest.mark.smoke
def test_truncated_features_equal_untruncated_ones(clip):
    encoder = TextEncoder(clip)
    tokens, eos = encoder.tokenize(TEXTS)
    assert tokens.shape[1] == int(eos.max()) + 1 < encoder.context_length
    expected = untruncated(clip)
    assert (expected[0] - expected[1]).abs().max() > 0.01
    torch.testing.assert_close(encoder.encode(TEXTS), expected, rtol=1e-5, atol=1e-5)


def test_a_tower_that_is_read_at_its_eos_token_is_read_there(eos_clip):
    torch.testing.assert_close(TextEncoder(eos_clip).encode(TEXTS), untruncated(eos_clip), rtol=1e-5, atol=1e-5)


def test_the_result_does_not_depend_on_what_it_is_encoded_with(clip):
    encoder = TextEncoder(clip)
    torch.testing.assert_close(encoder.encode(TEXTS)[:1], encoder.encode(TEXTS[:1]), rtol=1e-5, atol=1e-6)


def test_gradients_equal_those_of_the_untruncated_tower(clip):
    clip.model.double()
    encoder = TextEncoder(clip)
    tokens, eos = encoder.tokenize(TEXTS)
    direction = torch.randn(len(TEXTS), 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    short = encoder.embed(tokens).detach().requires_grad_()
    (encoder(short, eos) * direction).sum().backward()

    embedded = []
    layer = encoder.tower.held.token_embedding
    hook = layer.register_forward_hook(lambda module, given, out: embedded.append(out.requires_grad_()) or out)
    (clip.model.encode_text(clip.tokenizer(TEXTS)) * direction).sum().backward(inputs=embedded)
    hook.remove()

    length = tokens.shape[1]
    assert short.grad.abs().max() > 1e-2
    torch.testing.assert_close(short.grad, embedded[0].grad[:, :length], rtol=1e-9, atol=1e-10)
    assert embedded[0].grad[:, length:].abs().max() == 0
    assert all(parameter.grad is None for parameter in clip.model.parameters())


def test_a_text_that_just_fits_is_taken_and_one_token_more_is_refused(clip):
    encoder = TextEncoder(clip)
    room = encoder.context_length - 2  # start and end
    fits = ' '.join(['x'] * room)
    tokens, eos = encoder.tokenize([fits])
    assert int(eos) == encoder.context_length - 1
    torch.testing.assert_close(encoder.encode([fits]), untruncated(clip, [fits]), rtol=1e-5, atol=1e-5)
    with pytest.raises(ConfigError) as error:
        encoder.tokenize(['dog', fits + ' x'])
    assert str(error.value) == (
        f"'{fits} x': found 49 tokens, expected at most the 48 of the text tower; shorten the name or lower "
        'prompts.num_context'
    )


def test_a_tokenizer_of_another_tower_is_refused(clip_dir, tmp_path):
    config = json.loads((clip_dir / 'tiny-rn.json').read_text())
    size = config['text_cfg']['vocab_size'] - 1
    config['text_cfg']['vocab_size'] = size
    (tmp_path / 'tiny-vocabulary.json').write_text(json.dumps(config))
    encoder = TextEncoder(load_open_clip('tiny-vocabulary', None, str(tmp_path)))
    with pytest.raises(ConfigError) as error:
        encoder.encode(['dog'])
    assert f'a tokenizer that gives token {size}, expected less than the vocab_size {size}' in str(error.value)


@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        (dict(embed_cls=True), 'a text tower that is read at a class token behind the text'),  # CoCa
        (dict(hf_model_name='roberta-base'), 'a text tower of the transformers package, .* \\(roberta-base\\)'),
        (dict(pool_type='none'), 'a text tower that is read at no position'),
    ],
)
def test_text_towers_that_take_no_prompts_are_refused_before_they_are_built(clip_dir, tmp_path, text, reason):
    config = json.loads((clip_dir / 'tiny-rn.json').read_text()) | dict(custom_text=True)
    config['text_cfg'] |= text
    (tmp_path / 'tiny-other.json').write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=f"'tiny-other': found {reason}"):
        load_open_clip('tiny-other', None, str(tmp_path))


# -- towers that see the padding, or are read elsewhere than at EOS -------------------------------------------


class SentencePieces:
    """A tokenizer of SigLIP's kind: no token before a text, and padded with EOS (1)."""

    context_length = 12

    def __init__(self, split: tuple[str, ...] = ()) -> None:
        self.split, self.ids = split, {}

    def __call__(self, texts) -> torch.Tensor:
        rows = []
        for text in texts:
            words = [
                part for word in text.split() for part in ([word[:1], f'{word}+'] if word in self.split else [word])
            ]
            row = [self.ids.setdefault(word, 3 + len(self.ids)) for word in words][: self.context_length - 1]
            rows.append(row + [1] * (self.context_length - len(row)))
        return torch.tensor(rows)


@pytest.fixture
def other_clip(clip_dir, tmp_path):
    """other_clip(no_causal_mask=True, ...) -> a tower with random weights and these keys of text_cfg."""

    def make(tokenizer=None, **text):
        config = json.loads((clip_dir / 'tiny-rn.json').read_text()) | dict(custom_text=True)
        config['text_cfg'] |= text | (dict(context_length=12) if tokenizer else {})
        (tmp_path / 'tiny-other.json').write_text(json.dumps(config))
        torch.manual_seed(0)
        clip = load_open_clip('tiny-other', None, str(tmp_path))
        for name, parameter in clip.model.named_parameters():
            if 'positional' in name or 'token_embedding' in name:
                torch.nn.init.normal_(parameter, std=0.5)  # so that padding and places matter
        return replace(clip, tokenizer=tokenizer) if tokenizer else clip

    return make


OTHERS = {
    'mobileclip': (dict(no_causal_mask=True), None),
    'siglip': (dict(no_causal_mask=True, pool_type='last', proj_bias=True), SentencePieces()),
    'clipa': (dict(no_causal_mask=True, pool_type='last'), None),
    'causal, read at its end': (dict(pool_type='last'), None),
    'first': (dict(no_causal_mask=True, pool_type='first'), None),
}


@pytest.mark.parametrize('kind', OTHERS)
def test_other_text_towers_get_their_whole_context_and_equal_open_clip_s(other_clip, kind):
    text, tokenizer = OTHERS[kind]
    clip = other_clip(tokenizer, **text)
    encoder = TextEncoder(clip)
    expected = untruncated(clip)
    assert (expected[0] - expected[1]).abs().max() > 0.01
    torch.testing.assert_close(encoder.encode(TEXTS), expected, rtol=1e-5, atol=1e-5)
    assert encoder.tokenize(TEXTS)[0].shape[1] == encoder.context_length


@pytest.mark.parametrize('kind', ['clip', *OTHERS])
def test_prompts_that_start_from_words_equal_the_sentence_on_every_text_tower(other_clip, kind):
    text, tokenizer = OTHERS.get(kind, ({}, None))
    clip = other_clip(tokenizer, **text)
    encoder = TextEncoder(clip)
    prompts = ClassPrompts(encoder, ['dog', 'traffic light'], num_context=4, initial_words='a photo of a')
    with torch.no_grad():
        found = prompts(encoder)
    expected = untruncated(clip, ['a photo of a dog.', 'a photo of a traffic light.'])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert encoder.start == (0 if tokenizer else 1)


def test_a_tokenizer_that_splits_x_gets_another_placeholder(other_clip):
    text, _ = OTHERS['siglip']
    clip = other_clip(SentencePieces(split=('x', 'a')), **text)
    encoder = TextEncoder(clip)
    assert encoder.placeholder(3) == 'the the the'
    prompts = ClassPrompts(encoder, ['dog'], num_context=3, initial_words='one two three')
    torch.testing.assert_close(prompts(encoder), untruncated(clip, ['one two three dog.']), rtol=1e-5, atol=1e-5)


def test_a_long_text_of_another_tower_is_refused(other_clip):
    text, tokenizer = OTHERS['siglip']
    encoder = TextEncoder(other_clip(SentencePieces(), **text))
    room = ' '.join(f'word{n}' for n in range(10))
    assert encoder.encode([room]).shape == (1, 16)
    with pytest.raises(ConfigError, match='expected at most the 12 of the text tower'):
        encoder.tokenize([f'{room} more and more'])

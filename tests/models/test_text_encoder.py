import json

import pytest
import torch

from cssa_mm.errors import ConfigError
from cssa_mm.models.open_clip_loader import load_open_clip
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
    ('text', 'layout'),
    [
        (dict(no_causal_mask=True), dict(custom_text=True)),  # SigLIP: bidirectional
        (dict(pool_type='last'), dict(custom_text=True)),
        (dict(embed_cls=True), dict(custom_text=True)),  # CoCa: a class token behind the text
    ],
)
def test_text_towers_that_are_not_read_at_eos_are_refused(clip_dir, tmp_path, text, layout):
    config = json.loads((clip_dir / 'tiny-rn.json').read_text()) | layout
    config['text_cfg'] |= text
    name = f'tiny-{next(iter(text))}'
    (tmp_path / f'{name}.json').write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=f"'{name}'.*expected a causal one that is read at EOS"):
        TextEncoder(load_open_clip(name, None, str(tmp_path)))

import pytest
import torch

from cssa_mm.errors import ConfigError
from cssa_mm.models.prompts import ClassPrompts

NAMES = ['dog', 'traffic light', 'red bicycle']


def prompts(encoder, seed=0, **options):
    torch.manual_seed(seed)
    return ClassPrompts(encoder, NAMES, **options)


@pytest.mark.smoke
@pytest.mark.parametrize('class_specific', [True, False])
def test_prompts_that_start_from_words_are_those_words(encoder, class_specific):
    options = dict(num_context=4, initial_words='a photo of a', class_specific=class_specific)
    with torch.no_grad():
        expected = encoder.tower.held.encode_text(encoder.tokenizer([f'a photo of a {name}.' for name in NAMES]))
        found = prompts(encoder, **options)(encoder)
    assert (expected[0] - expected[1]).abs().max() > 0.01
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_without_context_the_bare_names_are_left_and_nothing_learns(encoder):
    bare = prompts(encoder, num_context=0)
    assert bare.context.numel() == 0
    with torch.no_grad():
        expected = encoder.tower.held.encode_text(encoder.tokenizer([f'{name}.' for name in NAMES]))
        torch.testing.assert_close(bare(encoder), expected, rtol=1e-5, atol=1e-5)


def test_each_class_has_vectors_of_its_own_or_all_share_one_set(encoder):
    own, shared = prompts(encoder, num_context=5), prompts(encoder, num_context=5, class_specific=False)
    assert own.context.shape == (3, 5, 32)
    assert shared.context.shape == (5, 32)
    assert torch.equal(own.context[1], shared.context)  # the same start, whoever it belongs to
    for module, others_change in ((own, False), (shared, True)):
        before = module(encoder).detach()
        with torch.no_grad():
            module.context.view(-1, 5, 32)[0, 2] += torch.randn(32, generator=torch.Generator().manual_seed(0))
        changed = (module(encoder).detach() - before).abs().amax(1) > 1e-4
        assert changed.tolist() == [True, others_change, others_change]


def test_words_fill_the_last_vectors_and_noise_the_first(encoder):
    context = prompts(encoder, num_context=7, initial_words='a photo of a').context.detach()
    words = encoder.embed(encoder.tokenizer(['a photo of a']))[0, 1:5].detach()
    assert torch.equal(context[:, 3:], words.expand(3, -1, -1))
    noise = prompts(encoder, num_context=16).context.detach()[0]  # 512 values
    assert noise.mean().abs() < 0.004
    assert noise.std() == pytest.approx(0.02, rel=0.15)


def test_gradients_reach_every_vector(encoder):
    module = prompts(encoder, num_context=4)
    module(encoder).square().sum().backward()
    assert (module.context.grad.abs().amax(-1) > 0).all()


def test_the_seed_decides_the_start(encoder):
    assert torch.equal(prompts(encoder, seed=3).context, prompts(encoder, seed=3).context)
    assert not torch.equal(prompts(encoder, seed=3).context, prompts(encoder, seed=4).context)


def test_only_the_vectors_are_saved(encoder):
    assert list(prompts(encoder).state_dict()) == ['context']


def test_more_initial_words_than_vectors_are_refused(encoder):
    with pytest.raises(ConfigError) as error:
        prompts(encoder, num_context=3, initial_words='a photo of a')
    assert str(error.value) == (
        "prompts.initial_words: found 'a photo of a' with 4 tokens, expected at most prompts.num_context = 3"
    )


def test_a_name_that_leaves_no_room_for_the_context_is_refused(encoder):
    room = encoder.context_length - 2 - len(encoder.tokenizer.encode('traffic light.'))
    assert prompts(encoder, num_context=room).context.shape == (3, room, 32)
    with pytest.raises(ConfigError) as error:
        prompts(encoder, num_context=room + 1)
    assert str(error.value) == (
        f"class name 'traffic light' after {room + 1} context vectors: found 49 tokens, expected at most the 48 of "
        'the text tower; shorten the name or lower prompts.num_context'
    )


@pytest.mark.parametrize('class_specific', [True, False])
@pytest.mark.parametrize('chunk_size', [1, 2, 5])
def test_prompts_that_are_encoded_in_chunks_have_the_same_features_and_gradients(encoder, chunk_size, class_specific):
    options = dict(num_context=3, class_specific=class_specific)
    whole, chunked = prompts(encoder, **options), prompts(encoder, chunk_size=chunk_size, **options)
    assert torch.equal(whole.context, chunked.context)
    features = [module(encoder) for module in (whole, chunked)]
    torch.testing.assert_close(features[1], features[0], rtol=1e-5, atol=1e-6)
    for each in features:
        each.square().sum().backward()
    torch.testing.assert_close(chunked.context.grad, whole.context.grad, rtol=1e-3, atol=1e-5)


def test_chunks_keep_less_for_the_backward_pass(encoder):
    def kept(chunk_size: int | None) -> int:
        sizes = []
        module = prompts(encoder, num_context=3, chunk_size=chunk_size)
        with torch.autograd.graph.saved_tensors_hooks(lambda saved: sizes.append(saved.numel()) or saved, lambda x: x):
            module(encoder)
        return sum(sizes)

    assert kept(1) < kept(None) / 10


def test_a_chunk_of_no_prompts_is_refused(encoder):
    with pytest.raises(ConfigError, match='prompts.chunk_size: found 0, expected 1 or more prompts, or None for all'):
        prompts(encoder, chunk_size=0)

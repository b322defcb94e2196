import pytest
import torch

from cssa_mm.errors import ConfigError
from cssa_mm.models.prompts import ClassPrompts, mean_of_wordings, parts_of

NAMES = ['dog', 'traffic light', 'red bicycle']


def prompts(encoder, seed=0, names=NAMES, **options):
    torch.manual_seed(seed)
    return ClassPrompts(encoder, names, **options)


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


def test_parts_end_where_lengths_grow_and_hold_enough_prompts(monkeypatch):
    monkeypatch.setattr('cssa_mm.models.prompts.FEWEST', 2)
    assert parts_of([3, 3, 3, 4, 5, 5, 6]) == [(slice(0, 3), 3), (slice(3, 7), 6)]
    assert parts_of([3, 3, 4, 4, 5, 5]) == [(slice(0, 2), 3), (slice(2, 4), 4), (slice(4, 6), 5)]
    assert parts_of([3] * 5, most=2) == [(slice(0, 2), 3), (slice(2, 4), 3), (slice(4, 5), 3)]
    assert parts_of([3, 4]) == [(slice(0, 2), 4)]


@pytest.mark.parametrize('class_specific', [True, False])
@pytest.mark.parametrize('chunk_size', [None, 2])
def test_prompts_of_several_lengths_have_the_features_and_gradients_of_one_pass(
    encoder, class_specific, chunk_size, monkeypatch
):
    names = ['red bicycle by the lamp', 'dog', ('table', 'a very long green table'), 'traffic light', 'cup']
    options = dict(names=names, num_context=3, class_specific=class_specific)
    plain = prompts(encoder, **options)
    monkeypatch.setattr('cssa_mm.models.prompts.FEWEST', 1)
    parted = prompts(encoder, chunk_size=chunk_size, **options)
    assert torch.equal(parted.context, plain.context)
    seen = []
    hook = encoder.register_forward_pre_hook(lambda module, given: seen.append(given[0].shape[:2].numel()))
    found = parted(encoder)
    few, seen[:] = sum(seen), []
    expected = plain(encoder)
    hook.remove()
    assert few < sum(seen) == 6 * int(plain.eos.max() + 1)  # tokens
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(0))
    for each in (found, expected):
        (each * weights).sum().backward()
    torch.testing.assert_close(parted.context.grad, plain.context.grad, rtol=1e-4, atol=1e-6)


def test_a_chunk_of_no_prompts_is_refused(encoder):
    with pytest.raises(ConfigError, match='prompts.chunk_size: found 0, expected a whole number from 1 or None'):
        prompts(encoder, chunk_size=0)


def test_the_mean_of_wordings_has_the_gradients_of_the_formula():
    features = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    owners = torch.tensor([0, 1, 1, 1, 2, 2])
    unit = torch.nn.functional.normalize(features, dim=-1)
    expected = torch.stack([unit[:1].mean(0), unit[1:4].mean(0), unit[4:].mean(0)])
    found = mean_of_wordings(features, owners, 3)
    torch.testing.assert_close(found, expected)
    (ours,), (theirs,) = (
        torch.autograd.grad(each.pow(3).sum(), features, retain_graph=True) for each in (found, expected)
    )
    torch.testing.assert_close(ours, theirs)


# -- several wordings of a class -------------------------------------------------------------------------------

WORDINGS = ['dog', ('traffic light', 'a light for traffic', 'red lamp'), ('red bicycle', 'bike')]


def mean_by_hand(encoder, module, class_specific):
    """The mean of the unit features of prompts that are built one by one."""
    rows = []
    for index, words in enumerate(WORDINGS):
        single = ClassPrompts(encoder, [words] if isinstance(words, str) else list(words), num_context=3)
        context = module.context[index] if class_specific else module.context
        single.context = torch.nn.Parameter(context.detach().expand(len(single.prefix), -1, -1).clone())
        features = single(encoder)
        rows.append(sum(row / row.norm() for row in features) / len(features))
    return torch.stack(rows)


@pytest.mark.parametrize('chunk_size', [None, 2])
@pytest.mark.parametrize('class_specific', [True, False])
def test_the_feature_of_several_wordings_is_the_mean_of_their_unit_features(encoder, class_specific, chunk_size):
    torch.manual_seed(0)
    options = dict(num_context=3, class_specific=class_specific, chunk_size=chunk_size)
    module = ClassPrompts(encoder, WORDINGS, **options)
    with torch.no_grad():
        module.context.add_(torch.randn(module.context.shape, generator=torch.Generator().manual_seed(1)))
        assert module.context.shape == ((3, 3, 32) if class_specific else (3, 32))
        torch.testing.assert_close(module(encoder), mean_by_hand(encoder, module, class_specific), rtol=1e-4, atol=1e-5)
    assert list(module.state_dict()) == ['context']
    module(encoder).square().sum().backward()
    gradient = module.context.grad.abs().amax(-1)
    # A mean of one unit feature has the same length whatever the vectors: the first class gets next to nothing.
    assert (gradient[1:] > 1e-5).all() if class_specific else (gradient > 1e-5).all()


def test_one_wording_each_is_the_same_to_the_last_bit_however_it_is_given(encoder):
    expected = prompts(encoder, num_context=3)(encoder)
    torch.manual_seed(0)
    listed = ClassPrompts(encoder, [(name,) for name in NAMES], num_context=3)
    assert listed.owners is None
    assert torch.equal(listed(encoder), expected)


def test_a_wording_that_is_too_long_is_named(encoder):
    long = 'dog ' * 60
    with pytest.raises(ConfigError, match=f"class name '{long.strip()}' after 2 context vectors: found "):
        ClassPrompts(encoder, ['cat', ('dog', long.strip())], num_context=2)

"""Image-wise centring. Oracle: the formula word by word and image by image in float64, and numpy's least squares."""

import math

import numpy as np
import pytest
import torch

from cssa_mm.errors import ConfigError, CSSAError
from cssa_mm.models.alignment_head import TextFeatures
from cssa_mm.models.centring import NOUNS, BackgroundCentring, centring_options, offset_coefficient
from cssa_mm.models.untrained_names import untrained_similarity, untrained_text

WORDS = ['tree', 'river', 'old house']
PROMPTS = dict(num_context=2, initial_words='a')
B, N, D = 3, 5, 16


def make(make_model, seed: int = 0, evidence: dict | None = None, context_head: dict | None = None, **head):
    head = dict(prompts=PROMPTS, attention_temperature=7.0) | head
    return make_model(seed=seed, head=head, evidence=evidence, context_head=context_head).eval()


def centred(**options) -> dict:
    return dict(centring=dict(weight=0.6, vocabulary=WORDS) | options)


@pytest.fixture
def seen():
    """Local features (B, N, D) and global ones (B, D), not normalised."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(B, N, D, generator=generator), torch.randn(B, D, generator=generator)


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / math.sqrt((vector * vector).sum())


def offsets_by_loops(model, local, pooled, label_specific=True, renormalise=True, tau_s=7.0) -> np.ndarray:
    """The mean over words of <v_b, t_b> for each image; the text tower reads each whole prompt, "a WORD."."""
    texts = [unit(model.text_encoder.encode([f'a {word}.'])[0].detach().double().numpy()) for word in WORDS]
    found = []
    for image in range(B):
        positions = [unit(row) for row in local[image].double().numpy()]
        cosines = []
        for text in texts:
            powers = [math.exp(tau_s * text @ position) for position in positions]
            feature = sum(power / sum(powers) * position for power, position in zip(powers, positions, strict=True))
            feature = unit(feature) if renormalise else feature
            cosines.append(text @ (feature if label_specific else unit(pooled[image].double().numpy())))
        found.append(sum(cosines) / len(cosines))
    return np.array(found)


# -- the formula -----------------------------------------------------------------------------------------------


@pytest.mark.smoke
@pytest.mark.parametrize(('label_specific', 'renormalise'), [(True, True), (True, False), (False, True)])
def test_similarities_lose_the_share_of_the_offset(make_model, seen, label_specific, renormalise):
    options = dict(label_specific=label_specific, renormalise=renormalise)
    model, plain = make(make_model, **options, **centred()), make(make_model, **options)
    expected = offsets_by_loops(model, *seen, **options)
    text = plain.head.text_features(plain.text_encoder)
    before, after = (each.head.similarity(each.head.look(*seen), text)[0] for each in (plain, model))
    np.testing.assert_allclose((before - after).detach().double(), 0.6 * expected[:, None].repeat(6, 1), atol=1e-6)
    assert np.ptp(expected) > 0.02  # it is not the same for all images


def test_it_reaches_student_teacher_anchor_and_untrained_names(make_model, seen):
    evidence = dict(type='DiscriminantEvidence')
    model, plain = make(make_model, evidence=evidence, **centred()), make(make_model, evidence=evidence)
    shift = torch.tensor(-0.6 * offsets_by_loops(model, *seen), dtype=torch.float32)[:, None].expand(-1, 6)
    scale = plain.head.log_temperature.exp()
    for who in ('student', 'ema'):
        before, after = (each.alignment_of(*seen, who) for each in (plain, model))
        torch.testing.assert_close(after.logits - before.logits, scale * shift, rtol=0, atol=1e-4)
        assert torch.equal(after.features.whole(), before.features.whole())
    for before, after in list(zip(plain.readings(*seen), model.readings(*seen), strict=True))[1:]:
        torch.testing.assert_close(after - before, shift, rtol=0, atol=1e-5)
    names = untrained_text(plain, [['lamp'], ['cup']])
    before, after = (untrained_similarity(each, *seen, names) for each in (plain, model))
    torch.testing.assert_close(after - before, shift[:, :2], rtol=0, atol=1e-5)


def test_tuned_prompts_and_anchor_share_one_look_at_the_vocabulary(make_model, seen, monkeypatch):
    model = make(make_model, evidence={}, **centred())
    looks, offset = [], model.head.offset
    monkeypatch.setattr(model.head, 'offset', lambda *args: looks.append(1) or offset(*args))
    model.readings(*seen)
    assert len(looks) == 1
    model.readings(*seen)
    assert len(looks) == 2  # other images may follow


def test_the_offset_has_no_gradient(make_model, seen):
    gradients = []
    for head in (dict(), centred()):
        model = make(make_model, **head)
        model.align(*seen).logits.sum().backward()  # a shift that is constant to the prompts changes nothing of it
        gradients.append({name: p.grad for name, p in model.head.named_parameters() if name != 'log_temperature'})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-5, atol=1e-7)
    assert gradients[0]['class_prompts.context'].abs().max() > 1e-3


def test_without_it_a_model_is_bitwise_the_same_and_has_no_entry_more(make_model, seen):
    model, plain = make(make_model, **centred()), make(make_model)
    ours, theirs = model.state_dict(), plain.state_dict()
    own = {'head.centring.text', 'head.centring.weight', 'head.centring.is_fitted'}
    assert ours.keys() - theirs.keys() == own
    assert not any('centring' in name for name in theirs)
    for name in theirs.keys() - {'_extra_state'}:
        assert torch.equal(ours[name], theirs[name]), name
    with torch.no_grad():
        model.head.centring.weight.zero_()
    assert torch.equal(model.logits(*seen), plain.logits(*seen))


# -- the weight ------------------------------------------------------------------------------------------------


def drawn(slope: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Similarities (40, 4) that follow the offsets (40,) with this slope, and offsets."""
    rng = np.random.default_rng(seed)
    offset = rng.normal(0.3, 0.05, 40)
    similarity = rng.normal(0.2, 0.03, (40, 4)) + slope * offset[:, None] + rng.normal(size=4)
    return torch.tensor(similarity, dtype=torch.float32), torch.tensor(offset, dtype=torch.float32)


@pytest.mark.parametrize('slope', [0.8, -0.4])
def test_the_coefficient_is_that_of_numpy_with_an_intercept_for_each_class(slope):
    similarity, offset = drawn(slope)
    classes = np.tile(np.eye(4), (40, 1))
    design = np.column_stack([np.repeat(offset.double().numpy(), 4), classes])
    expected = np.linalg.lstsq(design, similarity.double().numpy().ravel(), rcond=None)[0][0]
    assert offset_coefficient(similarity, offset) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(('slope', 'weight'), [(0.8, None), (-3.0, 0.0), (9.0, 1.0)])
def test_auto_is_half_of_it_within_0_and_1(encoder, slope, weight):
    centring = BackgroundCentring(encoder, vocabulary=WORDS)
    assert (float(centring.weight), bool(centring.is_fitted)) == (0.25, False)
    similarity, offset = drawn(slope)
    centring.fit(similarity, offset)
    expected = offset_coefficient(similarity, offset) / 2 if weight is None else weight
    assert float(centring.weight) == pytest.approx(expected, abs=1e-6)
    assert bool(centring.is_fitted)


@pytest.mark.parametrize('count', [1, 7])
def test_images_of_one_offset_say_nothing(encoder, count):
    centring = BackgroundCentring(encoder, vocabulary=WORDS)
    centring.fit(torch.rand(count, 4), torch.full((count,), 0.3) + 1e-8 * torch.rand(count))
    assert (float(centring.weight), bool(centring.is_fitted)) == (0.25, False)


def test_a_number_needs_no_fit(encoder):
    centring = BackgroundCentring(encoder, weight=1, vocabulary=WORDS)
    assert (float(centring.weight), bool(centring.is_fitted)) == (1.0, True)


# -- the vocabulary --------------------------------------------------------------------------------------------


def test_the_package_has_about_a_hundred_nouns():
    words = centring_options({})['vocabulary']
    assert words == NOUNS.read_text('utf-8').split('\n')[:-1]
    assert 90 <= len(set(words)) == len(words) <= 120


def test_a_file_is_read_as_words(tmp_path):
    (tmp_path / 'words.txt').write_text('tree\n\nriver\nold house \n', 'utf-8')
    assert centring_options(dict(vocabulary=str(tmp_path / 'words.txt'))) == dict(weight='auto', vocabulary=WORDS)


# -- checkpoints -----------------------------------------------------------------------------------------------


def test_a_checkpoint_brings_weight_and_words_without_the_file(make_model, seen, tmp_path):
    import cssa_mm

    path = tmp_path / 'words.txt'
    path.write_text('\n'.join(WORDS), 'utf-8')
    model = make(make_model, **centred(weight='auto', vocabulary=str(path)))
    model.head.centring.fit(*drawn(0.8))
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'model.pth')
    path.unlink()
    found = cssa_mm.load_model(tmp_path / 'model.pth', device='cpu')
    assert found.description() == model.description()
    assert found.description()['head']['centring'] == dict(weight='auto', vocabulary=WORDS)
    assert bool(found.head.centring.is_fitted)
    assert torch.equal(found.logits(*seen), model.logits(*seen))


def test_the_words_of_the_checkpoint_count_not_those_that_the_tower_reads_now(make_model, seen):
    model = make(make_model, **centred())
    other = make(make_model, seed=4, **centred())
    with torch.no_grad():
        other.head.centring.text.add_(0.1)
    model.load_state_dict(other.state_dict())
    assert torch.equal(model.logits(*seen), other.logits(*seen))


@pytest.mark.parametrize(
    ('theirs', 'message'),
    [
        (dict(), r'model.head.centring null, expected {"weight": 0.6, "vocabulary": \["tree", "river", "old house"\]}'),
        (centred(weight=0.5), 'model.head.centring.weight 0.5, expected 0.6'),
        (centred(vocabulary=['sky']), r'model.head.centring.vocabulary \["sky"\], expected \["tree"'),
    ],
)
def test_another_centring_is_another_model(make_model, theirs, message):
    with pytest.raises(CSSAError, match=message):
        make(make_model, **centred()).load_state_dict(make(make_model, **theirs).state_dict())


def test_a_checkpoint_from_before_there_was_centring_is_read(make_model, seen):
    from cssa_mm.models.description import KEY, encode_description, read_description

    old = make(make_model, seed=4)
    state = old.state_dict()
    description = read_description(state)
    del description['head']['centring']
    model = make(make_model)
    model.load_state_dict(state | {KEY: encode_description(description)})
    assert torch.equal(model.logits(*seen), old.logits(*seen))


# -- wrong options ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ('auto', "model.head.centring: found 'auto', expected None or a dict such as dict\\(weight='auto'\\)"),
        (dict(weight=0, vocabulary=WORDS), "found a vocabulary with weight 0, which is off; add weight='auto'"),
        (dict(wieght=0.5), "found the unknown key 'wieght', expected one of weight, .* Did you mean 'weight'?"),
        (dict(weight='half'), "centring.weight: found 'half', expected 'auto' or a number from 0 to 1"),
        (dict(weight=1.5), 'centring.weight: found 1.5, expected'),
        (dict(weight=True), 'centring.weight: found True, expected'),
        (dict(weight=math.nan), 'centring.weight: found nan, expected'),
        (dict(weight=None), 'centring.weight: found None, expected'),
        (dict(vocabulary=[]), 'centring.vocabulary: found no name, expected a list of names'),
        (dict(vocabulary=['sky', 'sky']), "centring.vocabulary: found 'sky' twice"),
        (dict(vocabulary=3), 'centring.vocabulary: found 3, expected a list'),
        (dict(vocabulary='no.txt'), r"centring.vocabulary: found 'no.txt', which cannot be read \(No such file"),
    ],
)
def test_wrong_options_are_refused_in_one_line(make_model, options, message):
    with pytest.raises(ConfigError, match=message) as error:
        make(make_model, centring=options)
    assert '\n' not in str(error.value)


def test_a_file_of_labels_is_refused(tmp_path):
    (tmp_path / 'labels.csv').write_text('image,cat,dog\n1.jpg,1,0\n', 'utf-8')
    with pytest.raises(ConfigError, match=r"labels\.csv', which holds labels, expected a text file"):
        centring_options(dict(vocabulary=str(tmp_path / 'labels.csv')))


@pytest.mark.parametrize('score', ['dual', 'negative_embedding'])
def test_scores_without_an_offset_refuse_it(make_model, score):
    with pytest.raises(ConfigError, match=f"head.centring: found .* with score='{score}', a difference of cosines"):
        make(make_model, score=score, **centred())


def test_the_background_is_read_like_classes(make_model, seen):
    """The same words as classes have the same similarities: attention, pooling and prompt are those of a class."""
    model = make(make_model, **centred())
    text = untrained_text(model, [[word] for word in WORDS])
    torch.testing.assert_close(model.head.centring.text, text.positive, rtol=0, atol=0)
    plain = model.head.cosines(model.head.look(*seen), TextFeatures(text.semantic, text.positive, None))[0]
    torch.testing.assert_close(model.head.offset(model.head.look(*seen), model.head.centring.text), plain.mean(1))

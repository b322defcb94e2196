"""Names that were never trained, beside those that were."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import cssa_mm
from cssa_mm import Predictor
from cssa_mm.apis.new_classes import NewClassScorer
from cssa_mm.errors import ConfigError
from cssa_mm.models.score_calibration import ZeroShotCalibration
from cssa_mm.models.thresholds import ClassThresholds


@pytest.fixture
def model(make_model):
    model = make_model(view=dict(type='View', size=64)).eval()
    model.thresholds = ClassThresholds((0.5,) * 6, 'f1', (3,) * 6, ('pooled',) * 6)
    model.zero_shot = ZeroShotCalibration(8.0, -1.0, 0.4)
    return model


@pytest.fixture(scope='module')
def images():
    return [np.random.default_rng(i).integers(0, 256, (70, 90, 3), dtype=np.uint8) for i in range(3)]


def test_trained_classes_score_as_without_new_ones(model, images):
    alone = np.stack([result.scores for result in Predictor(model).predict(images)])
    both = list(Predictor(NewClassScorer(model, ['boat', 'tall ship'])).predict(images))
    assert np.array_equal(np.stack([result.scores[:6] for result in both]), alone)
    assert both[0].scores.shape == (8,)


def test_a_new_name_scores_by_the_cosine_of_its_prompt_and_the_map_of_the_model(model, images):
    scorer = NewClassScorer(model, ['boat'])
    found = np.stack([result.scores[6] for result in Predictor(scorer).predict(images)])
    encoder = model.text_encoder
    words = model.options['head']['prompts']['initial_words']
    tokens, eos = encoder.tokenize([f'{words} boat.'])
    with torch.no_grad():
        text = F.normalize(encoder(encoder.embed(tokens), eos), dim=-1)
        pixels = torch.stack(
            [torch.from_numpy(model.view.of_image(image).transpose(2, 0, 1).copy()) for image in images]
        )
        local, _ = model.backbone(model.data_preprocessor(dict(inputs=list(pixels)))['inputs'])
        local = F.normalize(local, dim=-1)
        attention = torch.softmax(model.head.attention_temperature * local @ text.T, 1)
        cosine = (F.normalize((attention * local).sum(1), dim=-1) @ text.T)[:, 0]
    np.testing.assert_allclose(found, torch.sigmoid(8 * cosine - 1).numpy(), rtol=1e-4)


def test_new_names_are_marked_everywhere(model, images):
    scorer = NewClassScorer(model, {'boat': ['boat', 'ship'], 'tram': 'tram'})
    assert scorer.zero_shot_names == ('boat', 'tram')
    facts = scorer.facts()
    assert facts['zero_shot_names'] == ['boat', 'tram']
    assert facts['class_names'][-2:] == ['boat', 'tram']
    assert facts['thresholds']['sources'][-2:] == ['zero-shot', 'zero-shot']
    assert facts['thresholds']['values'][-2:] == [0.4, 0.4]


def test_without_a_map_new_names_have_scores_and_no_label(model, images):
    model.zero_shot = None
    results = list(Predictor(NewClassScorer(model, ['boat'])).predict(images))
    assert all(0 < result.scores[6] < 1 for result in results)
    assert not any('boat' in result.labels for result in results)


@pytest.mark.parametrize('names', [[], [''], ['boat', 'boat'], ['Traffic_Light'], ['a ' + 'very ' * 60 + 'long name']])
def test_names_that_cannot_be_new_are_refused_in_one_line(model, names):
    with pytest.raises(ConfigError) as error:
        NewClassScorer(model, names)
    assert '\n' not in str(error.value)


def test_an_untrained_model_has_no_new_classes():
    model = cssa_mm.zero_shot(class_names=['anchor'], model_name='cssa-demo-rn', pretrained='demo', size=None)
    with pytest.raises(ConfigError, match='untrained'):
        NewClassScorer(model, ['sun'])

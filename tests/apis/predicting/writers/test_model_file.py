"""model.json says which model predicted, and how labels were chosen."""

import json

import pytest

from cssa_mm.apis.chosen_labels import LabelChoice
from cssa_mm.apis.predicting.writers.model_file import write_model
from cssa_mm.models.thresholds import ClassThresholds

NAMES = ['dog', 'cat']
SHIPPED = ClassThresholds((0.25, 0.5), 'f1', (12, 2), ('own', 'pooled'))


def written(tmp_path, facts, rows, choice):
    write_model(iter(rows), facts, tmp_path / 'model.json', choice=choice)
    return json.loads((tmp_path / 'model.json').read_text('utf-8'))


def test_thresholds_of_the_model(tmp_path, make_facts, make_rows):
    facts = make_facts(NAMES, zero_shot_names=['cat'])
    found = written(tmp_path, facts, make_rows(NAMES, [['dog'], [], NAMES]), LabelChoice(SHIPPED))
    assert {key: found[key] for key in facts} == facts
    assert found['classes'] == [
        dict(name='dog', threshold=0.25, rule='f1', positives=12, source='own', is_zero_shot=False, images=2),
        dict(name='cat', threshold=0.5, rule='f1', positives=2, source='pooled', is_zero_shot=True, images=1),
    ]
    assert (found['images'], found['images_without_label']) == (3, 1)
    assert found['choice'] == dict(
        how="thresholds of the model, found on labelled images by the rule 'f1'",
        is_overridden=False,
        top=None,
        thresholds=SHIPPED.to_dict(),
    )


@pytest.mark.parametrize(
    ('choice', 'threshold', 'rule', 'how'),
    [
        (LabelChoice(SHIPPED, top=1), None, 'top', 'the 1 best'),
        (LabelChoice(ClassThresholds((0.7, 0.7), 'given')), 0.7, 'given', 'that the user gave'),
    ],
)
def test_what_the_user_chose_is_said(tmp_path, make_facts, make_rows, choice, threshold, rule, how):
    found = written(tmp_path, make_facts(NAMES), make_rows(NAMES, [['dog']]), choice)
    assert found['choice']['is_overridden']
    assert how in found['choice']['how']
    assert [(each['threshold'], each['rule']) for each in found['classes']] == [(threshold, rule)] * 2
    assert found['thresholds']['values'] == [0.5, 0.5]  # those that came with the model


def test_a_model_without_thresholds_writes_null(tmp_path, make_facts, make_rows):
    choice = LabelChoice(ClassThresholds.none(2))
    found = written(tmp_path, make_facts(NAMES), make_rows(NAMES, [['dog']]), choice)
    assert [each['threshold'] for each in found['classes']] == [None, None]
    assert not found['choice']['is_overridden']

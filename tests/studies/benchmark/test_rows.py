"""Every row at tiny sizes: its contestants run, and its check sees a wrong result. No time is asserted."""

import pytest
import torch
import torchvision

from cssa_mm.errors import ConfigError
from cssa_mm.models import CSSAClassifier
from cssa_mm.models.alignment_head import LabelAlignmentHead
from cssa_mm.models.label_features import LabelFeatures
from cssa_mm.models.text_encoder import TextEncoder
from cssa_mm.studies.benchmark.measuring import measure
from cssa_mm.studies.benchmark.rows import ROWS, chosen, row_of


@pytest.fixture(autouse=True)
def small_network(monkeypatch):
    monkeypatch.setattr(torchvision.models, 'resnet50', torchvision.models.resnet18)


@pytest.mark.parametrize(
    'name', ['C1', 'C2', 'C3', 'C4', 'C5', 'C6', pytest.param('C7.20', marks=pytest.mark.long), 'C9', 'C10', 'M1', 'M3']
)
def test_a_row_runs_and_computes_what_it_should(tiny, name):
    row = row_of(name)
    figures = measure(row.build(tiny()), repeats=1)
    asked = {'baseline': row.goal.ratio is not None, 'limit': row.goal.limit is not None}
    there = {'baseline': figures.baseline_s is not None, 'limit': figures.limit_s is not None}
    assert all(there[kind] for kind in asked if asked[kind])
    assert min(figures.ours_s, figures.process_gib) > 0
    if row.goal.tolerance is not None:
        assert figures.max_difference <= row.goal.tolerance


def test_scores_that_the_formulas_do_not_give_are_seen(tiny, monkeypatch, tmp_path):
    def other_temperature(head, seen, text):
        return LabelFeatures(seen, text.semantic.float(), 0.9 * head.attention_temperature, head.renormalise)

    monkeypatch.setattr(LabelAlignmentHead, 'label_features', other_temperature)
    found = {
        name: row_of(name).build(tiny(folder=str(tmp_path / name))).difference() for name in ('C2', 'C4', 'C6', 'C9')
    }
    assert all(difference > row_of(name).goal.tolerance for name, difference in found.items()), found


def test_text_that_is_cut_before_its_end_is_seen(tiny, monkeypatch):
    forward = TextEncoder.forward
    monkeypatch.setattr(TextEncoder, 'forward', lambda self, embeddings, eos: forward(self, embeddings, eos - 1))
    assert row_of('C1').build(tiny()).difference() > 1e-3


def test_pooled_features_that_open_clip_does_not_give_are_seen(tiny, monkeypatch):
    contest = row_of('C2').build(tiny())
    encode = type(contest.ours.__self__.model.backbone).forward
    monkeypatch.setattr(
        type(contest.ours.__self__.model.backbone),
        'forward',
        lambda self, images: tuple(part + 0.1 * (place == 1) for place, part in enumerate(encode(self, images))),
    )
    difference = contest.difference()
    assert difference != difference  # nan


def test_a_view_of_other_pixels_is_seen(tiny):
    tiny_setting = tiny()
    shifted = type(tiny_setting)(
        **vars(tiny_setting) | dict(overrides=tiny_setting.overrides | {'view.backend': 'cv2'})
    )
    assert row_of('C5').build(shifted).difference() > 1


def test_the_tower_runs_in_the_published_pass_and_never_in_ours(tiny, monkeypatch):
    contest = row_of('C4').build(tiny())
    calls = []
    forward = CSSAClassifier.score
    monkeypatch.setattr(CSSAClassifier, 'score', lambda self, *features: calls.append(1) or forward(self, *features))
    contest.ours()
    assert calls == [1]  # a batch


def test_rows_are_chosen_by_name_or_suite():
    assert [row.id for row in chosen(['c7', 'C1', 'C7.20', 'C8.again'], 'cpu')] == ['C7.20', 'C7.80', 'C1', 'C8.again']
    assert {row.suite for row in chosen(None, 'gpu')} == {'gpu'}
    unasked = [row.id for row in chosen(None, 'cpu')]
    assert 'C11' not in unasked
    assert 'C10' in unasked
    assert len({row.id for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize(
    ('names', 'suite', 'said'),
    [
        (['C1', 'C71'], 'cpu', "found 'C71', expected some of C1, C2.*Did you mean"),
        (None, 'tpu', "--suite: found 'tpu'"),
    ],
)
def test_unknown_rows_and_suites_are_refused(names, suite, said):
    with pytest.raises(ConfigError, match=said):
        chosen(names, suite)


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_the_rows_of_a_gpu_need_one():
    from cssa_mm.studies.benchmark.run import benchmark

    for options in (dict(suite='gpu'), dict(rows=['G1'])):
        with pytest.raises(ConfigError, match='found no CUDA device'):
            benchmark(**options)

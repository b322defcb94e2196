"""What a new model takes over from a trained one."""

import pytest
import torch

from cssa_mm.errors import CheckpointError
from cssa_mm.models.description import KEY
from cssa_mm.models.warm_start import warm_start

NAMES = ['dog', 'cat', 'traffic light', 'red bicycle', 'table', 'window frame']
OTHERS = ['zebra', 'window frame', 'cat', 'dog', 'moose', 'traffic light', 'red bicycle']  # without 'table'
PROMPTS = dict(num_context=2, initial_words='a')
FED = dict(num_contexts=3, feedback=True)
EVIDENCE = dict(type='DiscriminantEvidence')
CONTEXT = 'head.class_prompts.context'
HEADS = {
    'two prompts': dict(prompts=PROMPTS),
    'dual': dict(prompts=PROMPTS, score='dual'),
    'negative embedding': dict(prompts=PROMPTS, score='negative_embedding'),
    'global': dict(prompts=PROMPTS, label_specific=False),
    'shared by classes': dict(prompts=PROMPTS | dict(class_specific=False)),
    'free bias': dict(prompts=PROMPTS, bias=False, learn_temperature=False),
}


def trained(make_model, **options):
    """A model in which no number is what a fresh one has, and the student is another one than the teacher."""
    model = make_model(seed=3, **options)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for value in model.state_dict(keep_vars=True).values():
            if value.is_floating_point():
                value.add_(torch.rand(value.shape, generator=generator) / 4)
        model.teacher.steps.fill_(900)
        model.head.bias_is_calibrated.fill_(True)
    return model.eval()


def started(model, old, strict=False):
    start = warm_start(model, model.state_dict(), old.state_dict(), strict)
    model.load_state_dict(start.state)
    return start


def features_of(model):
    return model.backbone(torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0)))


@pytest.mark.smoke
@pytest.mark.parametrize('head', HEADS.values(), ids=HEADS)
def test_known_classes_score_as_before_and_new_ones_as_in_a_fresh_model(make_model, head):
    """The oracle is the score of the two models, which knows nothing of entries and rows."""
    old = trained(make_model, head=head)
    fresh = make_model(seed=5, head=head, class_names=OTHERS).eval()
    model = make_model(seed=5, head=head, class_names=OTHERS).eval()
    start = started(model, old)
    assert start.kept == ('window frame', 'cat', 'dog', 'traffic light', 'red bicycle')
    assert (start.new, start.dropped) == (('zebra', 'moose'), ('table',))
    features = features_of(model)
    for who in ('ema', 'student'):
        before, at_first, now = (each.score(*features, who) for each in (old, fresh, model))
        for place, name in enumerate(OTHERS):
            if name in NAMES:
                torch.testing.assert_close(now[:, place], before[:, NAMES.index(name)], rtol=1e-5, atol=1e-6)
            elif head['prompts'].get('class_specific', True):
                # The temperature is learned for all classes, so their angle to the image is compared.
                scale = (model.head.log_temperature.exp() / fresh.head.log_temperature.exp()).item()
                if who == 'student':
                    assert torch.logit(now[:, place]).sub(scale * torch.logit(at_first[:, place])).abs().max() < 1e-3


def test_what_rests_on_labels_is_that_of_a_fresh_model(make_model):
    parts = dict(evidence=EVIDENCE, context_head=FED, view=dict(type='View', size=64))
    old = trained(make_model, **parts)
    model = make_model(seed=5, **parts)
    fresh = {name: value.clone() for name, value in model.state_dict().items()}
    started(model, old, strict=True)
    state = model.state_dict()
    anew = [
        name for name in state if name.startswith(('context_head', 'evidence', 'is_taught', 'teacher.context_head'))
    ]
    assert len(anew) > 15
    assert all(torch.equal(state[name], fresh[name]) for name in anew)
    assert not state['head.bias_is_calibrated']
    assert state['teacher.steps'] == 0
    assert torch.equal(state['head.bias'], old.head.bias)  # the prompts are calibrated from here
    assert (model.thresholds.rule, model.calibration.rule, model.zero_shot) == ('default', 'none', None)
    taken = [name for name in state if name.startswith(('head.', 'teacher.head__')) and 'is_cal' not in name]
    assert taken
    assert all(torch.equal(state[name], old.state_dict()[name]) for name in taken)


@pytest.mark.parametrize(
    ('before', 'after'), [(None, FED), (FED, None), (FED, dict(num_contexts=2)), (dict(num_contexts=2), FED)]
)
def test_contexts_and_evidence_may_be_others(make_model, before, after):
    old = trained(make_model, context_head=before)
    model = make_model(seed=5, context_head=after, evidence=EVIDENCE)
    started(model, old, strict=True)
    key = [name for name in model.state_dict() if name.endswith('class_prompts__context')]
    (mine,) = key
    (theirs,) = (name for name in old.state_dict() if name.endswith('class_prompts__context'))
    assert torch.equal(model.state_dict()[mine], old.state_dict()[theirs])
    assert torch.equal(model.head.class_prompts.context, old.head.class_prompts.context)


def refusal(model, state, strict=False):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError) as error:
        warm_start(model, model.state_dict(), state, strict)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert '\n' not in str(error.value)
    return str(error.value)


def test_other_classes_need_a_word(make_model):
    message = refusal(make_model(class_names=[*NAMES, 'zebra']), make_model().state_dict(), strict=True)
    assert message == (
        "checkpoint: found a model trained with other classes ('zebra' is new), expected the same names in the same "
        'order; strict_classes=False keeps the prompts of the classes of the same name'
    )


@pytest.mark.parametrize('strict', [True, False])
def test_another_tower_or_head_is_refused_all_the_same(make_model, backbone_config, strict):
    state = make_model().state_dict()
    assert 'tower.model_name' in refusal(make_model(backbone=backbone_config('tiny-vit')), state, strict)
    dual = make_model(head=dict(prompts=PROMPTS, score='dual'))
    assert 'model.head.score "sigmoid", expected "dual"' in refusal(dual, state, strict)


@pytest.mark.parametrize('name', [CONTEXT, 'head.bias', 'teacher.class_prompts__context', KEY])
def test_a_part_of_a_checkpoint_is_refused(make_model, name):
    state = make_model().state_dict()
    del state[name]
    assert 'found no entry' in refusal(make_model(), state) or name == KEY
    other = make_model().state_dict()
    other[CONTEXT] = other[CONTEXT][:4]
    assert f"'{CONTEXT}' of shape (4, 2, 32), expected (6, 2, 32)" in refusal(make_model(), other)


def test_a_class_in_common_is_needed_unless_all_share_one_prompt(make_model):
    names = ['moose', 'zebra']
    assert 'found none of the 2 classes of this model' in refusal(
        make_model(class_names=names, context_head=None), make_model().state_dict()
    )
    shared = dict(head=dict(prompts=PROMPTS | dict(class_specific=False)))
    model = make_model(class_names=names, context_head=None, **shared)
    old = trained(make_model, **shared)
    assert started(model, old).is_shared
    assert torch.equal(model.head.class_prompts.context, old.head.class_prompts.context)


def test_names_are_matched_in_one_form_and_other_wordings_are_told(make_model):
    old = trained(make_model, class_names=['cafe\u0301', 'dog'], context_head=None)
    model = make_model(class_names={'dog': 'puppy', 'caf\u00e9': 'caf\u00e9'}, context_head=None)
    start = started(model, old)
    assert (start.kept, start.new, start.reworded) == (('dog', 'caf\u00e9'), (), ('dog',))
    assert torch.equal(model.head.class_prompts.context, old.head.class_prompts.context.flip(0))

"""What a checkpoint says of itself, and that no other model takes anything of it."""

import json
import re

import pytest
import torch
from mmengine.runner import load_checkpoint

from cssa_mm.datasets.view import View
from cssa_mm.errors import CheckpointError, ConfigError
from cssa_mm.models.description import FORMAT, KEY, encode_description, read_description, with_defaults
from cssa_mm.models.thresholds import ClassThresholds

NAMES = ['dog', 'cat', 'traffic light', 'red bicycle', 'table', 'window frame']
PROMPTS = dict(num_context=2, initial_words='a')
FED = dict(num_contexts=2, feedback=True)
EVIDENCE = dict(type='DiscriminantEvidence', anchor=0.5)
PLUS = dict(
    head=dict(prompts=PROMPTS, shared_prompts=True, attention_temperature=5.0), context_head=None, evidence=EVIDENCE
)


def load_with_torch(model, state_dict, tmp_path):
    model.load_state_dict(state_dict)


def load_with_mmengine(model, state_dict, tmp_path):
    """As the runner does: not strict, it takes what fits."""
    torch.save(dict(state_dict=state_dict), tmp_path / 'model.pth')
    load_checkpoint(model, str(tmp_path / 'model.pth'), strict=False)


LOADERS = pytest.mark.parametrize('load', [load_with_torch, load_with_mmengine])


def tensors_of(model):
    """Copies of everything that a load could change, towers included."""
    state = {name: value.clone() for name, value in model.state_dict().items()}
    tower = {f'tower.{name}': value.clone() for name, value in model.backbone.clip.model.state_dict().items()}
    buffers = {f'buffer.{name}': value.clone() for name, value in model.named_buffers()}
    return state | tower | buffers


def refusal(model, state_dict, load, tmp_path) -> str:
    """The message of the refusal; nothing of the model may have changed."""
    before = tensors_of(model)
    with pytest.raises(CheckpointError) as error:
        load(model, state_dict, tmp_path)
    after = tensors_of(model)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    message = str(error.value)
    assert '\n' not in message
    assert message.startswith('checkpoint: found ')
    return message


def disturbed(model):
    """A model none of whose learned numbers is what any other one starts with."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for value in model.state_dict(keep_vars=True).values():
            if value.is_floating_point():
                value.add_(torch.rand(value.shape, generator=generator))
    return model


@pytest.fixture(scope='module')
def saved(make_model):
    """saved(**options) -> the state dict of a model with these options; made once."""
    known = {}

    def make(**options):
        key = json.dumps(options, sort_keys=True)
        if key not in known:
            known[key] = disturbed(make_model(seed=3, **options)).state_dict()
        return {name: value.clone() for name, value in known[key].items()}

    return make


# -- the description -------------------------------------------------------------------------------------------


@pytest.mark.smoke
def test_a_checkpoint_describes_its_model_with_every_default_filled_in(make_model, clip_dir):
    model = make_model(view=dict(type='View', size=64), evidence=dict(anchor=0.25), neighbours=dict(max_images=9))
    found = json.loads(bytes(model.state_dict()[KEY].tolist()))
    assert found == dict(
        format=4,
        tower=dict(
            model_name='tiny-rn',
            weights_hash=model.backbone.clip.weights_hash,
            dense='value',
            global_token=True,
            precision='fp32',
            pretrained=str(clip_dir / 'tiny-rn.pt'),
            config_dir=str(clip_dir),
            model_config=json.loads((clip_dir / 'tiny-rn.json').read_text()),
        ),
        class_names=NAMES,
        prompts=[[name] for name in NAMES],
        head=dict(
            type='LabelAlignmentHead',
            prompts=dict(num_context=2, initial_words='a', class_specific=True, chunk_size=None),
            label_specific=True,
            shared_prompts=False,
            renormalise=True,
            attention_temperature=20.0,
            temperature=20.0,
            learn_temperature=True,
            score='sigmoid',
            bias=True,
            centring=None,
        ),
        context_head=dict(
            type='ContextHead',
            num_contexts=2,
            input='features',
            target='multi',
            affinity='conditional',
            method='spectral',
            feedback=False,
        ),
        evidence=dict(
            type='DiscriminantEvidence',
            anchor=0.25,
            discriminant=True,
            prior_count=4.0,
            prior_floor=2.5,
            unseen_weight=0.25,
            shrinkage=0.1,
        ),
        neighbours=dict(type='Neighbours', k=32, weight=0.5, shrinkage=0.2, max_images=9),
        view=dict(type='View', size=64, interpolation='bicubic', backend='pillow'),
        calibration=dict(slope=[1.0] * 6, offset=[0.0] * 6, rule='none'),
        thresholds=dict(values=[0.5] * 6, rule='default', positives=[], sources=[]),
        zero_shot=None,
    )


def test_the_tower_is_named_by_absolute_paths(make_model, backbone_config, clip_dir, monkeypatch):
    monkeypatch.chdir(clip_dir)
    model = make_model(backbone=backbone_config(pretrained='tiny-rn.pt', config_dir='.'))
    tower = model.description()['tower']
    assert (tower['pretrained'], tower['config_dir']) == (str(clip_dir / 'tiny-rn.pt'), str(clip_dir))


def test_a_checkpoint_holds_what_learns_and_nothing_of_the_towers(make_model):
    model = make_model()
    held = sum(value.numel() for value in model.state_dict().values() if value.is_floating_point())
    assert held == sum(p.numel() for p in [*model.parameters(), *model.head.parameters()])  # student and teacher


def test_an_unknown_part_is_named_with_the_nearest(make_model):
    with pytest.raises(ConfigError, match=r"unknown component 'LabelAlignmentHed'.*Did you mean 'LabelAlignmentHead'"):
        with_defaults('LabelAlignmentHead', dict(type='LabelAlignmentHed'))


# -- the same model --------------------------------------------------------------------------------------------


def scores_of(model):
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    features = model.eval().backbone(images)
    return [model.score(*features, who) for who in ('ema', 'student')]


@pytest.mark.smoke
@LOADERS
@pytest.mark.parametrize(
    'options',
    [
        dict(),
        dict(context_head=FED, evidence=EVIDENCE),
        dict(head=dict(prompts=PROMPTS, score='dual', shared_prompts=True), context_head=None),
    ],
    ids=['cssa', 'feedback and evidence', 'dual'],
)
def test_the_same_model_is_restored_bitwise(make_model, saved, options, load, tmp_path):
    trained = make_model(seed=3, **options)
    trained.load_state_dict(saved(**options))
    fresh = make_model(seed=5, **options)
    expected = scores_of(trained)
    assert not all(torch.equal(a, b) for a, b in zip(expected, scores_of(fresh), strict=True))
    load(fresh, saved(**options), tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(expected, scores_of(fresh), strict=True))
    assert all(torch.equal(value, fresh.state_dict()[name]) for name, value in trained.state_dict().items())


TRAINING = {
    'temperature': dict(head=dict(prompts=PROMPTS, temperature=5.0)),
    'initial words': dict(head=dict(prompts=dict(num_context=2, initial_words=''))),
    'loss': dict(loss=dict(gamma_negative=0.0, reduction='mean'), unlabelled_weight=0.1, context_weight=0.0),
    'ema': dict(ema=dict(decay=0.5, warm_up=False)),
    'context target': dict(context_head=dict(num_contexts=2, target='single', affinity='cosine', method='kmeans')),
}


@LOADERS
@pytest.mark.parametrize('options', TRAINING.values(), ids=TRAINING)
def test_what_concerns_training_alone_may_differ(make_model, saved, options, load, tmp_path):
    trained, model = make_model(seed=3), make_model(seed=5, **options)
    trained.load_state_dict(saved())
    load(model, saved(), tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(scores_of(trained), scores_of(model), strict=True))


@LOADERS
def test_chunks_of_prompts_may_differ_and_change_rounding_alone(make_model, saved, load, tmp_path):
    trained, model = make_model(seed=3), make_model(seed=5, head=dict(prompts=PROMPTS | dict(chunk_size=2)))
    trained.load_state_dict(saved())
    load(model, saved(), tmp_path)
    torch.testing.assert_close(scores_of(trained), scores_of(model), rtol=0, atol=1e-6)


def test_the_tower_may_lie_elsewhere_with_its_vocabulary(make_model, backbone_config, clip_dir, saved, tmp_path):
    content = json.loads((clip_dir / 'tiny-rn.json').read_text())
    vocabulary = tmp_path / 'words.txt.gz'
    vocabulary.write_bytes(open(content['text_cfg']['tokenizer_kwargs']['bpe_path'], 'rb').read())
    content['text_cfg']['tokenizer_kwargs']['bpe_path'] = str(vocabulary)
    (tmp_path / 'tiny-rn.json').write_text(json.dumps(content))
    state_dict = saved()
    description = read_description(state_dict)
    description['tower']['model_config'] = content
    state_dict[KEY] = encode_description(description)
    model = make_model(seed=5)
    model.load_state_dict(state_dict)
    assert torch.equal(model.head.class_prompts.context, state_dict['head.class_prompts.context'])


# -- another model ---------------------------------------------------------------------------------------------

DUAL = dict(head=dict(prompts=PROMPTS, score='dual'))
# Options of the checkpoint, of the model, and what the refusal names: the first difference, theirs, ours.
OTHERS = {
    'shared prompts': (
        dict(),
        dict(head=dict(prompts=PROMPTS, shared_prompts=True)),
        'model.head.shared_prompts false',
        'true',
    ),
    'score': (dict(), DUAL, 'model.head.score "sigmoid"', '"dual"'),
    'attention temperature': (
        dict(),
        dict(head=dict(prompts=PROMPTS, attention_temperature=5.0)),
        'model.head.attention_temperature 20.0',
        '5.0',
    ),
    'label-specific': (
        dict(),
        dict(head=dict(prompts=PROMPTS, label_specific=False)),
        'model.head.label_specific true',
        'false',
    ),
    'renormalise': (
        dict(),
        dict(head=dict(prompts=PROMPTS, renormalise=False)),
        'model.head.renormalise true',
        'false',
    ),
    'learned temperature': (
        dict(),
        dict(head=dict(prompts=PROMPTS, learn_temperature=False)),
        'model.head.learn_temperature true',
        'false',
    ),
    'learned bias': (dict(), dict(head=dict(prompts=PROMPTS, bias=False)), 'model.head.bias true', 'false'),
    'number of context vectors': (
        dict(),
        dict(head=dict(prompts=dict(num_context=3))),
        'model.head.prompts.num_context 2',
        '3',
    ),
    'class-specific': (
        dict(),
        dict(head=dict(prompts=PROMPTS | dict(class_specific=False))),
        'model.head.prompts.class_specific true',
        'false',
    ),
    'evidence here': (dict(), dict(evidence=EVIDENCE), 'model.evidence null', '{'),
    'evidence there': (dict(evidence=EVIDENCE), dict(), 'model.evidence {', 'null'),
    'anchor': (
        dict(evidence=EVIDENCE),
        dict(evidence=EVIDENCE | dict(anchor=0.25)),
        'model.evidence.anchor 0.5',
        '0.25',
    ),
    'labelled only': (dict(context_head=None), dict(), 'model.context_head null', '{'),
    'contexts there': (dict(), dict(context_head=None), 'model.context_head {', 'null'),
    'number of contexts': (dict(), dict(context_head=dict(num_contexts=3)), 'model.context_head.num_contexts 2', '3'),
    'what contexts read': (
        dict(),
        dict(context_head=dict(num_contexts=2, input='logits')),
        'model.context_head.input "features"',
        '"logits"',
    ),
    'feedback': (dict(context_head=FED), dict(), 'model.context_head.feedback true', 'false'),
    'feedback here': (dict(), dict(context_head=FED), 'model.context_head.feedback false', 'true'),
    'cssa under cssa_plus': (
        dict(),
        PLUS,
        'model.head.shared_prompts false',
        'true',
    ),
    'cssa_plus under cssa': (
        PLUS,
        dict(),
        'model.head.shared_prompts true',
        'false',
    ),
}


@LOADERS
@pytest.mark.parametrize(('theirs', 'ours', 'found', 'expected'), OTHERS.values(), ids=OTHERS)
def test_another_model_is_refused_by_the_first_difference(
    make_model, saved, theirs, ours, found, expected, load, tmp_path
):
    message = refusal(make_model(**ours), saved(**theirs), load, tmp_path)
    assert message.startswith(f'checkpoint: found a model trained with {found}')
    assert f', expected {expected}' in message
    assert message.endswith('; build the model from the config that it was trained with')


CLASSES = {
    'a name': ([*NAMES[:4], 'chair', 'window frame'], "'chair' is new; 'table' is missing"),
    'order': (NAMES[::-1], 'the same 6 names in another order'),
    'fewer': (NAMES[:3], "'red bicycle', 'table', 'window frame' are missing"),
    'many more': ([*NAMES, *'abcdefg'], "'a', 'b', 'c', 'd', 'e' and 2 more are new"),
}


@LOADERS
@pytest.mark.parametrize(('names', 'difference'), CLASSES.values(), ids=CLASSES)
def test_other_classes_are_refused_by_their_difference(make_model, saved, names, difference, load, tmp_path):
    message = refusal(make_model(class_names=names, context_head=None), saved(context_head=None), load, tmp_path)
    assert f'trained with other classes ({difference}), expected the same names' in message
    assert message.endswith('load_from=CHECKPOINT strict_classes=False')


def test_another_wording_is_refused_by_the_class_that_has_it(make_model, saved, tmp_path):
    words = {name: 'kitten' if name == 'cat' else name for name in NAMES}
    message = refusal(make_model(class_names=words), saved(), load_with_torch, tmp_path)
    assert 'trained with prompts of \'cat\' ["cat"], expected ["kitten"]; build' in message


@LOADERS
@pytest.mark.parametrize('key', ['model_name', 'weights_hash', 'dense', 'global_token'])
def test_another_tower_is_refused(make_model, backbone_config, clip_dir, saved, key, load, tmp_path):
    changed = torch.load(clip_dir / 'tiny-rn.pt', weights_only=True)
    changed['logit_scale'] += 1
    torch.save(changed, tmp_path / 'changed.pt')
    backbone = {
        'model_name': backbone_config('tiny-vit'),
        'weights_hash': backbone_config(pretrained=str(tmp_path / 'changed.pt')),
        'dense': backbone_config(dense='attention'),
        'global_token': backbone_config(global_token=False),
    }[key]
    message = refusal(make_model(backbone=backbone), saved(), load, tmp_path)
    assert message.startswith(f'checkpoint: found a model trained with tower.{key} ')


def test_the_same_weights_read_by_another_architecture_are_refused(make_model, saved, tmp_path):
    state_dict = saved()
    description = read_description(state_dict)
    description['tower']['model_config']['quick_gelu'] = True
    state_dict[KEY] = encode_description(description)
    message = refusal(make_model(), state_dict, load_with_torch, tmp_path)
    assert 'tower.model_config.quick_gelu true, expected null' in message


# -- not a whole checkpoint ------------------------------------------------------------------------------------


@LOADERS
@pytest.mark.parametrize('name', ['head.bias', 'teacher.steps', 'context_head.assignment', 'is_taught'])
def test_a_part_of_a_checkpoint_is_refused(make_model, saved, name, load, tmp_path):
    state_dict = saved()
    del state_dict[name]
    message = refusal(make_model(), state_dict, load, tmp_path)
    assert f"found no entry '{name}', expected the entries of this model" in message


@LOADERS
@pytest.mark.parametrize('name', ['head.more', 'evidence.bias', 'backbone.tower.weight'])
def test_an_entry_too_many_is_refused(make_model, saved, name, load, tmp_path):
    message = refusal(make_model(), saved() | {name: torch.zeros(3)}, load, tmp_path)
    assert f"found the unexpected entry '{name}', expected the entries of this model" in message


@LOADERS
def test_an_entry_of_another_shape_is_refused(make_model, saved, load, tmp_path):
    message = refusal(make_model(), saved() | {'head.bias': torch.zeros(7)}, load, tmp_path)
    assert "found 'head.bias' of shape (7,), expected (6,)" in message


@LOADERS
def test_a_foreign_state_dict_is_refused(make_model, load, tmp_path):
    foreign = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 7), torch.nn.BatchNorm2d(8)).state_dict()
    assert 'found 7 entries that are not of a CSSAClassifier' in refusal(make_model(), foreign, load, tmp_path)


@LOADERS
@pytest.mark.parametrize(('number', 'fix'), [(1, 'convert it: cssa convert'), (FORMAT + 1, 'update cssa_mm')])
def test_another_format_is_refused_with_the_way_out(make_model, saved, number, fix, load, tmp_path):
    description = read_description(saved()) | dict(format=number)
    if number == 1:  # it had no number, and the names alone
        description = dict(tower=dict(model_name='tiny-rn', weights_hash='0' * 16), class_names=NAMES)
    message = refusal(make_model(), saved() | {KEY: encode_description(description)}, load, tmp_path)
    assert message.startswith(f'checkpoint: found format {number}, expected {FORMAT}; {fix}')


@LOADERS
@pytest.mark.parametrize('anchor', [0.0, 0.3, 1.0])
def test_a_checkpoint_of_format_3_scores_as_it_did(make_model, saved, anchor, load, tmp_path):
    """There, anchor and tuned prompts had one weight, and nothing was known of what came later."""
    options = dict(evidence=dict(type='DiscriminantEvidence', anchor=anchor), context_head=None)
    old = saved(**options) | {'evidence.weights': torch.tensor([1.7, 0.6]), 'evidence.is_fitted': torch.tensor(True)}
    description = read_description(old) | dict(format=3)
    assert [description.pop('neighbours'), description['head'].pop('centring', None)] == [None, None]
    old[KEY] = encode_description(description)
    given = dict(old)
    model = make_model(seed=5, **options)
    load(model, old, tmp_path)
    features = model.eval().backbone(torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    found = model.logits(*features)
    local, similarity, anchored = model.readings(*features)
    b = {name.removeprefix('evidence.'): value for name, value in given.items() if name.startswith('evidence.')}
    tuned = (similarity - b['similarity_mean']) / b['similarity_scale']
    base = (anchor * (anchored - b['anchor_mean']) / b['anchor_scale'] + (1 - anchor) * tuned) / b['scale']
    reading = (local.whole() * b['direction']).sum(-1) - b['offset']
    torch.testing.assert_close(found, 1.7 * base + 0.6 * reading + b['bias'], rtol=1e-5, atol=1e-6)
    # The file in memory is left as it was, and what is saved now is of this format.
    assert old['evidence.weights'].tolist() == given['evidence.weights'].tolist()
    again = make_model(seed=6, **options)
    load(again, model.state_dict(), tmp_path)
    assert torch.equal(again.eval().logits(*features), found)
    assert read_description(model.state_dict())['format'] == FORMAT


@LOADERS
def test_stored_images_may_be_of_any_number_but_of_no_other_width(make_model, load, tmp_path):
    options = dict(evidence=EVIDENCE, neighbours=dict(k=3))
    trained, fresh = make_model(seed=3, **options), make_model(seed=5, **options)
    pooled = torch.randn(9, trained.neighbours.keys.shape[1], generator=torch.Generator().manual_seed(0))
    trained.neighbours.keep(torch.randn(9, 2, 6)[trained.neighbours.store(pooled)])
    trained.evidence.is_fitted.fill_(True)
    state = trained.state_dict()
    load(fresh, state, tmp_path)
    assert len(fresh.neighbours.keys) == 9
    assert all(torch.equal(a, b) for a, b in zip(scores_of(trained), scores_of(fresh), strict=True))
    for name in ('neighbours.keys', 'neighbours.values'):
        message = refusal(make_model(**options), state | {name: state[name][..., :-1]}, load, tmp_path)
        assert message.startswith(f"checkpoint: found '{name}' of shape (")


def test_a_model_with_neighbours_refuses_a_checkpoint_without(make_model, saved, tmp_path):
    message = refusal(make_model(neighbours=dict(k=3)), saved(), load_with_torch, tmp_path)
    assert message.startswith('checkpoint: found a model trained with model.neighbours null, expected')


@pytest.mark.parametrize('content', [b'{"format": 2', b'[1, 2]', b'\xff\xfe', b'null'])
def test_a_broken_description_is_refused(make_model, saved, content, tmp_path):
    state_dict = saved() | {KEY: torch.tensor(list(content), dtype=torch.uint8)}
    assert 'description' in refusal(make_model(), state_dict, load_with_torch, tmp_path)


def test_a_description_without_contents_is_refused(make_model, saved, tmp_path):
    message = refusal(make_model(), saved() | {KEY: torch.zeros(9, device='meta')}, load_with_torch, tmp_path)
    assert message.startswith('checkpoint: found a broken description (')


@pytest.mark.parametrize('key', ['tower', 'class_names', 'head', 'context_head', 'evidence', 'view', 'thresholds'])
def test_a_description_without_one_of_its_keys_is_refused(make_model, saved, key, tmp_path):
    description = read_description(saved())
    del description[key]
    message = refusal(make_model(), saved() | {KEY: encode_description(description)}, load_with_torch, tmp_path)
    assert f"found a description without '{key}'" in message


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(tower=None), "found a tower without 'model_name'"),
        (dict(tower=dict(model_name='tiny-rn', pretrained=None)), "found a tower without 'config_dir'"),
        (dict(thresholds=dict(values=[0.5], rule='default')), 'found 1 thresholds, expected 6'),
        (dict(format='two'), 'found format two, expected 4'),
    ],
)
def test_a_description_of_another_form_is_refused(make_model, saved, changes, message, tmp_path):
    description = read_description(saved()) | changes
    state_dict = saved() | {KEY: encode_description(description)}
    assert message in refusal(make_model(), state_dict, load_with_torch, tmp_path)


@pytest.mark.parametrize(
    ('key', 'value', 'named'),
    [
        ('view', dict(type='os.system', command='exit 3'), 'view.type'),
        ('view', dict(type='Collect', keys=[]), 'view.type'),
        ('head', dict(type='subprocess.Popen'), 'model.head.type'),
        ('context_head', dict(num_contexts=2), 'model.context_head.type'),
        ('evidence', 'os.system', 'model.evidence.type'),
        ('class_names', dict(type='os.system', command='exit 3'), 'class_names'),
    ],
)
def test_a_description_can_name_registered_parts_only(saved, key, value, named):
    description = read_description(saved()) | {key: value}
    with pytest.raises(CheckpointError, match=re.escape(named)):
        read_description({KEY: encode_description(description)})


# -- what a checkpoint brings along ----------------------------------------------------------------------------


def test_thresholds_and_view_come_from_the_checkpoint(make_model):
    trained = make_model(view=dict(type='View', size=(48, 64), backend='cv2', interpolation='area'))
    trained.thresholds = ClassThresholds((0.1, 0.2, 0.3, 0.4, 0.5, 0.6), 'default')
    model = make_model()
    assert model.view is None
    model.load_state_dict(trained.state_dict())
    assert model.thresholds == trained.thresholds
    assert model.view == View(size=(48, 64), backend='cv2', interpolation='area')


def test_the_view_of_the_config_is_kept_and_a_difference_is_told(make_model, monkeypatch):
    told = []
    monkeypatch.setattr('cssa_mm.models.identity.print_log', lambda message, *details: told.append(message))
    trained = make_model(view=dict(type='View', size=48))
    for size, count in ((48, 0), (64, 1)):
        model = make_model(view=dict(type='View', size=size))
        model.load_state_dict(trained.state_dict())
        assert model.view == View(size=size)
        assert len(told) == count
    assert 'size=48' in told[0]
    assert 'size=64' in told[0]


def test_what_was_folded_is_forgotten_when_a_checkpoint_is_loaded(make_model, saved):
    model = make_model(seed=5)
    before = scores_of(model)
    assert set(model._folded) == {'ema', 'student'}
    model.load_state_dict(saved())
    assert not model._folded
    assert not torch.equal(scores_of(model)[0], before[0])


# -- stored images ---------------------------------------------------------------------------------------------


def shortened(name):
    return lambda state: state.update({name: state[name][:-1]})


def broken(name, value):
    return lambda state: state[name].view(-1)[-1:].fill_(value)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (shortened('neighbours.values'), "found 9 stored images in 'neighbours.keys' and 8 in 'neighbours.values'"),
        (shortened('neighbours.keys'), "found 8 stored images in 'neighbours.keys' and 9 in 'neighbours.values'"),
        (broken('neighbours.keys', float('nan')), "found 'neighbours.keys' with values that are not finite"),
        (broken('neighbours.values', float('inf')), "found 'neighbours.values' with values that are not finite"),
        (broken('neighbours.whitening', float('nan')), "found 'neighbours.whitening' with values that are not finite"),
        (
            lambda state: state.update({'neighbours.keys': torch.zeros(9, 15).half()}),
            "found 'neighbours.keys' of shape (9, 15), expected (9, 16)",
        ),
        (
            lambda state: state.update({'neighbours.values': torch.zeros(9, 2, 6).half()}),
            "found 'neighbours.values' of shape (9, 2, 6), expected (9, 1, 6)",
        ),
        (
            lambda state: state.update({'neighbours.keys': torch.tensor(0.0)}),
            "found 'neighbours.keys' of shape (), expected (16,)",
        ),
        (lambda state: state.pop('neighbours.values'), "found no entry 'neighbours.values'"),
    ],
)
@LOADERS
def test_damaged_stored_images_are_refused(make_model, tmp_path, change, message, load):
    model = make_model(neighbours=dict(k=4))
    generator = torch.Generator().manual_seed(0)
    model.neighbours.store(torch.randn(9, 16, generator=generator))
    model.neighbours.keep(torch.randn(9, 1, 6, generator=generator))
    state = {name: value.clone() for name, value in model.state_dict().items()}
    other = make_model(seed=1, neighbours=dict(k=4))
    change(state)
    assert message in refusal(other, state, load, tmp_path)
    assert not other.neighbours.is_fitted

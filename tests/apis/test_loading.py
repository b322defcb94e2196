"""A model opens from its checkpoint alone, and from nothing that is not its own."""

import json
import shutil

import open_clip
import pytest
import torch
from open_clip import factory
from torch.nn import functional as F

import cssa_mm
from cssa_mm.datasets.view import View
from cssa_mm.errors import CheckpointError, ConfigError
from cssa_mm.files import DEMO_CLIP
from cssa_mm.models.description import KEY, encode_description, read_description
from cssa_mm.models.score_calibration import ScoreCalibration
from cssa_mm.models.thresholds import ClassThresholds

NAMES = ['dog', 'cat', 'traffic light', 'red bicycle', 'table', 'window frame']
PROMPTS = dict(num_context=2, initial_words='a')
VOCABULARY = DEMO_CLIP / 'bpe_demo.txt.gz'


def scores_of(model):
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = model.backbone(images)
        return torch.stack([model.score(*features, who) for who in ('ema', 'student')])


def disturbed(model):
    """A model none of whose learned numbers is what a fresh one starts with; evidence counts as fitted."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for value in model.state_dict(keep_vars=True).values():
            if value.is_floating_point():
                value.add_(torch.rand(value.shape, generator=generator))
    if model.evidence is not None:
        model.evidence.is_fitted.fill_(True)
    return model.eval()


def refusal(path, **options) -> str:
    with pytest.raises(CheckpointError) as error:
        cssa_mm.load_model(path, **options)
    assert '\n' not in str(error.value)
    return str(error.value)


# -- what training wrote ---------------------------------------------------------------------------------------


@pytest.mark.smoke
@pytest.mark.parametrize('kind', ['run', 'plus_run'])
def test_a_trained_model_opens_from_the_checkpoint_alone(kind, request, tmp_path, monkeypatch):
    trained = request.getfixturevalue(kind)
    path = shutil.copy(trained.result.checkpoint, tmp_path / 'alone.pth')
    monkeypatch.chdir(tmp_path)

    def forbidden(*details, **options):
        raise AssertionError('a config or data set was asked for')

    monkeypatch.setattr('mmengine.config.Config.fromfile', forbidden)
    monkeypatch.setattr('mmpretrain.registry.DATASETS.build', forbidden)
    model = cssa_mm.load_model('alone.pth', device='cpu')
    assert torch.equal(scores_of(model), scores_of(trained.model))
    assert not model.training
    assert model.class_names == NAMES
    assert model.view == View(size=None)
    assert model.thresholds == trained.model.thresholds
    assert model.thresholds.rule == 'f1'
    assert len(model.thresholds.positives) == 6
    assert model.calibration == trained.model.calibration != ScoreCalibration.none(6)
    assert model.zero_shot == trained.model.zero_shot is not None
    assert (model.evidence is not None) == (kind == 'plus_run')
    if model.evidence is not None:
        assert bool(model.evidence.is_fitted)
    assert path.is_file()


def test_the_random_numbers_of_the_caller_stay_as_they_are(run):
    before = torch.get_rng_state()
    cssa_mm.load_model(run.result.checkpoint)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_teacher_that_is_loaded_is_not_the_student(run):
    ema, student = scores_of(cssa_mm.load_model(run.result.checkpoint))
    assert not torch.equal(ema, student)


VARIANTS = {
    'sigmoid': dict(),
    'dual': dict(head=dict(prompts=PROMPTS, score='dual')),
    'negative embedding': dict(head=dict(prompts=PROMPTS, score='negative_embedding')),
    'global feature': dict(head=dict(prompts=PROMPTS, label_specific=False)),
    'shared prompts': dict(head=dict(prompts=PROMPTS, shared_prompts=True)),
    'evidence-guided pooling': dict(head=dict(prompts=PROMPTS, renormalise=False)),
    'fixed temperature and bias': dict(head=dict(prompts=PROMPTS, learn_temperature=False, bias=False)),
    'one set of vectors': dict(head=dict(prompts=PROMPTS | dict(class_specific=False))),
    'labelled only': dict(context_head=None),
    'contexts of logits': dict(context_head=dict(num_contexts=3, input='logits')),
    'feedback': dict(context_head=dict(num_contexts=2, feedback=True)),
    'evidence': dict(evidence=dict(anchor=0.3)),
    'evidence of dual': dict(head=dict(prompts=PROMPTS, score='dual'), evidence=dict(), context_head=None),
}


@pytest.mark.parametrize('options', VARIANTS.values(), ids=VARIANTS)
def test_every_kind_of_head_comes_back_bitwise(make_model, save, options):
    model = disturbed(make_model(view=dict(type='View', size=[48, 64]), **options))
    model.thresholds = ClassThresholds((0.1, 0.2, 0.3, 0.4, 0.5, 0.6), 'default')
    found = cssa_mm.load_model(save(model))
    assert torch.equal(scores_of(found), scores_of(model))
    assert found.view == model.view
    assert found.thresholds == model.thresholds
    assert found.description() == model.description()


@pytest.mark.parametrize('options', [dict(dense='attention'), dict(global_token=False)])
def test_the_tower_is_read_as_it_was(make_model, backbone_config, save, options):
    model = disturbed(make_model(backbone=backbone_config(**options)))
    assert torch.equal(scores_of(cssa_mm.load_model(save(model))), scores_of(model))


@pytest.mark.parametrize('name', ['tiny-vit', 'tiny-timm'])
def test_every_family_of_towers_comes_back(make_model, backbone_config, save, name):
    model = disturbed(make_model(backbone=backbone_config(name)))
    assert torch.equal(scores_of(cssa_mm.load_model(save(model))), scores_of(model))


def test_a_loaded_model_can_be_saved_and_loaded_again(run, save):
    once = cssa_mm.load_model(run.result.checkpoint)
    assert torch.equal(scores_of(cssa_mm.load_model(save(once))), scores_of(once))


# -- the tower -------------------------------------------------------------------------------------------------


@pytest.fixture
def make_tower(clip_dir, tmp_path, monkeypatch):
    """make_tower('moved-rn') -> the folder of a tower with this name, which open_clip forgets after the test."""
    known, paths = dict(factory._MODEL_CONFIGS), list(factory._MODEL_CONFIG_PATHS)

    def make(name, bpe_path=str(VOCABULARY)):
        folder = tmp_path / 'tower'
        folder.mkdir()
        content = json.loads((clip_dir / 'tiny-rn.json').read_text())
        content['text_cfg']['tokenizer_kwargs']['bpe_path'] = bpe_path
        (folder / f'{name}.json').write_text(json.dumps(content))
        shutil.copy(clip_dir / 'tiny-rn.pt', folder / 'weights.pt')
        if bpe_path != str(VOCABULARY):
            shutil.copy(VOCABULARY, folder / bpe_path)
        return folder

    def forget():
        factory._MODEL_CONFIGS.clear()
        factory._MODEL_CONFIGS.update(known)
        factory._MODEL_CONFIG_PATHS[:] = paths

    make.forget = forget
    yield make
    forget()


def model_of(make_model, folder, name):
    backbone = dict(
        type='OpenCLIPBackbone', model_name=name, pretrained=str(folder / 'weights.pt'), config_dir=str(folder)
    )
    return disturbed(make_model(backbone=backbone))


def test_a_tower_that_moved_is_asked_for_and_found_by_its_new_path(make_model, make_tower, save, tmp_path):
    folder = make_tower('moved-rn')
    model = model_of(make_model, folder, 'moved-rn')
    path = save(model)
    moved = folder.rename(tmp_path / 'elsewhere')
    make_tower.forget()
    message = refusal(path)
    assert message.startswith(f"tower: found no file '{folder / 'weights.pt'}'")
    assert 'give their new path as tower=PATH' in message
    assert torch.equal(scores_of(cssa_mm.load_model(path, tower=moved / 'weights.pt')), scores_of(model))
    assert 'found no file' in refusal(path, tower=folder / 'weights.pt')


def test_other_weights_in_the_place_of_the_tower_s_are_refused(run, clip_dir, tmp_path):
    other = torch.load(clip_dir / 'tiny-rn.pt', weights_only=True)
    other['logit_scale'] += 1
    torch.save(other, tmp_path / 'other.pt')
    assert 'trained with tower.weights_hash ' in refusal(run.result.checkpoint, tower=tmp_path / 'other.pt')
    assert 'cannot be loaded' in refusal(run.result.checkpoint, tower=clip_dir / 'tiny-vit.pt')


def test_a_model_json_that_is_gone_is_taken_from_the_checkpoint(make_model, make_tower, save):
    folder = make_tower('gone-rn')
    model = model_of(make_model, folder, 'gone-rn')
    path = save(model)
    (folder / 'gone-rn.json').unlink()
    make_tower.forget()
    assert 'gone-rn' not in open_clip.list_models()
    found = cssa_mm.load_model(path)
    assert torch.equal(scores_of(found), scores_of(model))
    make_tower.forget()
    assert torch.equal(scores_of(cssa_mm.load_model(save(found, 'again.pth'))), scores_of(model))


def test_a_vocabulary_that_is_gone_is_named_and_found_beside_the_weights(make_model, make_tower, save, tmp_path):
    folder = make_tower('words-rn', bpe_path='words.txt.gz')
    model = model_of(make_model, folder, 'words-rn')
    path = save(model)
    weights = shutil.copy(folder / 'weights.pt', tmp_path / 'alone.pt')
    moved = folder.rename(tmp_path / 'elsewhere')
    make_tower.forget()
    message = refusal(path, tower=weights)
    assert message.startswith("backbone.config_dir: found no vocabulary 'words.txt.gz', which words-rn.json names")
    assert torch.equal(scores_of(cssa_mm.load_model(path, tower=moved / 'weights.pt')), scores_of(model))


def test_the_activation_of_a_tower_comes_back_without_a_question(make_model, make_tower, save):
    folder = make_tower('both-rn')
    twin = json.loads((folder / 'both-rn.json').read_text()) | dict(quick_gelu=True)
    (folder / 'both-rn-quickgelu.json').write_text(json.dumps(twin))
    scores = {}
    for name in ('both-rn-gelu', 'both-rn-quickgelu'):
        model = model_of(make_model, folder, name)
        path = save(model, f'{name}.pth')
        found = cssa_mm.load_model(path)
        assert torch.equal(scores_of(found), scores_of(model))
        assert found.description() == model.description()
        scores[name] = scores_of(model)
    assert not torch.equal(*scores.values())
    forced = model_of(make_model, folder, 'both-rn-gelu')
    forced_path = save(forced, 'forced.pth')
    # A tower whose JSON says otherwise than its name asks for.
    (folder / 'both-rn-quickgelu.json').unlink()
    other = model_of(make_model, folder, 'both-rn-quickgelu')
    assert other.description()['tower']['activation'] == 'quickgelu'
    assert torch.equal(scores_of(cssa_mm.load_model(save(other, 'other.pth'))), scores_of(other))
    with pytest.raises(CheckpointError, match='trained with tower.activation null, expected "quickgelu"'):
        other.load_state_dict(torch.load(forced_path, weights_only=True)['state_dict'])


@pytest.fixture
def hub_folder(make_tower, tmp_path):
    """A folder as the Hugging Face hub has it."""
    folder = make_tower('open_clip_config')
    content = json.loads((folder / 'open_clip_config.json').read_text())
    preprocess = dict(mean=[0.5, 0.25, 0.5], std=[0.5, 0.5, 0.5])
    (folder / 'open_clip_config.json').write_text(json.dumps(dict(model_cfg=content, preprocess_cfg=preprocess)))
    return folder


def test_a_tower_of_a_hub_s_folder_comes_back_with_its_statistics(make_model, hub_folder, save, tmp_path):
    backbone = dict(type='OpenCLIPBackbone', model_name=f'local-dir:{hub_folder}')
    model = disturbed(make_model(backbone=backbone))
    path = save(model)
    assert torch.equal(scores_of(cssa_mm.load_model(path)), scores_of(model))
    weights = shutil.copy(hub_folder / 'weights.pt', tmp_path / 'weights.pt')
    shutil.rmtree(hub_folder)
    found = cssa_mm.load_model(path, tower=weights)
    assert torch.equal(scores_of(found), scores_of(model))
    assert torch.equal(found.data_preprocessor.mean, model.data_preprocessor.mean)
    assert found.data_preprocessor.mean.flatten().tolist() == pytest.approx([127.5, 63.75, 127.5])


def test_a_tower_of_the_hub_is_fetched_again_or_found_by_its_new_path(make_model, hub_folder, save, monkeypatch):
    asked = []

    def fetch(model_id, filename=None):
        asked.append((model_id, filename))
        return str(hub_folder / (filename or 'weights.pt'))

    monkeypatch.setattr('cssa_mm.models.tower_plan.fetch_from_hub', fetch)
    model = disturbed(make_model(backbone=dict(type='OpenCLIPBackbone', model_name='hf-hub:org/tiny')))
    path = save(model)
    assert asked == [('org/tiny', 'open_clip_config.json'), ('org/tiny', None)]
    found = cssa_mm.load_model(path)
    assert torch.equal(scores_of(found), scores_of(model))
    assert asked[2:] == [('org/tiny', None)]  # the config is in the checkpoint
    assert cssa_mm.load_model(path, tower=hub_folder / 'weights.pt').backbone.identity == model.backbone.identity
    assert len(asked) == 3


def test_the_demo_s_tower_comes_with_the_package(tmp_path, save, monkeypatch):
    model = cssa_mm.zero_shot(class_names=['sun', 'moon'], model_name='cssa-demo-rn', pretrained='demo')
    path = save(model)
    monkeypatch.chdir(tmp_path)
    found = cssa_mm.load_model(path)
    assert torch.equal(scores_of(found), scores_of(model))
    assert found.thresholds.rule == 'none'


def test_a_relative_path_of_the_tower_is_asked_for_like_any_other(run, tmp_path, monkeypatch):
    content = torch.load(run.result.checkpoint, weights_only=True)
    description = read_description(content['state_dict'])
    description['tower']['pretrained'] = 'weights/tiny-rn.pt'
    torch.save(dict(state_dict=content['state_dict'] | {KEY: encode_description(description)}), tmp_path / 'model.pth')
    assert 'give their new path as tower=PATH' in refusal(tmp_path / 'model.pth')


# -- what is no checkpoint of ours -----------------------------------------------------------------------------


def test_what_is_no_checkpoint_is_refused(tmp_path):
    assert 'found no file' in refusal(tmp_path / 'nowhere.pth')
    (tmp_path / 'text.pth').write_text('no checkpoint')
    assert 'cannot be loaded as plain data' in refusal(tmp_path / 'text.pth')
    for content in ([1, 2], dict(state_dict=[1]), 'text'):
        torch.save(content, tmp_path / 'list.pth')
        assert 'without a state_dict' in refusal(tmp_path / 'list.pth')
    torch.save(dict(state_dict=torch.nn.Linear(2, 2).state_dict()), tmp_path / 'foreign.pth')
    assert 'not of a CSSAClassifier' in refusal(tmp_path / 'foreign.pth')


def test_an_old_checkpoint_is_refused_with_the_way_out(run, tmp_path):
    old = dict(tower=dict(model_name='tiny-rn', weights_hash='0' * 16), class_names=NAMES)
    state_dict = torch.load(run.result.checkpoint, weights_only=True)['state_dict'] | {KEY: encode_description(old)}
    torch.save(dict(state_dict=state_dict), tmp_path / 'old.pth')
    assert refusal(tmp_path / 'old.pth').endswith('convert it: cssa convert CHECKPOINT')


def test_a_part_of_a_checkpoint_is_refused(run, tmp_path):
    state_dict = torch.load(run.result.checkpoint, weights_only=True)['state_dict']
    del state_dict['teacher.bias']
    torch.save(dict(state_dict=state_dict), tmp_path / 'part.pth')
    assert "found no entry 'teacher.bias', expected the entries of this model" in refusal(tmp_path / 'part.pth')


@pytest.mark.parametrize('key', ['view', 'class_names', 'head', 'context_head', 'evidence', 'tower'])
def test_nothing_that_a_checkpoint_names_is_run(run, tmp_path, key):
    state_dict = torch.load(run.result.checkpoint, weights_only=True)['state_dict']
    description = read_description(state_dict)
    planted = dict(type='os.system', command=f'touch {tmp_path / "marker"}')
    description[key] = description[key] | planted if key == 'tower' else planted
    torch.save(dict(state_dict=state_dict | {KEY: encode_description(description)}), tmp_path / 'planted.pth')
    assert 'os.system' in refusal(tmp_path / 'planted.pth')
    assert not (tmp_path / 'marker').exists()


def described(run, path, change) -> str:
    """The refusal of a checkpoint whose description was changed."""
    state_dict = torch.load(run.result.checkpoint, weights_only=True)['state_dict']
    description = read_description(state_dict)
    change(description)
    torch.save(dict(state_dict=state_dict | {KEY: encode_description(description)}), path)
    with pytest.raises((CheckpointError, ConfigError)) as error:
        cssa_mm.load_model(path)
    assert '\n' not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize('name', ['{}/planted', '../planted', 'a\\b', 'a\0b', '', 3])
def test_the_name_of_a_tower_leads_to_no_folder(run, tmp_path, name):
    """A file is written that is called after the tower, with what the checkpoint says of it."""
    planted = name.format(tmp_path) if isinstance(name, str) else name
    own = dict(model_name=planted, config_dir=None, pretrained='demo', model_config=dict(planted=True))
    message = described(run, tmp_path / 'm.pth', lambda description: description['tower'].update(own))
    assert 'checkpoint: found the tower' in message
    assert [path.name for path in tmp_path.iterdir()] == ['m.pth']


@pytest.mark.parametrize(
    ('place', 'value', 'message'),
    [
        (
            'text_cfg',
            dict(hf_tokenizer_name='org/x', tokenizer_kwargs=dict(trust_remote_code=True)),
            'trust_remote_code',
        ),
        ('vision_cfg', dict(timm_model_name='hf-hub:org/x'), "'hf-hub:org/x', which timm would download"),
    ],
)
def test_a_checkpoint_s_tower_runs_no_code_of_others_and_downloads_no_second_one(run, tmp_path, place, value, message):
    def change(description):
        tower = description['tower']
        tower['config_dir'], tower['model_name'] = None, 'tiny-own'
        tower['model_config'][place].update(value)

    assert message in described(run, tmp_path / 'm.pth', change)


@pytest.mark.parametrize('kind', ['HuggingFaceClassifier', 'TIMMBackbone', 'Sequential'])
def test_a_checkpoint_names_no_part_of_the_toolbox(run, tmp_path, kind):
    """Some of them download what an option names."""
    change = lambda description: description.update(head=dict(type=kind, model_name='org/x', pretrained=True))  # noqa: E731
    assert f'found the unknown component "{kind}" as model.head.type' in described(run, tmp_path / 'm.pth', change)


@pytest.mark.parametrize('part', ['head', 'context_head', 'view'])
def test_options_of_a_later_version_are_refused(run, tmp_path, part):
    state_dict = torch.load(run.result.checkpoint, weights_only=True)['state_dict']
    description = read_description(state_dict)
    description[part]['later_option'] = True
    torch.save(dict(state_dict=state_dict | {KEY: encode_description(description)}), tmp_path / 'later.pth')
    message = refusal(tmp_path / 'later.pth')
    assert 'found options that this version does not know' in message
    assert 'later_option' in message


@pytest.mark.parametrize(
    ('part', 'key', 'value'), [('head', 'temperature', 'warm'), ('head', 'score', 'x'), ('view', 'size', -1)]
)
def test_options_that_do_not_fit_are_refused(run, tmp_path, part, key, value):
    state_dict = torch.load(run.result.checkpoint, weights_only=True)['state_dict']
    description = read_description(state_dict)
    description[part][key] = value
    torch.save(dict(state_dict=state_dict | {KEY: encode_description(description)}), tmp_path / 'wrong.pth')
    assert f'{part}.{key}: found {value!r}, expected' in refusal(tmp_path / 'wrong.pth')


# -- devices ---------------------------------------------------------------------------------------------------


def test_the_device_is_checked(run):
    assert next(cssa_mm.load_model(run.result.checkpoint, device='cpu').parameters()).device.type == 'cpu'
    with pytest.raises(ConfigError, match="device: found 'tpu', expected one of cpu, cuda, mps"):
        cssa_mm.load_model(run.result.checkpoint, device='tpu')


@pytest.mark.skipif(torch.cuda.is_available(), reason='this machine has CUDA')
def test_a_device_that_the_machine_lacks_is_refused(run):
    with pytest.raises(ConfigError, match="device: found 'cuda', which this machine lacks"):
        cssa_mm.load_model(run.result.checkpoint, device='cuda')


# -- zero-shot -------------------------------------------------------------------------------------------------

ICONS = ['anchor', 'coffee', 'flag']


def zero_shot(**options):
    base = dict(class_names=ICONS, model_name='cssa-demo-rn', pretrained='demo')
    return cssa_mm.zero_shot(**(base | options))


@pytest.mark.smoke
@pytest.mark.parametrize('tau_s', [20.0, 5.0])
def test_zero_shot_scores_are_clip_s_own_by_label_attention(tau_s):
    model = zero_shot(attention_temperature=tau_s)
    open_clip.add_model_config(DEMO_CLIP)
    clip = open_clip.create_model('cssa-demo-rn', pretrained=str(DEMO_CLIP / 'cssa_demo_rn.safetensors')).eval()
    tokenizer = open_clip.get_tokenizer('cssa-demo-rn', bpe_path=str(VOCABULARY))
    pixels = torch.randint(0, 256, (2, 3, 128, 128), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    mean, std = (torch.tensor(getattr(clip.visual, f'image_{name}')).view(3, 1, 1) for name in ('mean', 'std'))
    images = (pixels.float() / 255 - mean) / std
    visual = clip.visual
    with torch.no_grad():
        text = F.normalize(clip.encode_text(tokenizer([f'a photo of a {name}.' for name in ICONS])), dim=-1)
        grid = visual.layer4(visual.layer3(visual.layer2(visual.layer1(visual.stem(images)))))
        pool = visual.attnpool
        scores = torch.zeros(2, 3)
        for b in range(2):
            cells = [grid[b, :, y, x] for y in range(grid.shape[2]) for x in range(grid.shape[3])]
            tokens = torch.stack([torch.stack(cells).mean(0), *cells]) + pool.positional_embedding
            local = F.normalize(pool.c_proj(pool.v_proj(tokens)), dim=-1)
            for c in range(3):
                powers = torch.exp(tau_s * (local @ text[c]))
                feature = ((powers / powers.sum())[:, None] * local).sum(0)
                scores[b, c] = torch.sigmoid(20.0 * F.normalize(feature, dim=0) @ text[c])
        inputs = model.data_preprocessor(dict(inputs=list(pixels)))['inputs']
        torch.testing.assert_close(model.score(*model.backbone(inputs)), scores, rtol=1e-4, atol=1e-5)
    assert scores.std() > 0.01


def test_a_zero_shot_model_has_a_view_but_no_thresholds():
    assert zero_shot().view == View(size=224)
    assert zero_shot(size=[96, 128]).view == View(size=(96, 128))
    assert zero_shot(size=None).view == View(size=None)
    model = zero_shot()
    assert not model.training
    assert model.class_names == ICONS
    assert model.thresholds.rule == 'none'
    assert len(model.thresholds.values) == 3


def test_a_zero_shot_model_of_any_tower(clip_dir):
    files = dict(pretrained=clip_dir / 'tiny-rn.pt', config_dir=clip_dir)  # paths, not strings
    model = cssa_mm.zero_shot(class_names=('dog', 'cat'), model_name='tiny-rn', size=64, **files)
    assert scores_of(model).shape == (2, 3, 2)


@pytest.mark.parametrize(
    ('options', 'error', 'message'),
    [
        (dict(class_names=['sun', 'sun']), ConfigError, "found 'sun' twice"),
        (dict(class_names=[]), ConfigError, 'found no name'),
        (dict(class_names=['sun', ' ']), ConfigError, 'found an empty name in place 2'),
        (dict(class_names='sun'), ConfigError, "class_names: found 'sun', expected a list of names"),
        (dict(class_names=['sun ' * 40]), ConfigError, 'expected at most the 32 of the text tower'),
        (dict(model_name='cssa-demo'), ConfigError, "Did you mean 'cssa-demo-rn'"),
        (dict(pretrained='nowhere.pt'), CheckpointError, "found no file 'nowhere.pt'"),
        (dict(device='tpu'), ConfigError, "device: found 'tpu'"),
        (dict(size=0), ConfigError, 'found size=0'),
    ],
)
def test_what_zero_shot_cannot_do_is_refused_in_one_line(options, error, message):
    with pytest.raises(error, match=message) as found:
        zero_shot(**options)
    assert '\n' not in str(found.value)

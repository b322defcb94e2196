"""A model leaves as a folder that the Hugging Face hub takes, and comes back bitwise or not at all."""

import json
import math
import shutil

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import load_file, save_file

import cssa_mm
from cssa_mm.apis.exporting.hub import export_hub
from cssa_mm.apis.exporting.opening import open_scorer
from cssa_mm.errors import CheckpointError, ConfigError
from cssa_mm.files import DEMO_CLIP
from cssa_mm.models.score_calibration import ScoreCalibration
from cssa_mm.models.thresholds import ClassThresholds

ICONS = ['anchor', 'coffee|cup', 'flag']


def scores_of(model) -> np.ndarray:
    """Calibrated and raw scores of three images, by the predictor."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 70, 90, 3), dtype=np.uint8)
    found = list(cssa_mm.Predictor(model).predict(list(pixels)))
    return np.stack([[one.scores, one.raw_scores] for one in found])


def disturbed(model):
    """A model none of whose learned numbers is what a fresh one starts with, with thresholds of its own."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for value in model.state_dict(keep_vars=True).values():
            if value.is_floating_point():
                value.add_(torch.rand(value.shape, generator=generator))
    count = len(model.class_names)
    model.thresholds = ClassThresholds(
        tuple(0.3 + 0.05 * c for c in range(count)),
        'f1',
        tuple(range(3, 3 + count)),
        ('pooled',) + ('own',) * (count - 1),
    )
    model.calibration = ScoreCalibration(tuple(0.5 + c / 10 for c in range(count)), (0.1,) * count, 'platt')
    return model.eval()


@pytest.fixture
def demo(save):
    """A model on the demo's tower, which is always at hand, and its checkpoint."""
    model = disturbed(cssa_mm.zero_shot(class_names=ICONS, model_name='cssa-demo-rn', pretrained='demo', size=64))
    return model, save(model)


@pytest.fixture
def folder(demo, tmp_path):
    """The hub folder of the demo's model."""
    export_hub(checkpoint=demo[1], out=tmp_path / 'hub')
    return tmp_path / 'hub'


def refusal(folder, **options) -> str:
    with pytest.raises(CheckpointError) as error:
        cssa_mm.load_model(folder, **options)
    assert '\n' not in str(error.value)
    return str(error.value)


# -- there and back --------------------------------------------------------------------------------------------


def test_the_folder_comes_back_bitwise_wherever_it_lies(demo, folder, tmp_path, monkeypatch):
    model, path = demo
    found = cssa_mm.load_model(shutil.move(folder, tmp_path / 'elsewhere'))
    assert np.array_equal(scores_of(found), scores_of(model))
    assert np.array_equal(scores_of(found), scores_of(cssa_mm.load_model(path)))
    assert found.description() == model.description()
    assert not found.training
    monkeypatch.chdir(tmp_path / 'elsewhere')
    assert np.array_equal(scores_of(cssa_mm.load_model('.')), scores_of(model))


def test_centring_comes_back_with_the_words_of_a_file_that_is_gone(make_model, save, tmp_path):
    (tmp_path / 'words.txt').write_text('tree\nriver\ncup\n', 'utf-8')
    head = dict(prompts=dict(num_context=2), centring=dict(weight='auto', vocabulary=str(tmp_path / 'words.txt')))
    model = disturbed(make_model(head=head, view=dict(type='View', size=64)))
    path = save(model)
    (tmp_path / 'words.txt').unlink()
    export_hub(checkpoint=path, out=tmp_path / 'hub', with_tower=True)
    found = cssa_mm.load_model(tmp_path / 'hub')
    assert np.array_equal(scores_of(found), scores_of(model))
    assert json.loads((tmp_path / 'hub' / 'config.json').read_text())['description']['head']['centring'] == dict(
        weight='auto', vocabulary=['tree', 'river', 'cup']
    )
    assert str(tmp_path) not in (tmp_path / 'hub' / 'config.json').read_text()


def test_a_trained_model_needs_its_tower_or_brings_it(plus_run, clip_dir, tmp_path):
    trained = cssa_mm.load_model(plus_run.result.checkpoint)
    result = export_hub(checkpoint=plus_run.result.checkpoint, out=tmp_path / 'lean')
    assert result.needs_path
    assert 'tower=PATH' in result.text()
    assert not list((tmp_path / 'lean').rglob('*open_clip*'))
    found = cssa_mm.load_model(tmp_path / 'lean', tower=clip_dir / 'tiny-rn.pt')
    assert np.array_equal(scores_of(found), scores_of(trained))
    assert bool(found.evidence.is_fitted)
    for name, stored in trained.neighbours.named_buffers():
        assert torch.equal(dict(found.neighbours.named_buffers())[name], stored), name
    assert found.neighbours.keys.dtype == torch.float16
    # Without the path: the message names it, or the weights are put beside the rest.
    assert 'give their new path as tower=PATH' in refusal(tmp_path / 'lean')
    shutil.copy(clip_dir / 'tiny-rn.pt', tmp_path / 'lean')
    assert np.array_equal(scores_of(cssa_mm.load_model(tmp_path / 'lean')), scores_of(trained))


@pytest.mark.parametrize('name', ['tiny-rn', 'tiny-vit', 'tiny-timm', 'tiny-custom'])
def test_with_its_tower_a_folder_needs_nothing_else(make_model, clip_dir, save, tmp_path, name):
    own = tmp_path / 'own'
    own.mkdir()
    for ending in ('json', 'pt'):
        shutil.copy(clip_dir / f'{name}.{ending}', own)
    # The vocabulary lies beside the tower, as users have it.
    config = json.loads((own / f'{name}.json').read_text())
    vocabulary = config['text_cfg']['tokenizer_kwargs']['bpe_path']
    shutil.copy(vocabulary, own / 'words.txt.gz')
    config['text_cfg']['tokenizer_kwargs']['bpe_path'] = 'words.txt.gz'
    (own / f'{name}.json').write_text(json.dumps(config))
    backbone = dict(type='OpenCLIPBackbone', model_name=name, pretrained=str(own / f'{name}.pt'), config_dir=str(own))
    model = disturbed(make_model(backbone=backbone, view=dict(type='View', size=64)))
    result = export_hub(checkpoint=save(model), out=tmp_path / 'hub', with_tower=True)
    assert {'tower/open_clip_model.safetensors', f'tower/{name}.json', 'tower/words.txt.gz'} <= set(result.files)
    assert not result.needs_path
    expected = scores_of(model)
    shutil.rmtree(own)
    found = cssa_mm.load_model(shutil.move(tmp_path / 'hub', tmp_path / 'elsewhere'))
    assert np.array_equal(scores_of(found), expected)
    # A folder is as good as a checkpoint.
    export_hub(checkpoint=tmp_path / 'elsewhere', out=tmp_path / 'again', with_tower=True)
    assert np.array_equal(scores_of(cssa_mm.load_model(tmp_path / 'again')), expected)


def test_no_path_of_this_machine_is_written(make_model, clip_dir, save, tmp_path):
    model = disturbed(make_model(view=dict(type='View', size=64)))
    export_hub(checkpoint=save(model), out=tmp_path / 'hub', with_tower=True)
    state = load_file(tmp_path / 'hub' / 'model.safetensors')
    texts = {name: (tmp_path / 'hub' / name).read_text() for name in ('README.md', 'config.json', 'tower/tiny-rn.json')}
    for name, text in (texts | dict(weights=bytes(state['_extra_state'].tolist()).decode())).items():
        assert str(clip_dir.parent) not in text, name
        assert str(DEMO_CLIP) not in text, name  # where the vocabulary lies
    assert not any(name.startswith(('backbone', 'text_encoder', 'tower')) for name in state)


# -- what other programs read ----------------------------------------------------------------------------------


def test_others_may_read_what_they_may_read_of_any_new_file(folder, tmp_path):
    (tmp_path / 'new').touch()
    files = [path for path in folder.rglob('*') if path.is_file()]
    assert {path.stat().st_mode for path in files} == {(tmp_path / 'new').stat().st_mode}


def test_the_card_has_the_metadata_that_the_hub_reads(folder):
    loaded = ModelCard.load(folder / 'README.md')
    data = loaded.data
    assert (data.library_name, data.pipeline_tag) == ('cssa_mm', 'image-classification')
    assert (data.license, data.license_name, data.license_link) == ('other', 'to-be-filled-in', 'LICENSE')
    assert 'multi-label-classification' in data.tags
    rows = {line.split(' | ')[0].strip('| '): line for line in loaded.text.splitlines() if line.startswith('| ')}
    for name, threshold, positives in zip(ICONS, (0.3, 0.35, 0.4), (3, 4, 5), strict=True):
        row = rows[name.replace('|', '\\|')]
        assert f'| {threshold:.4g} | {positives} |' in row
    assert '1 of 3 classes had too few labelled positives' in loaded.text
    assert 'it comes with the package cssa_mm' in loaded.text


def test_stored_images_are_stated_with_what_they_give_away(plus_run, folder, tmp_path):
    result = export_hub(checkpoint=plus_run.result.checkpoint, out=tmp_path / 'plus')
    neighbours = cssa_mm.load_model(plus_run.result.checkpoint).neighbours
    text = (tmp_path / 'plus' / 'README.md').read_text()
    section = ' '.join(text.split('## Training images in this file')[1].split('##')[0].split())
    assert f'features of 40 training images ({neighbours.megabytes:.1f} MB)' in section
    assert 'one can tell whether a given photo was among them' in section
    config = json.loads((tmp_path / 'plus' / 'config.json').read_text())
    assert config['neighbours'] == dict(images=40, megabytes=neighbours.megabytes)
    stored = load_file(tmp_path / 'plus' / 'model.safetensors')
    sizes = [value.nbytes for name, value in stored.items() if name.startswith('neighbours.')]
    assert neighbours.megabytes == sum(sizes) / 1e6
    assert 'It holds the features of 40 training images' in result.text()
    assert 'Training images' not in (folder / 'README.md').read_text()
    assert json.loads((folder / 'config.json').read_text())['neighbours'] is None


def test_an_untrained_model_says_so(save, tmp_path):
    model = cssa_mm.zero_shot(class_names=ICONS, model_name='cssa-demo-rn', pretrained='demo', size=64)
    export_hub(checkpoint=save(model), out=tmp_path / 'hub')
    text = (tmp_path / 'hub' / 'README.md').read_text()
    assert 'nothing was trained' in text
    assert 'set your own on labelled images' in text
    found = cssa_mm.load_model(tmp_path / 'hub')
    assert found.thresholds.rule == 'none'
    assert all(map(math.isnan, found.thresholds.values))


def test_the_preprocessor_makes_the_pixels_that_the_model_reads(demo, folder):
    model, _ = demo
    rules = json.loads((folder / 'preprocessor_config.json').read_text())
    pixels = np.random.default_rng(1).integers(0, 256, (50, 80, 3), dtype=np.uint8)
    # As an image processor of the hub proceeds.
    size = rules['size']
    image = Image.fromarray(pixels).convert('RGB').resize((size['width'], size['height']), rules['resample'])
    values = np.asarray(image, np.float64) * rules['rescale_factor']
    values = (values - np.array(rules['image_mean'])) / np.array(rules['image_std'])
    ours = model.view.of_image(pixels)
    inputs = model.data_preprocessor(dict(inputs=[torch.from_numpy(ours.transpose(2, 0, 1).copy())]))['inputs'][0]
    np.testing.assert_allclose(values.transpose(2, 0, 1), inputs.numpy(), atol=1e-5)


def test_a_view_without_size_resizes_nothing(save, tmp_path):
    model = cssa_mm.zero_shot(class_names=ICONS, model_name='cssa-demo-rn', pretrained='demo', size=None)
    export_hub(checkpoint=save(model), out=tmp_path / 'hub')
    rules = json.loads((tmp_path / 'hub' / 'preprocessor_config.json').read_text())
    assert rules['do_resize'] is False
    assert rules['size'] is None


def test_config_json_names_the_classes_as_the_hub_reads_them(folder):
    config = json.loads((folder / 'config.json').read_text())
    assert [config['id2label'][str(index)] for index in range(3)] == ICONS
    assert config['label2id'] == {name: index for index, name in enumerate(ICONS)}
    assert config['problem_type'] == 'multi_label_classification'
    assert config['thresholds']['positives'] == [3, 4, 5]


# -- broken folders --------------------------------------------------------------------------------------------


@pytest.mark.parametrize('name', ['config.json', 'model.safetensors'])
def test_a_folder_that_lacks_a_file_is_refused(folder, name):
    (folder / name).unlink()
    assert f'found no {name}' in refusal(folder)


@pytest.mark.parametrize('keep', [0, 7, 100, -1000])
def test_a_truncated_file_is_refused(folder, keep):
    content = (folder / 'model.safetensors').read_bytes()
    (folder / 'model.safetensors').write_bytes(content[:keep])
    assert 'weights that cannot be read' in refusal(folder)


@pytest.mark.parametrize('text', ['', '[]', '{}', 'null', '{"class_names": '])
def test_a_broken_config_json_is_refused(folder, text):
    (folder / 'config.json').write_text(text)
    assert 'config.json: found no ' in refusal(folder)


@pytest.mark.parametrize(
    ('change', 'key'),
    [
        (lambda c: c['class_names'].reverse(), 'class_names'),
        (lambda c: c['class_names'].pop(), 'class_names'),
        (lambda c: c['id2label'].update({'0': 'flag'}), 'id2label.0'),
        (lambda c: c['thresholds']['values'].__setitem__(0, 0.9), 'thresholds.values'),
        (lambda c: c['calibration']['slope'].__setitem__(0, 9.0), 'calibration.slope'),
        (lambda c: c['view'].update(size=96), 'view.size'),
        (lambda c: c['tower'].update(weights_hash='0' * 16), 'tower.weights_hash'),
        (lambda c: c['description']['head'].update(score='dual'), 'description.head.score'),
    ],
)
def test_a_config_json_of_another_model_is_refused(folder, change, key):
    config = json.loads((folder / 'config.json').read_text())
    change(config)
    (folder / 'config.json').write_text(json.dumps(config))
    assert f'config.json: found {key} ' in refusal(folder)


def test_what_others_add_to_config_json_does_no_harm(demo, folder):
    config = json.loads((folder / 'config.json').read_text()) | dict(_name_or_path='org/name', made_by='another')
    (folder / 'config.json').write_text(json.dumps(config))
    assert np.array_equal(scores_of(cssa_mm.load_model(folder)), scores_of(demo[0]))


def test_weights_of_another_tower_are_refused(make_model, clip_dir, save, tmp_path):
    model = disturbed(make_model(view=dict(type='View', size=64)))
    export_hub(checkpoint=save(model), out=tmp_path / 'hub', with_tower=True)
    path = tmp_path / 'hub' / 'tower' / 'open_clip_model.safetensors'
    state = load_file(path)
    name = next(name for name, value in state.items() if value.is_floating_point())
    save_file(state | {name: state[name] + 1}, path)
    assert 'tower.weights_hash' in refusal(tmp_path / 'hub')
    path.write_bytes(path.read_bytes()[:5000])
    assert 'cannot be loaded' in refusal(tmp_path / 'hub')


def test_weights_without_a_description_are_refused(folder):
    state = load_file(folder / 'model.safetensors')
    del state['_extra_state']
    save_file(state, folder / 'model.safetensors')
    assert 'not of a CSSAClassifier' in refusal(folder)


# -- what cannot be exported -----------------------------------------------------------------------------------


def test_nothing_is_written_over_or_half(demo, folder, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match='which holds something'):
        export_hub(checkpoint=demo[1], out=folder)
    (folder / 'README.md').write_text('old')
    (folder / 'LICENSE').write_text('mine')
    export_hub(checkpoint=demo[1], out=folder, force=True)
    assert (folder / 'README.md').read_text() != 'old'
    assert (folder / 'LICENSE').read_text() == 'mine'
    monkeypatch.setattr('cssa_mm.apis.exporting.hub.write_tower', lambda *details: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export_hub(checkpoint=demo[1], out=tmp_path / 'half')
    assert not [path for path in tmp_path.iterdir() if 'half' in path.name]


def test_a_tower_that_is_no_file_cannot_be_copied(make_model, clip_dir, save, tmp_path, monkeypatch):
    folder = tmp_path / 'tiny'
    folder.mkdir()
    content = json.loads((clip_dir / 'tiny-rn.json').read_text())
    (folder / 'open_clip_config.json').write_text(json.dumps(dict(model_cfg=content, preprocess_cfg={})))
    shutil.copy(clip_dir / 'tiny-rn.pt', folder / 'weights.pt')
    monkeypatch.setattr(
        'cssa_mm.models.tower_plan.fetch_from_hub', lambda place, name=None: str(folder / (name or 'weights.pt'))
    )
    backbone = dict(type='OpenCLIPBackbone', model_name='hf-hub:org/tiny')
    path = save(disturbed(make_model(backbone=backbone, view=dict(type='View', size=64))))
    with pytest.raises(ConfigError, match='--with-tower: found a tower that is no file'):
        export_hub(checkpoint=path, out=tmp_path / 'hub', with_tower=True)
    assert not (tmp_path / 'hub').exists()
    export_hub(checkpoint=path, out=tmp_path / 'hub')
    assert ModelCard.load(tmp_path / 'hub' / 'README.md').data.base_model == 'org/tiny'
    assert np.array_equal(scores_of(cssa_mm.load_model(tmp_path / 'hub')), scores_of(cssa_mm.load_model(path)))


def test_a_tower_of_a_local_hub_folder_goes_along(make_model, clip_dir, save, tmp_path):
    folder = tmp_path / 'tiny'
    folder.mkdir()
    content = json.loads((clip_dir / 'tiny-rn.json').read_text())
    preprocess = dict(mean=[0.5, 0.25, 0.5], std=[0.5, 0.5, 0.5])
    (folder / 'open_clip_config.json').write_text(json.dumps(dict(model_cfg=content, preprocess_cfg=preprocess)))
    shutil.copy(clip_dir / 'tiny-rn.pt', folder / 'weights.pt')
    backbone = dict(type='OpenCLIPBackbone', model_name=f'local-dir:{folder}')
    path = save(disturbed(make_model(backbone=backbone, view=dict(type='View', size=64))))
    expected = scores_of(cssa_mm.load_model(path))
    export_hub(checkpoint=path, out=tmp_path / 'hub', with_tower=True)
    shutil.rmtree(folder)
    assert np.array_equal(scores_of(cssa_mm.load_model(tmp_path / 'hub')), expected)
    rules = json.loads((tmp_path / 'hub' / 'preprocessor_config.json').read_text())
    assert rules['image_mean'] == [0.5, 0.25, 0.5]


def test_a_model_without_a_view_is_refused(make_model, save, tmp_path):
    with pytest.raises(ConfigError, match=r'model\.view: found none'):
        export_hub(checkpoint=save(make_model()), out=tmp_path / 'hub')
    assert not (tmp_path / 'hub').exists()


def test_a_folder_opens_for_scoring_like_a_checkpoint(demo, folder, plus_run, clip_dir, tmp_path):
    found = cssa_mm.Predictor(open_scorer(folder))
    pixels = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    (ours,), (theirs,) = (list(predictor.predict(pixels)) for predictor in (found, cssa_mm.Predictor(demo[0])))
    assert np.array_equal(ours.scores, theirs.scores)
    assert ours.labels == theirs.labels
    export_hub(checkpoint=plus_run.result.checkpoint, out=tmp_path / 'lean')
    scorer = open_scorer(tmp_path / 'lean', tower=clip_dir / 'tiny-rn.pt')
    assert scorer.class_names == cssa_mm.load_model(plus_run.result.checkpoint).class_names

"""`--tower`: NAME:TAG, NAME:PATH and what else tells a tower."""

import json
import shutil

import pytest
import torch

from cssa_mm.errors import CheckpointError, ConfigError
from cssa_mm.models.open_clip_loader import load_open_clip
from cssa_mm.models.tower_spec import resolve_tower


def options(model_name, pretrained=None, config_dir=None) -> dict:
    paths = (None if value is None else str(value) for value in (pretrained, config_dir))
    return dict(zip(('model_name', 'pretrained', 'config_dir'), (model_name, *paths), strict=True))


@pytest.fixture
def folder(clip_dir, tmp_path):
    """make(*names) -> a folder with copies of tiny-rn's JSON and weights under these names."""
    place = tmp_path / 'towers'
    place.mkdir()

    def make(*names):
        for name in names:
            source = clip_dir / f'tiny-rn.{"json" if name.endswith(".json") else "pt"}'
            shutil.copy(source, place / name)
        return place

    return make


# -- names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('ViT-B-32:laion2b_s34b_b79k', options('ViT-B-32', 'laion2b_s34b_b79k')),
        ('ViT-B-32-quickgelu:openai', options('ViT-B-32-quickgelu', 'openai')),
        ('ViT-B-32-gelu:laion2b_s34b_b79k', options('ViT-B-32-gelu', 'laion2b_s34b_b79k')),
        ('ViT-B-32:openai', options('ViT-B-32', 'openai')),  # the loader tells of -quickgelu
        ('MobileCLIP-S1', options('MobileCLIP-S1', 'datacompdr')),  # its only tag
        ('demo', options('cssa-demo-rn', 'demo')),
        ('cssa-demo-rn:demo', options('cssa-demo-rn', 'demo')),
        ('hf-hub:timm/ViT-B-16-SigLIP', options('hf-hub:timm/ViT-B-16-SigLIP')),
    ],
)
def test_a_name_with_a_tag_is_name_and_weights(text, expected):
    assert resolve_tower(text) == expected


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('ViT-B-32', "found 'ViT-B-32' without weights, expected ViT-B-32:TAG with one of openai, laion400m_e31"),
        ('ViT-S-32', "found 'ViT-S-32' without weights, expected ViT-S-32:FILE; it has no tags"),
        ('ViT-B/32', "found 'ViT-B/32', which is no file, folder or tower of open_clip.*Did you mean 'ViT-B-32'"),
        ('ViT-B-33:openai', "found the unknown tower 'ViT-B-33'.*Did you mean 'ViT-B-32'"),
        (':openai', "found ':openai', expected NAME:TAG, "),
        ('ViT-B-32:', "found 'ViT-B-32:', expected NAME:TAG, "),
    ],
)
def test_a_name_that_tells_no_tower_is_refused_in_one_line(text, message):
    with pytest.raises(ConfigError, match=message) as error:
        resolve_tower(text)
    assert '\n' not in str(error.value)


def test_a_tag_that_is_a_file_too_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'openai').write_bytes(b'')
    with pytest.raises(ConfigError, match='write ViT-B-32-quickgelu:./openai for the latter'):
        resolve_tower('ViT-B-32-quickgelu:openai')
    assert resolve_tower('ViT-B-32-quickgelu:./openai') == options('ViT-B-32-quickgelu', 'openai')


# -- paths -----------------------------------------------------------------------------------------------------


def test_a_folder_or_file_with_the_name_s_json_is_taken(folder):
    place = folder('my-rn.json', 'my_rn.pt', 'other.pt')
    expected = options('my-rn', place / 'my_rn.pt', place)
    for text in (f'my-rn:{place}', f'my-rn:{place}/my_rn.pt', place, place / 'my_rn.pt', place / 'my-rn.json'):
        assert resolve_tower(text) == expected
    assert resolve_tower(f'my-rn:{place}/other.pt') == options('my-rn', place / 'other.pt', place)
    assert resolve_tower(place / 'other.pt') == options('my-rn', place / 'other.pt', place)  # the only JSON
    assert load_open_clip(**resolve_tower(place)).name == 'my-rn'


def test_the_only_weights_of_a_folder_may_be_called_anything(folder):
    place = folder('my-rn.json', 'epoch_12.pt')
    assert resolve_tower(place) == resolve_tower(f'my-rn:{place}') == options('my-rn', place / 'epoch_12.pt', place)


def test_of_several_towers_the_name_chooses(folder):
    place = folder('a.json', 'b.json', 'a.pt', 'b.pt')
    assert resolve_tower(f'b:{place}') == options('b', place / 'b.pt', place)
    assert resolve_tower(place / 'b.pt') == options('b', place / 'b.pt', place)
    with pytest.raises(ConfigError, match=f'found the towers a, b in {place}, expected one .*: --tower NAME:{place}'):
        resolve_tower(place)


def test_a_name_of_open_clip_needs_no_json(folder):
    place = folder('ViT-B-32-quickgelu.pt')
    expected = options('ViT-B-32-quickgelu', place / 'ViT-B-32-quickgelu.pt')
    for text in (f'ViT-B-32-quickgelu:{place}', place / 'ViT-B-32-quickgelu.pt'):
        assert resolve_tower(text) == expected
    assert resolve_tower(f'RN50:{place}') == options('RN50', place / 'ViT-B-32-quickgelu.pt')  # the user says so
    (place / 'ViT-B-32-quickgelu.pt').rename(place / 'ViT-B-32-gelu.pt')
    assert resolve_tower(place / 'ViT-B-32-gelu.pt')['model_name'] == 'ViT-B-32-gelu'


def test_the_activation_of_a_suffix_finds_the_json_without_it(folder):
    place = folder('my-rn.json', 'my-rn.pt', 'other.pt')
    assert resolve_tower(f'my-rn-gelu:{place}') == options('my-rn-gelu', place / 'my-rn.pt', place)
    assert load_open_clip(**resolve_tower(f'my-rn-quickgelu:{place}')).source['activation'] == 'quickgelu'


@pytest.mark.parametrize(
    ('names', 'text', 'error', 'message'),
    [
        (['a.json'], 'a:{}', CheckpointError, 'found no .safetensors, .pt, .* file, expected one of the tower'),
        (['a.json', 'x.pt', 'y.pt'], 'a:{}', CheckpointError, 'found the weights files x.pt, y.pt, expected one'),
        (
            ['a-b.json', 'a-b.pt', 'a_b.pt'],
            'c:{}/a_b.pt',
            ConfigError,
            "unknown tower 'c' .*expected c.json in .*found a-b",
        ),
        (['x.pt'], '{}/x.pt', ConfigError, 'x.pt with no JSON beside it, whose name tells no tower, expected NAME:'),
        (
            ['a.json', 'b.json', 'x.pt'],
            '{}/x.pt',
            ConfigError,
            'x.pt beside the JSON of a, b, whose name tells no tower',
        ),
        ([], 'RN50:{}/missing.pt', CheckpointError, "found no file or folder '.*missing.pt', expected the weights of"),
        ([], '{}', ConfigError, 'found the towers none in'),
        ([], 'local-dir:{}', CheckpointError, 'found no open_clip_config.json in'),
    ],
)
def test_a_path_that_tells_no_tower_is_refused_in_one_line(folder, names, text, error, message):
    with pytest.raises(error, match=message) as raised:
        resolve_tower(text.format(folder(*names)))
    assert '\n' not in str(raised.value)


def test_json_that_is_no_model_config_is_no_tower(folder):
    place = folder('a.json', 'a.pt')
    (place / 'notes.json').write_text('[1]')
    (place / 'labels.json').write_text('{"a": 1}')
    assert resolve_tower(place)['model_name'] == 'a'
    with pytest.raises(ConfigError, match=r'labels\.json, which is no model config'):
        resolve_tower(place / 'labels.json')
    (place / 'broken.json').write_text('{')
    with pytest.raises(ConfigError, match=r'broken\.json: found no JSON'):
        resolve_tower(place)


def test_two_weights_of_one_name_are_asked_about(folder):
    place = folder('a-b.json', 'a-b.pt', 'a_b.pt')
    with pytest.raises(
        CheckpointError, match='found a-b.pt and a_b.pt, expected one file of weights; name it: --tower'
    ):
        resolve_tower(f'a-b:{place}')
    assert resolve_tower(f'a-b:{place}/a_b.pt')['pretrained'] == str(place / 'a_b.pt')


# -- folders as the hub has them -------------------------------------------------------------------------------


@pytest.fixture
def hub_folder(clip_dir, tmp_path):
    """A folder as the Hugging Face hub has it: open_clip_config.json with statistics of its own, and the weights."""
    place = tmp_path / 'hub' / 'my-clip'
    place.mkdir(parents=True)
    config = json.loads((clip_dir / 'tiny-rn.json').read_text())
    preprocess = dict(mean=[0.5, 0.25, 0.5], std=[0.5, 0.5, 0.25])
    (place / 'open_clip_config.json').write_text(json.dumps(dict(model_cfg=config, preprocess_cfg=preprocess)))
    shutil.copy(clip_dir / 'tiny-rn.pt', place / 'open_clip_pytorch_model.bin')
    return place


def test_a_folder_of_the_hub_is_found_by_itself_or_as_local_dir(hub_folder):
    expected = options(f'local-dir:{hub_folder}')
    for text in (hub_folder, f'local-dir:{hub_folder}', hub_folder / 'open_clip_config.json'):
        assert resolve_tower(text) == expected


def test_a_folder_of_the_hub_is_loaded_with_its_own_statistics(hub_folder, clip_dir):
    clip = load_open_clip(f'local-dir:{hub_folder}')
    assert (clip.mean, clip.std) == ((0.5, 0.25, 0.5), (0.5, 0.5, 0.25))
    assert clip.name == 'local-dir:my-clip'
    assert clip.weights_hash == load_open_clip('tiny-rn', str(clip_dir / 'tiny-rn.pt'), str(clip_dir)).weights_hash
    moved = hub_folder.parent.parent / 'my-clip'
    hub_folder.rename(moved)
    again = load_open_clip(clip.name, str(moved / 'open_clip_pytorch_model.bin'), str(moved))
    assert (again.name, again.mean, again.weights_hash) == (clip.name, clip.mean, clip.weights_hash)
    with torch.no_grad():
        assert again.model.encode_text(again.tokenizer(['a dog.'])).shape == (1, 16)


def test_a_tag_beside_a_name_that_brings_its_weights_is_refused(hub_folder):
    with pytest.raises(
        ConfigError, match="found 'openai' beside the name 'local-dir:.*', which brings its own weights"
    ):
        load_open_clip(f'local-dir:{hub_folder}', 'openai')


def test_of_several_weights_in_a_folder_of_the_hub_its_usual_name_is_taken(hub_folder):
    shutil.copy(hub_folder / 'open_clip_pytorch_model.bin', hub_folder / 'a.bin')
    assert load_open_clip(f'local-dir:{hub_folder}').source['pretrained'].endswith('open_clip_pytorch_model.bin')
    (hub_folder / 'open_clip_pytorch_model.bin').rename(hub_folder / 'b.bin')
    with pytest.raises(CheckpointError, match='found the weights files a.bin, b.bin'):
        load_open_clip(f'local-dir:{hub_folder}')


@pytest.mark.parametrize('content', ['{', '[]', '{"model": 1}'])
def test_a_config_of_the_hub_that_is_none_is_refused(hub_folder, content):
    (hub_folder / 'open_clip_config.json').write_text(content)
    with pytest.raises(CheckpointError, match='open_clip_config.json: found no model_cfg'):
        load_open_clip(f'local-dir:{hub_folder}')

import json

import open_clip
import pytest
import torch

from cssa_mm.demo.clip import MODEL_NAME
from cssa_mm.errors import CheckpointError, ConfigError
from cssa_mm.models.open_clip_loader import load_open_clip


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError('a download was started')

    for module in (open_clip.factory, open_clip.pretrained):
        for name in ('download_pretrained', 'download_pretrained_from_url', 'download_pretrained_from_hf'):
            monkeypatch.setattr(module, name, refuse, raising=False)


def load_tiny(clip_dir, name='tiny-rn', weights=None):
    return load_open_clip(name, str(weights or clip_dir / f'{name}.pt'), str(clip_dir))


def message_of(error) -> str:
    message = str(error.value)
    assert '\n' not in message
    return message


@pytest.mark.smoke
def test_a_checkpoint_is_loaded_with_all_of_its_weights(clip_dir):
    clip = load_tiny(clip_dir)
    saved = torch.load(clip_dir / 'tiny-rn.pt', weights_only=True)
    loaded = clip.model.state_dict()
    assert saved.keys() == loaded.keys()
    assert all(torch.equal(saved[name], loaded[name]) for name in saved)
    assert clip.name == 'tiny-rn'


def test_the_packaged_micro_clip_needs_no_path():
    clip = load_open_clip(MODEL_NAME, 'demo')
    assert clip.model.visual.image_size in (128, (128, 128))
    tokens = clip.tokenizer(['a photo of a sun.'])
    assert tokens.shape == (1, 32)
    assert int(tokens.max()) == clip.model.vocab_size - 1


def test_pixel_statistics_are_those_of_the_model(clip_dir, tmp_path):
    assert load_tiny(clip_dir).mean == open_clip.OPENAI_DATASET_MEAN
    assert load_tiny(clip_dir).std == open_clip.OPENAI_DATASET_STD


def test_a_relative_vocabulary_counts_from_the_folder_of_the_json(clip_dir, tmp_path):
    config = json.loads((clip_dir / 'tiny-rn.json').read_text())
    vocabulary = config['text_cfg']['tokenizer_kwargs']['bpe_path']
    (tmp_path / 'small.txt.gz').write_bytes(open(vocabulary, 'rb').read())
    config['text_cfg']['tokenizer_kwargs']['bpe_path'] = 'small.txt.gz'
    (tmp_path / 'tiny-relative.json').write_text(json.dumps(config))
    clip = load_open_clip('tiny-relative', str(clip_dir / 'tiny-rn.pt'), str(tmp_path))
    assert torch.equal(clip.tokenizer(['a dog.']), load_tiny(clip_dir).tokenizer(['a dog.']))


def test_the_hash_tells_weights_apart_and_not_files(clip_dir, tmp_path):
    original = load_tiny(clip_dir).weights_hash
    state = torch.load(clip_dir / 'tiny-rn.pt', weights_only=True)
    torch.save({'state_dict': state}, tmp_path / 'wrapped.pt')
    assert load_tiny(clip_dir, weights=tmp_path / 'wrapped.pt').weights_hash == original
    state['visual.layer1.0.conv1.weight'][0, 0, 0, 0] += 1e-3
    torch.save(state, tmp_path / 'other.pt')
    assert load_tiny(clip_dir, weights=tmp_path / 'other.pt').weights_hash != original


@pytest.mark.parametrize('name', ['RN50', 'RN101', 'RN50x4', 'RN50x16', 'RN50x64'])
def test_openai_resnets_without_quickgelu_are_refused_before_any_download(name, no_network):
    with pytest.raises(ConfigError) as error:
        load_open_clip(name, 'openai')
    assert f"'{name}-quickgelu'" in message_of(error)


@pytest.mark.parametrize('name', ['RN50', 'RN101', 'RN50x4', 'RN50x16', 'RN50x64'])
def test_the_name_that_the_quickgelu_message_recommends_exists(name):
    assert open_clip.get_model_config(f'{name}-quickgelu')['quick_gelu'] is True


def test_an_unknown_model_name_gets_the_nearest_one():
    with pytest.raises(ConfigError) as error:
        load_open_clip('ViT-B-61', None)
    assert "'ViT-B-61'" in message_of(error)
    assert "Did you mean 'ViT-B-16'?" in message_of(error)


def test_an_unknown_tag_gets_the_nearest_one(no_network):
    with pytest.raises(ConfigError) as error:
        load_open_clip('ViT-B-32', 'laion2b_s34b_b97k')
    assert "Did you mean 'laion2b_s34b_b79k'?" in message_of(error)


def test_a_tag_of_a_model_that_has_none_says_so(clip_dir):
    with pytest.raises(ConfigError, match="found 'openai'.*tags of 'tiny-rn': none"):
        load_open_clip('tiny-rn', 'openai', str(clip_dir))


def test_a_missing_checkpoint_is_named(clip_dir, tmp_path):
    missing = tmp_path / 'nowhere.pt'
    with pytest.raises(CheckpointError) as error:
        load_tiny(clip_dir, weights=missing)
    assert f"found no file '{missing}'" in message_of(error)


@pytest.mark.parametrize('name', ['tiny-vit', 'tiny-timm', 'tiny-custom'])
def test_the_checkpoint_of_another_tower_is_refused_in_one_line(clip_dir, name):
    with pytest.raises(CheckpointError) as error:
        load_tiny(clip_dir, name='tiny-rn', weights=clip_dir / f'{name}.pt')
    assert f'{name}.pt' in message_of(error)
    assert "expected weights of 'tiny-rn'" in message_of(error)


def test_weights_of_another_text_width_are_refused_in_one_line():
    with pytest.raises(CheckpointError) as error:  # open_clip ends in an assertion
        load_open_clip('RN50', 'demo')
    assert "expected weights of 'RN50'" in message_of(error)


def test_two_towers_of_one_name_are_each_read_by_their_own_json(clip_dir, tmp_path):
    config = json.loads((clip_dir / 'tiny-rn.json').read_text())
    folders = [tmp_path / 'first', tmp_path / 'second']
    for folder, quick_gelu in zip(folders, (False, True), strict=True):  # their weights have the same names and shapes
        folder.mkdir()
        (folder / 'twin-rn.json').write_text(json.dumps(config | dict(quick_gelu=quick_gelu)))
    first, second, again = (
        load_open_clip('twin-rn', str(clip_dir / 'tiny-rn.pt'), str(folder)).model.encode_text(torch.arange(48)[None])
        for folder in (*folders, folders[0])
    )
    assert not torch.equal(first, second)
    assert torch.equal(again, first)


@pytest.mark.parametrize('suffix', ['.pt', '.safetensors'])
@pytest.mark.parametrize('content', [b'', b'no checkpoint at all', b'\x80\x04' + bytes(range(256)) * 8])
def test_an_unreadable_checkpoint_is_refused_in_one_line(clip_dir, tmp_path, suffix, content):
    path = tmp_path / f'broken{suffix}'
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as error:
        load_tiny(clip_dir, weights=path)
    assert f'broken{suffix}' in message_of(error)


def test_a_truncated_checkpoint_is_refused_in_one_line(clip_dir, tmp_path):
    whole = (clip_dir / 'tiny-rn.pt').read_bytes()
    (tmp_path / 'half.pt').write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError) as error:
        load_tiny(clip_dir, weights=tmp_path / 'half.pt')
    assert 'half.pt' in message_of(error)


def test_a_config_folder_without_json_is_refused(tmp_path):
    with pytest.raises(ConfigError) as error:
        load_open_clip('tiny-rn', None, str(tmp_path))
    assert f'{tmp_path}: found no *.json' in message_of(error)

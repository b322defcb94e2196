"""Downloads, all of them patched: what is fetched, and what an offline machine is told."""

import json
import time

import open_clip
import pytest
import torch
from huggingface_hub import constants

from cssa_mm.errors import CheckpointError
from cssa_mm.models import tower_hub
from cssa_mm.models.open_clip_loader import load_open_clip
from cssa_mm.models.tower_hub import checked_by_hash, is_reachable, refuse_out_of_reach


@pytest.fixture
def hub(clip_dir, tmp_path, monkeypatch):
    """A hub with one repository, org/tiny; it holds what its client is asked for, and whether it is offline."""
    config = json.loads((clip_dir / 'tiny-rn.json').read_text())
    (tmp_path / 'config.json').write_text(json.dumps(dict(model_cfg=config, preprocess_cfg=dict(mean=[0.5] * 3))))
    asked = []

    def download(repo_id, filename, revision=None, cache_dir=None):
        asked.append((repo_id, filename, constants.HF_HUB_OFFLINE))
        if constants.HF_HUB_OFFLINE or repo_id != 'org/tiny':
            raise OSError('not in the cache')
        if filename == 'open_clip_config.json':
            return str(tmp_path / 'config.json')
        if filename == 'open_clip_pytorch_model.bin':
            return str(clip_dir / 'tiny-rn.pt')
        raise OSError('404')

    monkeypatch.setattr(open_clip.pretrained, 'hf_hub_download', download)
    monkeypatch.setattr(tower_hub, 'is_reachable', lambda url, seconds=0: True)
    return asked


@pytest.fixture
def offline(hub, monkeypatch):
    urls = []
    monkeypatch.setattr(tower_hub, 'is_reachable', lambda url, seconds=0: urls.append(url))
    return urls


def message_of(error) -> str:
    message = str(error.value)
    assert '\n' not in message
    return message


def test_a_tower_of_the_hub_is_downloaded_with_its_statistics(hub, clip_dir):
    clip = load_open_clip('hf-hub:org/tiny')
    assert clip.name == 'hf-hub:org/tiny'
    assert clip.mean == (0.5, 0.5, 0.5)
    assert clip.weights_hash == load_open_clip('tiny-rn', str(clip_dir / 'tiny-rn.pt'), str(clip_dir)).weights_hash
    assert {(repo, name) for repo, name, _ in hub} >= {
        ('org/tiny', 'open_clip_config.json'), ('org/tiny', 'open_clip_pytorch_model.bin'),
    }  # fmt: skip
    assert clip.source['pretrained'] is None
    assert clip.source['model_config']['preprocess_cfg'] == dict(mean=[0.5] * 3)


def test_an_unknown_repository_is_refused_with_the_client_s_reason(hub):
    with pytest.raises(CheckpointError) as error:
        load_open_clip('hf-hub:org/other')
    assert "found 'hf-hub:org/other', whose open_clip_config.json" in message_of(error)
    assert 'not in the cache' in message_of(error)
    assert '--tower local-dir:FOLDER' in message_of(error)


def test_an_offline_machine_is_told_of_files_and_only_the_cache_is_asked(offline, hub):
    with pytest.raises(CheckpointError) as error:
        load_open_clip('ViT-B-32-quickgelu', 'openai')
    message = message_of(error)
    assert "found the tag 'openai' of 'ViT-B-32-quickgelu', which is not on this machine" in message
    assert 'no answer from the server' in message
    assert 'https://huggingface.co/timm/vit_base_patch32_clip_224.openai' in message
    assert '--tower ViT-B-32-quickgelu:FILE or backbone.pretrained=FILE' in message
    with pytest.raises(CheckpointError, match='--tower local-dir:FOLDER'):
        load_open_clip('hf-hub:org/tiny')
    assert offline == [constants.ENDPOINT] * 2
    assert hub
    assert all(is_offline for _, _, is_offline in hub)
    assert not constants.HF_HUB_OFFLINE  # it is as before


def test_weights_that_were_downloaded_before_are_found_offline(offline, hub, clip_dir, monkeypatch):
    monkeypatch.setattr(open_clip.pretrained, 'hf_hub_download', lambda **options: str(clip_dir / 'tiny-rn.pt'))
    with pytest.raises(CheckpointError) as error:
        load_open_clip('ViT-B-32-quickgelu', 'openai')
    assert "found 'openai' that cannot be loaded (text pos_embed width" in message_of(
        error
    )  # found, and of another tower


def test_a_tag_with_an_address_of_its_own_is_asked_for_there(offline, monkeypatch, tmp_path):
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.setattr(open_clip.pretrained, 'download_pretrained_from_url', lambda *a, **k: pytest.fail('asked'))
    entry = dict(url='https://example.org/weights/a.pt', quick_gelu=True)
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED['ViT-B-32-quickgelu'], 'mine', entry)
    with pytest.raises(CheckpointError, match='fetch https://example.org/weights/a.pt elsewhere'):
        load_open_clip('ViT-B-32-quickgelu', 'mine')
    assert offline == ['https://example.org/weights/a.pt']


def test_local_weights_ask_no_server(offline, clip_dir):
    load_open_clip('tiny-rn', str(clip_dir / 'tiny-rn.pt'), str(clip_dir))
    load_open_clip('cssa-demo-rn', 'demo')
    assert offline == []


def test_a_server_that_keeps_silent_is_given_up_within_seconds(monkeypatch):
    monkeypatch.setattr(tower_hub.urllib.request, 'urlopen', lambda *a, **k: time.sleep(30))
    start = time.monotonic()
    assert is_reachable('https://example.org', seconds=0.2) is False
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ('error', 'expected'),
    [
        (None, True),
        (tower_hub.urllib.error.HTTPError('u', 404, 'no', {}, None), True),
        (tower_hub.urllib.error.URLError('[SSL: CERTIFICATE_VERIFY_FAILED]'), True),
        (tower_hub.urllib.error.URLError('name or service not known'), False),
        (TimeoutError('timed out'), False),
        (ValueError('unknown url type'), False),
    ],
)
def test_a_server_is_reachable_if_it_answers_anything(monkeypatch, error, expected):
    class Answer:
        def close(self):
            pass

    def urlopen(*arguments, **options):
        if error:
            raise error
        return Answer()

    monkeypatch.setattr(tower_hub.urllib.request, 'urlopen', urlopen)
    assert is_reachable('https://example.org') is expected


def test_a_check_asks_for_weights_without_downloading_them(hub, monkeypatch):
    monkeypatch.setattr(open_clip, 'download_pretrained', lambda *a, **k: pytest.fail('downloaded'))
    refuse_out_of_reach('ViT-B-32', 'laion2b_s34b_b79k')


def test_a_check_finds_that_weights_are_out_of_reach(offline):
    with pytest.raises(CheckpointError, match="the tag 'laion2b_s34b_b79k' of 'ViT-B-32', which is not on this mach"):
        refuse_out_of_reach('ViT-B-32', 'laion2b_s34b_b79k')


# -- hashes ---------------------------------------------------------------------------------------------------------


def cached(folder, content: bytes, name: str):
    """A file as the hub's cache has it: a link to a blob that is called by its hash."""
    (folder / 'blobs').mkdir(exist_ok=True)
    (folder / 'blobs' / name).write_bytes(content)
    (folder / 'snapshot').mkdir(exist_ok=True)
    link = folder / 'snapshot' / f'{name[:5]}.bin'
    link.symlink_to(folder / 'blobs' / name)
    return str(link)


# As git hash-object and sha256sum say of the six bytes "hello\n".
GIT, SHA256 = (
    'ce013625030ba8dba906f756967f9e9ca394464a',
    '5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03',
)


@pytest.mark.parametrize('name', [GIT, SHA256])
def test_a_download_has_the_hash_by_which_the_hub_calls_it(tmp_path, name):
    path = cached(tmp_path, b'hello\n', name)
    assert checked_by_hash(path) == path
    (tmp_path / 'blobs' / name).write_bytes(b'hellp\n')
    with pytest.raises(CheckpointError, match=f'expected {name[:16]}'):
        checked_by_hash(path)


def test_a_file_that_no_cache_holds_has_no_hash_to_compare(tmp_path):
    (tmp_path / 'weights.bin').write_bytes(b'hello')
    assert checked_by_hash(str(tmp_path / 'weights.bin')) == str(tmp_path / 'weights.bin')


@pytest.mark.parametrize('is_tag', [True, False])
def test_weights_of_another_hash_are_not_opened(hub, tmp_path, monkeypatch, is_tag):
    path = cached(tmp_path, b'something else', SHA256)
    monkeypatch.setattr(open_clip.pretrained, 'hf_hub_download', lambda **options: path)
    monkeypatch.setattr(torch, 'load', lambda *a, **k: pytest.fail('it was opened'))
    with pytest.raises(CheckpointError, match='found a file with the hash'):
        load_open_clip('ViT-B-32-quickgelu', 'openai') if is_tag else load_open_clip('hf-hub:org/tiny')

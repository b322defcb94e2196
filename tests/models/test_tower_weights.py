"""OpenAI's own .pt files: TorchScript archives, which hold code."""

import json
import zipfile

import open_clip
import pytest
import torch
from safetensors import safe_open

from cssa_mm.errors import CheckpointError, ConfigError
from cssa_mm.models.open_clip_loader import load_open_clip
from cssa_mm.models.tower_weights import convert_torchscript, is_torchscript, recorded_activation


@pytest.fixture(scope='module')
def archive(clip_dir, tmp_path_factory):
    """A folder with jit.pt, jit.json, jit-quickgelu.json and plain.pt: a tower as OpenAI publishes it, in the small."""
    folder = tmp_path_factory.mktemp('jit')
    config = json.loads((clip_dir / 'tiny-vit.json').read_text())
    (folder / 'jit.json').write_text(json.dumps(config))
    (folder / 'jit-quickgelu.json').write_text(json.dumps(config | dict(quick_gelu=True)))
    model = load_open_clip('jit-quickgelu', str(clip_dir / 'tiny-vit.pt'), str(folder)).model.eval()
    model.register_buffer('input_resolution', torch.tensor(64))  # as OpenAI's have it
    torch.jit.save(torch.jit.script(model), folder / 'jit.pt')
    return folder


@pytest.fixture(scope='module')
def expected(clip_dir, archive):
    return load_open_clip('jit-quickgelu', str(clip_dir / 'tiny-vit.pt'), str(archive))


def test_only_an_archive_with_code_is_one(archive, clip_dir, tmp_path):
    assert is_torchscript(archive / 'jit.pt')
    (tmp_path / 'text.pt').write_text('no zip')
    for path in (clip_dir / 'tiny-vit.pt', tmp_path / 'text.pt', tmp_path / 'missing.pt'):
        assert not is_torchscript(path)
        assert recorded_activation(path) is None


def test_an_archive_is_refused_with_both_ways_to_open_it_and_none_of_its_code_is_run(archive, monkeypatch):
    monkeypatch.setattr(torch.jit, 'load', lambda *a, **k: pytest.fail('the archive was opened'))
    with pytest.raises(CheckpointError) as error:
        load_open_clip('jit-quickgelu', str(archive / 'jit.pt'), str(archive))
    message = str(error.value)
    assert '\n' not in message
    assert f'cssa towers --convert {archive / "jit.pt"} --out jit.safetensors' in message
    assert 'backbone.allow_torchscript=True' in message


def test_an_archive_that_is_allowed_gives_the_weights(archive, expected):
    found = load_open_clip('jit-quickgelu', str(archive / 'jit.pt'), str(archive), allow_torchscript=True)
    assert found.weights_hash == expected.weights_hash
    assert found.source['pretrained'] == str(archive / 'jit.pt')


def test_the_code_of_an_archive_tells_its_activation(archive):
    assert recorded_activation(archive / 'jit.pt') == 'quickgelu'
    for name in ('jit', 'jit-gelu'):
        with pytest.raises(
            ConfigError, match=f"found '{name}' with .*trained with QuickGELU: expected 'jit-quickgelu'"
        ):
            load_open_clip(name, str(archive / 'jit.pt'), str(archive), allow_torchscript=True)


def test_a_converted_archive_is_plain_weights_that_tell_their_activation(archive, expected, tmp_path):
    out = tmp_path / 'plain.safetensors'
    assert convert_torchscript(archive / 'jit.pt', out=out) == 'quickgelu'
    with safe_open(out, 'pt') as file:
        assert file.metadata()['activation'] == 'quickgelu'
    assert load_open_clip('jit-quickgelu', str(out), str(archive)).weights_hash == expected.weights_hash
    with pytest.raises(ConfigError, match="trained with QuickGELU: expected 'jit-quickgelu'"):
        load_open_clip('jit', str(out), str(archive))


def test_an_archive_of_gelu_is_converted_as_such(archive, clip_dir, tmp_path):
    model = open_clip.create_model('tiny-vit')
    torch.jit.save(torch.jit.script(model), tmp_path / 'gelu.pt')
    assert convert_torchscript(tmp_path / 'gelu.pt', out=tmp_path / 'gelu.safetensors') == 'gelu'
    load_open_clip('jit', str(tmp_path / 'gelu.safetensors'), str(archive))  # no question is left


@pytest.mark.parametrize(
    ('name', 'out', 'message'),
    [
        ('jit.pt', 'plain.pt', "--out: found '.*plain.pt', expected a name that ends with .safetensors"),
        ('missing.pt', 'plain.safetensors', "--convert: found no file '.*missing.pt'"),
        ('jit.json', 'plain.safetensors', 'jit.json: found no TorchScript archive'),
    ],
)
def test_what_cannot_be_converted_is_refused(archive, tmp_path, name, out, message):
    with pytest.raises(CheckpointError, match=message):
        convert_torchscript(archive / name, out=tmp_path / out)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_archive_is_refused(archive, tmp_path):
    with zipfile.ZipFile(archive / 'jit.pt') as whole, zipfile.ZipFile(tmp_path / 'part.pt', 'w') as part:
        for name in whole.namelist():
            if '/code/' in name:
                part.writestr(name, whole.read(name))
    with pytest.raises(CheckpointError, match='part.pt: found a broken TorchScript archive'):
        convert_torchscript(tmp_path / 'part.pt', out=tmp_path / 'plain.safetensors')

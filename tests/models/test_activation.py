"""GELU or QuickGELU: known from open_clip's table, from the JSON or from the file, or asked for; never guessed."""

import json

import open_clip
import pytest
import torch
from open_clip.pretrained import _PRETRAINED

from cssa_mm.errors import ConfigError
from cssa_mm.models import tower_hub
from cssa_mm.models.open_clip_loader import load_open_clip
from cssa_mm.models.tower_plan import plan_tower
from cssa_mm.models.towers.support import image_refusal, text_refusal

PAIRS = [(name, tag) for name, tags in _PRETRAINED.items() for tag in tags]


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError('the network was asked')

    monkeypatch.setattr(tower_hub, 'is_reachable', refuse)
    for name in ('download_pretrained', 'download_pretrained_from_hf'):
        monkeypatch.setattr(open_clip.factory, name, refuse)


@pytest.fixture
def folder(clip_dir, tmp_path):
    """A folder with twin.json, twin-quickgelu.json (tiny-rn in both forms) and alone.json."""
    config = json.loads((clip_dir / 'tiny-rn.json').read_text())
    for name, quick_gelu in (('twin', False), ('twin-quickgelu', True), ('alone', False)):
        (tmp_path / f'{name}.json').write_text(json.dumps(config | dict(quick_gelu=quick_gelu)))
    return tmp_path


def text_feature(clip) -> torch.Tensor:
    with torch.no_grad():
        return clip.model.encode_text(clip.tokenizer(['a dog.']))


def message_of(error) -> str:
    message = str(error.value)
    assert '\n' not in message
    return message


# -- tags ------------------------------------------------------------------------------------------------------


def test_every_tag_is_taken_by_the_name_with_its_activation_and_by_no_other(monkeypatch):
    """Oracle: open_clip's own table and configs, pair by pair."""
    monkeypatch.setattr('cssa_mm.models.tower_plan.has_transformers', lambda: True)
    refused = set()
    for name, tag in PAIRS:
        config = open_clip.get_model_config(name)
        if image_refusal(config) or text_refusal(config):
            continue
        trained = bool(open_clip.get_pretrained_cfg(name, tag).get('quick_gelu', False))
        if trained == bool(config.get('quick_gelu', False)):
            plan = plan_tower(name, tag)
            assert (plan.tag, bool(plan.model_config.get('quick_gelu'))) == (tag, trained)
            continue
        refused.add((name, tag))
        with pytest.raises(ConfigError) as error:
            plan_tower(name, tag)
        assert f"found '{name}' with the weights '{tag}', which were trained with QuickGELU" in message_of(error)
        assert f"expected '{name}-quickgelu'" in message_of(error)
        assert bool(plan_tower(f'{name}-quickgelu', tag).model_config['quick_gelu']) is True
    assert len(refused) >= 25
    assert {
        ('ViT-B-16', 'openai'),
        ('ViT-B-32', 'laion400m_e32'),
        ('ViT-H-14-378', 'dfn5b'),
        ('RN50', 'cc12m'),
    } <= refused


def test_a_tag_that_was_trained_with_gelu_is_refused_under_the_quickgelu_name():
    with pytest.raises(ConfigError) as error:
        load_open_clip('ViT-B-32-quickgelu', 'laion2b_s34b_b79k')
    assert "which are those of 'ViT-B-32' (trained with GELU): expected 'ViT-B-32'" in message_of(error)


@pytest.mark.parametrize(
    ('name', 'tag', 'expected'),
    [
        (
            'ViT-B-32-gelu',
            'openai',
            "found 'ViT-B-32-gelu' with the weights 'openai', .*: expected 'ViT-B-32-quickgelu'",
        ),
        ('EVA02-B-16-quickgelu', 'merged2b_s8b_b131k', "which were trained with GELU: expected 'EVA02-B-16'"),
    ],
)
def test_a_suffix_that_contradicts_the_tag_is_refused(name, tag, expected):
    with pytest.raises(ConfigError, match=expected):
        load_open_clip(name, tag)


def test_a_suffix_that_agrees_with_the_tag_is_the_plain_name():
    plan = plan_tower('ViT-B-32-gelu', 'laion2b_s34b_b79k')
    assert (plan.name, plan.source) == (
        'ViT-B-32',
        dict(pretrained='laion2b_s34b_b79k', config_dir=None, model_config=None),
    )


def test_where_open_clip_contradicts_itself_the_key_decides(monkeypatch):
    config = dict(open_clip.get_model_config('ViT-B-32'), quick_gelu=True)
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, 'odd', config)
    monkeypatch.setitem(_PRETRAINED, 'odd', dict(tag=dict(quick_gelu=False)))
    with pytest.raises(ConfigError, match="expected backbone.activation='gelu', or 'quickgelu' as the model config of"):
        plan_tower('odd', 'tag')
    for activation in ('gelu', 'quickgelu'):
        assert plan_tower('odd', 'tag', activation=activation).model_config['quick_gelu'] == (activation == 'quickgelu')


# -- files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('name', ['ViT-B-32', 'RN50', 'ViT-H-14-378'])
def test_a_file_of_a_family_with_both_forms_is_refused_until_the_name_says_which(clip_dir, name):
    path = str(clip_dir / 'tiny-rn.pt')
    with pytest.raises(ConfigError) as error:
        load_open_clip(name, path)
    assert f"expected '{name}-quickgelu' (" in message_of(error)
    assert f"or '{name}-gelu' (" in message_of(error)
    assert plan_tower(f'{name}-quickgelu', path).model_config['quick_gelu'] is True
    plain = plan_tower(f'{name}-gelu', path)
    assert (plain.name, plain.model_config.get('quick_gelu', False)) == (name, False)
    assert plan_tower(name, path, activation='gelu').name == name


@pytest.mark.parametrize('name', ['EVA02-B-16', 'MobileCLIP-S1', 'convnext_base'])
def test_a_file_of_a_family_with_one_form_is_taken(clip_dir, name):
    assert plan_tower(name, str(clip_dir / 'tiny-rn.pt')).weights == str(clip_dir / 'tiny-rn.pt')


def test_a_json_of_the_user_defines_its_activation_unless_its_twin_lies_beside_it(clip_dir, folder):
    weights = str(clip_dir / 'tiny-rn.pt')
    plain = text_feature(load_open_clip('alone', weights, str(folder)))
    assert torch.equal(text_feature(load_open_clip('twin-gelu', weights, str(folder))), plain)
    quick = text_feature(load_open_clip('twin-quickgelu', weights, str(folder)))
    assert not torch.equal(quick, plain)
    with pytest.raises(ConfigError, match="found 'twin' .*expected 'twin-quickgelu' .* or 'twin-gelu'"):
        load_open_clip('twin', weights, str(folder))
    # What the name or key asks for is built, whatever the JSON says.
    assert torch.equal(text_feature(load_open_clip('alone-quickgelu', weights, str(folder))), quick)
    assert torch.equal(text_feature(load_open_clip('alone', weights, str(folder), activation='quickgelu')), quick)
    assert torch.equal(text_feature(load_open_clip('twin-quickgelu', weights, str(folder), activation='gelu')), plain)


def test_random_weights_have_no_activation_to_ask_for():
    assert plan_tower('ViT-B-32').model_config.get('quick_gelu', False) is False


def test_an_unknown_activation_is_refused():
    with pytest.raises(ConfigError, match="backbone.activation: found 'relu', expected None, 'gelu' or 'quickgelu'"):
        plan_tower('ViT-B-32', activation='relu')


def test_a_forced_activation_is_part_of_what_a_checkpoint_says(clip_dir, folder):
    weights = str(clip_dir / 'tiny-rn.pt')
    assert 'activation' not in load_open_clip('twin-gelu', weights, str(folder)).source
    assert load_open_clip('alone-quickgelu', weights, str(folder)).source['activation'] == 'quickgelu'


# -- the loader leaves nothing behind --------------------------------------------------------------------------


def test_a_json_that_shadows_a_tower_of_open_clip_is_forgotten_after_loading(clip_dir, tmp_path):
    before = open_clip.get_model_config('RN50')
    (tmp_path / 'RN50.json').write_text((clip_dir / 'tiny-rn.json').read_text())
    assert load_open_clip('RN50', str(clip_dir / 'tiny-rn.pt'), str(tmp_path)).model.visual.image_size == 64
    assert open_clip.get_model_config('RN50') == before
    (tmp_path / 'RN50.json').rename(tmp_path / 'only-here.json')
    load_open_clip('only-here', None, str(tmp_path))
    assert 'only-here' not in open_clip.list_models()

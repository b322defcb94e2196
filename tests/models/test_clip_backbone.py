import copy
import json

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmpretrain.registry import MODELS
from torch.nn import functional as F

from cssa_mm.errors import ConfigError
from cssa_mm.models.towers import resize_grid

TOWERS = ['tiny-rn', 'tiny-vit', 'tiny-timm', 'tiny-custom']


@pytest.fixture
def build(backbone_config):
    return lambda name='tiny-rn', **options: MODELS.build(backbone_config(name, **options)).eval()


@pytest.fixture(scope='module')
def images():
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))


# -- features --------------------------------------------------------------------------------------------------


@pytest.mark.smoke
@pytest.mark.parametrize('name', TOWERS)
def test_the_global_feature_is_that_of_open_clip(build, images, name):
    backbone = build(name)
    with torch.no_grad():
        expected = backbone.clip.model.encode_image(images)
    local, pooled = backbone(images)
    torch.testing.assert_close(pooled, expected, rtol=1e-5, atol=1e-5)
    assert expected.std(0).max() > 1e-3  # the tiny tower does look at the image
    assert local.shape == (3, {'tiny-vit': 17}.get(name, 5), 16)
    assert local.dtype == pooled.dtype == torch.float32


@pytest.mark.parametrize('name', TOWERS)
def test_channels_last_is_a_layout_alone_and_the_default_on_a_cpu(build, images, name, monkeypatch):
    seen = []

    def noted(visual, images, *options):
        seen.append(images.is_contiguous(memory_format=torch.channels_last))
        return features(visual, images, *options)

    found = []
    for option in (None, True, False):
        backbone = build(name, channels_last=option)
        features = backbone._features
        monkeypatch.setattr(backbone, '_features', noted)
        found.append(backbone(images))
    assert seen == [True, True, False]
    for local, pooled in found[:2]:
        torch.testing.assert_close(local, found[2][0], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(pooled, found[2][1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('name', ['tiny-rn', 'tiny-vit', 'tiny-timm'])
@pytest.mark.parametrize(('height', 'width'), [(128, 128), (64, 128)])
def test_towers_take_other_sizes_than_their_own(build, name, height, width):
    images = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1))
    local, pooled = build(name)(images)
    stride = 16 if name == 'tiny-vit' else 32
    assert local.shape == (2, height * width // stride**2 + 1, 16)
    assert pooled.isfinite().all()
    assert local.isfinite().all()


def test_a_grid_of_the_right_size_is_left_alone_bitwise():
    grid = torch.randn(49, 8)
    assert resize_grid(grid, 7, 7) is grid


def test_a_resized_grid_keeps_constants_directions_and_corners():
    rows = torch.arange(4.0)[:, None].expand(4, 4)
    grid = torch.stack([torch.full((4, 4), 5.0), rows, rows.T], -1).reshape(16, 3)
    resized = resize_grid(grid, 8, 6).reshape(8, 6, 3)
    torch.testing.assert_close(resized[..., 0], torch.full((8, 6), 5.0))
    assert (resized[1:, :, 1] > resized[:-1, :, 1]).all()  # down the rows
    torch.testing.assert_close(resized[:, :1, 1].expand(8, 6), resized[..., 1])
    assert (resized[:, 1:, 2] > resized[:, :-1, 2]).all()  # along the columns
    torch.testing.assert_close(resized[:1, :, 2].expand(8, 6), resized[..., 2])


def reference_tokens(visual, images):
    """Tokens (B, 1 + h*w, E) of the attention pool in float64, position by position."""
    with torch.no_grad():
        features = visual.layer4(visual.layer3(visual.layer2(visual.layer1(visual.stem(images))))).double()
    batch, _, height, width = features.shape
    position = visual.attnpool.positional_embedding.double()
    tokens = []
    for b in range(batch):
        at = [features[b, :, y, x] for y in range(height) for x in range(width)]
        tokens.append(torch.stack([sum(at) / len(at), *at]) + position)
    return torch.stack(tokens).detach()


def linear(layer, x):
    return x @ layer.weight.detach().double().T + layer.bias.detach().double()


def test_dense_value_is_the_value_and_output_projection_of_each_position(build, images):
    backbone = build()
    local, _ = backbone(images)
    pool = backbone.clip.model.visual.attnpool
    expected = linear(pool.c_proj, linear(pool.v_proj, reference_tokens(backbone.clip.model.visual, images)))
    torch.testing.assert_close(local.double(), expected, rtol=1e-5, atol=1e-5)


def test_dense_attention_lets_each_position_ask_the_pool(build, images):
    backbone = build(dense='attention')
    local, pooled = backbone(images)
    torch.testing.assert_close(local[:, 0], pooled, rtol=1e-5, atol=1e-5)
    pool = backbone.clip.model.visual.attnpool
    tokens = reference_tokens(backbone.clip.model.visual, images)
    query, key, value = (linear(layer, tokens) for layer in (pool.q_proj, pool.k_proj, pool.v_proj))
    size = tokens.shape[-1] // pool.num_heads
    heads = []
    for head in range(pool.num_heads):
        part = slice(head * size, (head + 1) * size)
        attention = torch.softmax(query[..., part] @ key[..., part].transpose(1, 2) / size**0.5, -1)
        heads.append(attention @ value[..., part])
    torch.testing.assert_close(local.double(), linear(pool.c_proj, torch.cat(heads, -1)), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(local, build(dense='value')(images)[0], atol=1e-3)


def test_the_mean_of_a_timm_tower_s_positions_is_its_global_feature(build, images):
    local, pooled = build('tiny-timm', global_token=False)(images)
    torch.testing.assert_close(local.mean(1), pooled, rtol=1e-5, atol=1e-5)
    assert local.std(1).max() > 1e-3


@pytest.mark.parametrize('name', ['tiny-rn', 'tiny-vit', 'tiny-timm'])
def test_without_the_global_token_exactly_the_first_feature_is_gone(build, images, name):
    with_token, pooled = build(name)(images)
    without, same = build(name, global_token=False)(images)
    assert torch.equal(without, with_token[:, 1:])
    assert torch.equal(pooled, same)


@pytest.mark.parametrize(
    ('trunk', 'pool', 'proj'),
    [
        ('convnext_atto', '', 'linear'),  # normalises between pooling and head; open_clip's ConvNeXt CLIPs
        ('fastvit_t8', 'avg', None),  # the trunk's own classifier is the projection; open_clip's MobileCLIPs
        ('vit_tiny_patch16_224', '', 'linear'),  # pools by its class token
    ],
)
def test_each_position_of_a_timm_map_goes_through_the_whole_head(clip_dir, tmp_path, trunk, pool, proj):
    config = json.loads((clip_dir / 'tiny-timm.json').read_text())
    side = 224 if 'vit_tiny' in trunk else 64
    config['vision_cfg'].update(timm_model_name=trunk, timm_pool=pool, timm_proj=proj, image_size=side)
    (tmp_path / f'tiny-{trunk}.json').write_text(json.dumps(config))
    torch.manual_seed(0)
    options = dict(type='OpenCLIPBackbone', model_name=f'tiny-{trunk}', config_dir=str(tmp_path))
    backbone = MODELS.build(options | dict(global_token=False)).eval()
    visual = backbone.clip.model.visual
    images = torch.randn(2, 3, side, side)
    local, pooled = backbone(images)
    with torch.no_grad():
        torch.testing.assert_close(pooled, visual(images), rtol=1e-5, atol=1e-5)
        features = visual.trunk.forward_features(images)
        if features.ndim == 4:
            # A map that shows one position everywhere has that position's feature as its global one.
            position = features[:, :, 1:2, 0:1].expand_as(features)
            index = features.shape[-1]
        else:
            position = features[:, 6:7].expand_as(features)
            index = 5
        torch.testing.assert_close(
            local[:, index], visual.head(visual.trunk.forward_head(position)), rtol=1e-4, atol=1e-5
        )
    count = features.shape[-1] * features.shape[-2] if features.ndim == 4 else features.shape[1] - 1
    assert local.shape == (2, count, 16)


def test_a_trunk_of_one_size_says_which_view_it_needs(clip_dir, tmp_path):
    config = json.loads((clip_dir / 'tiny-timm.json').read_text())
    config['vision_cfg'].update(timm_model_name='vit_tiny_patch16_224', timm_pool='', image_size=224)
    (tmp_path / 'tiny-fixed.json').write_text(json.dumps(config))
    backbone = MODELS.build(dict(type='OpenCLIPBackbone', model_name='tiny-fixed', config_dir=str(tmp_path)))
    with pytest.raises(ConfigError) as error:
        backbone(torch.randn(1, 3, 64, 96))
    assert str(error.value).startswith('view.size: found images of 64 x 96, which this tower cannot take (')
    assert str(error.value).endswith('expected 224 x 224; set view.size=224')


def test_bf16_is_close_and_leaves_in_float32(build, images):
    for name in ('tiny-rn', 'tiny-vit', 'tiny-timm'):
        exact, rounded = build(name)(images), build(name, precision='bf16')(images)
        for expected, found in zip(exact, rounded, strict=True):
            assert found.dtype == torch.float32
            assert not torch.equal(found, expected)
            similarity = F.cosine_similarity(found, expected, dim=-1)
            assert similarity.min() > 0.99


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(dense='values'), "backbone.dense: found 'values', expected 'value' or 'attention'"),
        (dict(precision='fp8'), "backbone.precision: found 'fp8', expected one of fp32, bf16, fp16"),
    ],
)
def test_wrong_options_are_refused(build, options, message):
    with pytest.raises(ConfigError) as error:
        build(**options)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ('name', 'vision'),
    [
        ('coca', dict(layers=1, width=32, head_width=16, patch_size=16, attentional_pool=True)),
        ('attention', dict(timm_model_name='resnet10t', timm_pool='abs_attn', timm_proj='')),
    ],
)
def test_towers_that_pool_by_attention_are_refused_when_they_are_built(clip_dir, tmp_path, name, vision):
    config = json.loads((clip_dir / 'tiny-rn.json').read_text()) | dict(vision_cfg=vision | dict(image_size=64))
    (tmp_path / f'tiny-{name}.json').write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=f"'tiny-{name}': found an image tower with an attentional pooler"):
        MODELS.build(dict(type='OpenCLIPBackbone', model_name=f'tiny-{name}', config_dir=str(tmp_path)))


# -- frozen for good -------------------------------------------------------------------------------------------


def weights_of(backbone):
    return {name: value.clone() for name, value in backbone.clip.model.state_dict().items()}


@pytest.mark.parametrize('name', TOWERS)
def test_the_tower_stays_in_eval_mode_and_its_statistics_stay(build, images, name):
    backbone = build(name)
    expected, before = backbone(images), weights_of(backbone)
    backbone.train()
    found = backbone(images)
    assert backbone.training
    assert not any(module.training for module in backbone.clip.model.modules())
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert all(torch.equal(before[key], value) for key, value in weights_of(backbone).items())


def test_no_gradient_reaches_or_leaves_the_tower(build, images):
    backbone = build()
    local, pooled = backbone(images.clone().requires_grad_())
    assert not local.requires_grad
    assert not pooled.requires_grad
    assert not any(parameter.requires_grad for parameter in backbone.clip.model.parameters())


def test_the_tower_is_in_nothing_that_trains_or_is_saved(make_model):
    model = make_model()
    held = {id(parameter) for parameter in model.backbone.clip.model.parameters()}
    assert held
    assert not held & {id(parameter) for parameter in model.parameters()}
    assert not held & {id(value) for value in model.state_dict(keep_vars=True).values()}
    assert not list(model.backbone.parameters())
    assert not [key for key in model.state_dict() if key.startswith(('backbone', 'text_encoder'))]
    assert not list(model.text_encoder.parameters())


def test_the_optimiser_holds_the_trainable_parameters_alone_at_the_rates_of_the_config(make_model, tiny_config):
    model = make_model()
    config: Config = tiny_config().optim_wrapper
    groups = build_optim_wrapper(model, config).optimizer.param_groups
    rates = {id(parameter): group['lr'] for group in groups for parameter in group['params']}
    expected = {
        'head.bias': 0.02,
        'head.log_temperature': 0.02,
        'context_head.classifier.weight': 0.01,
        'context_head.classifier.bias': 0.01,
        'head.class_prompts.context': 0.001,
        'head.semantic_prompts.context': 0.0003,
    }
    found = {name: rates.pop(id(parameter)) for name, parameter in model.named_parameters()}
    assert found == pytest.approx(expected)
    assert not rates


def test_weights_are_bitwise_the_same_after_training_steps(make_model, make_sample):
    model = make_model().train()
    before = weights_of(model.backbone)
    prompts = model.head.class_prompts.context.detach().clone()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    samples = [make_sample(str(i), [1, 0, 1, 0, 0, 1]) for i in range(2)]
    for step in range(3):
        losses = model.loss(torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(step)), samples)
        optimiser.zero_grad()
        sum(losses.values()).backward()
        optimiser.step()
    assert not torch.equal(model.head.class_prompts.context, prompts)
    after = weights_of(model.backbone)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_teacher_averages_no_tower(make_model):
    model = make_model()
    averaged = {name for name, _ in model.teacher.named_buffers()}
    trainable = {name.replace('.', '__') for name, p in model.head.named_parameters() if p.requires_grad}
    assert averaged == trainable | {'steps'}


def test_the_tower_follows_to_another_dtype_and_device(build):
    backbone = build()
    backbone.to(torch.float64)
    assert {p.dtype for p in backbone.clip.model.parameters()} == {torch.float64}
    backbone.to('meta')
    assert {p.device.type for p in backbone.clip.model.parameters()} == {'meta'}


def test_a_copy_of_the_model_shares_the_tower(make_model):
    model = make_model()
    other = copy.deepcopy(model)
    assert other.backbone.clip.model is model.backbone.clip.model
    assert other.backbone.tower.held is model.backbone.tower.held
    assert other.text_encoder.tower.held is model.text_encoder.tower.held
    assert other.head.bias is not model.head.bias

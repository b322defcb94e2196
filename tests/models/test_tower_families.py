"""Each family of open_clip's towers is built with random weights, in the small, or refused with the right reason."""

import json
from copy import deepcopy

import open_clip
import pytest
import timm
import torch
from mmpretrain.registry import MODELS

from cssa_mm.errors import ConfigError
from cssa_mm.models import tower_plan
from cssa_mm.models.prompts import ClassPrompts
from cssa_mm.models.text_encoder import TextEncoder
from cssa_mm.models.towers.families import FAMILIES, MEAN, family_of
from cssa_mm.models.towers.support import image_refusal, text_refusal

TEXTS = ['a dog', 'a photo of a red bicycle', 'sun']
# What makes a trunk of timm small: its depth, and where it has one, its width.
SMALL = {
    'vit_base_patch16_siglip': dict(depth=2),
    'fastvit_mci': dict(layers=(1, 1, 1, 1), embed_dims=(16, 32, 64, 128)),
    'vit_base_mci': dict(depth=2),
    'eva02_base': dict(depth=2),
    'vit_pe_core': dict(depth=2),
    'convnext': dict(depths=(1, 1, 1, 1), dims=(16, 32, 64, 128)),
    'swin': dict(depths=(1, 1, 1, 1), embed_dim=32, num_heads=(1, 2, 4, 8)),
    'vitamin': dict(depth=2),
    'vit_medium': dict(depth=2),
    'vit_relpos': dict(depth=2),
}


class Words:
    """A tokenizer of any family: a word is a token; its tokens before and behind a text are those of the family."""

    def __init__(self, text: dict) -> None:
        self.length, self.size = text['context_length'], text['vocab_size']
        name, eos = text.get('hf_tokenizer_name', ''), text.get('eos_id', 2)
        self.before, self.end, self.padding = (
            ([], 1, 0 if name.endswith('2') else 1) if 'SigLIP' in name  # the first SigLIP pads with its EOS
            else ([101], 0, 0) if name.startswith('bert')  # CLIPA strips [SEP]
            else ([0], eos, 1) if name  # XLM-V
            else ([self.size - 2], self.size - 1, 0)
        )  # fmt: skip
        self.ids: dict[str, int] = {}

    def __call__(self, texts, context_length=None):
        rows = []
        for text in texts:
            words = [self.ids.setdefault(word, 3 + len(self.ids)) for word in text.split()]
            row = [*self.before, *words, self.end]
            rows.append(row + [self.padding] * (self.length - len(row)))
        return torch.tensor(rows)


def shrunk(example: str) -> dict:
    """The model config of open_clip with the same parts, fewer of them."""
    config = deepcopy(open_clip.get_model_config(example))
    vision, text = config['vision_cfg'], config['text_cfg']
    config['embed_dim'] = 32
    if 'layers' in vision:
        vision.update(width=64, image_size=64, layers=[1, 1, 1, 1] if isinstance(vision['layers'], list) else 2)
        vision |= dict(head_width=32) | (dict(patch_size=16) if 'patch_size' in vision else {})
    elif vision.get('timm_proj') == 'none':
        config['embed_dim'] = 768  # of the trunk
    if 'fastvit' in vision.get('timm_model_name', '') or 'convnext' in vision.get('timm_model_name', ''):
        vision['image_size'] = 64
    if 'hf_model_name' not in text:
        text.update(width=64, heads=2, layers=2, vocab_size=200)
    return config


@pytest.fixture
def build(tmp_path, monkeypatch):
    """build(family) -> the backbone of its shrunk example, with random weights and a small tokenizer."""
    whole = timm.create_model

    def create_model(name, **options):
        small = next((small for start, small in SMALL.items() if name.startswith(start)), {})
        return whole(name, **options | small)

    def make(family):
        torch.manual_seed(0)
        config = shrunk(family.example)
        (tmp_path / f'small-{family.example}.json').write_text(json.dumps(config))
        monkeypatch.setattr(timm, 'create_model', create_model)
        monkeypatch.setattr(tower_plan, 'has_transformers', lambda: True)
        monkeypatch.setattr(open_clip, 'get_tokenizer', lambda name, **options: Words(config['text_cfg']))
        # In open_clip's own layout: layers of random weights make much of rounding.
        layout = dict(global_token=False, channels_last=False)
        options = dict(model_name=f'small-{family.example}', config_dir=str(tmp_path)) | layout
        backbone = MODELS.build(dict(type='OpenCLIPBackbone') | options).eval()
        for name, value in backbone.clip.model.state_dict().items():  # fresh weights hardly look at anything
            if value.is_floating_point() and value.ndim > 1 and 'attn.in_proj' not in name:
                torch.nn.init.normal_(value, std=0.2 if value.ndim != 4 else value[0].numel() ** -0.5)
        return backbone

    return make


USABLE = [f for f in FAMILIES if not (image_refusal(shrunk(f.example)) or text_refusal(shrunk(f.example)))]
REFUSED = [family for family in FAMILIES if family not in USABLE]


@pytest.mark.parametrize('family', USABLE, ids=lambda family: family.example)
def test_a_family_has_local_features_and_open_clip_s_own_embeddings(build, family):
    backbone = build(family)
    size = backbone.clip.visual.image_size
    height, width = (size, size) if isinstance(size, int) else size
    images = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1))
    local, pooled = backbone(images)
    with torch.no_grad():
        # Two ways through fifty layers: processors round them up to 1.6e-5 apart.
        torch.testing.assert_close(pooled, backbone.clip.model.encode_image(images), rtol=1e-4, atol=3e-5)
    assert (pooled[0] - pooled[1]).abs().max() > 1e-3
    assert local.shape[0] == 2
    assert local.shape[1] > 1
    assert local.shape[2] == pooled.shape[1]
    assert local.isfinite().all()
    assert local.std(1).max() > 1e-3  # positions differ
    mean = torch.allclose(local.mean(1), pooled, rtol=1e-4, atol=1e-4)
    assert mean == (family.local == MEAN) == (backbone.layout.pooling == 'mean')

    encoder = TextEncoder(backbone.clip)
    with torch.no_grad():
        expected = backbone.clip.model.encode_text(backbone.clip.tokenizer(TEXTS))
        prompts = ClassPrompts(encoder, ['red bicycle'], num_context=4, initial_words='a photo of a')(encoder)
        sentence = backbone.clip.model.encode_text(backbone.clip.tokenizer(['a photo of a red bicycle.']))
    assert (expected[0] - expected[1]).abs().max() > 1e-3
    torch.testing.assert_close(encoder.encode(TEXTS), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(prompts, sentence, rtol=1e-4, atol=1e-5)
    assert expected.shape[1] == pooled.shape[1]


@pytest.mark.parametrize('family', REFUSED, ids=lambda family: family.example)
def test_a_family_that_cannot_be_used_is_refused_with_the_reason_of_the_table(build, family):
    config = open_clip.get_model_config(family.example)
    reason = image_refusal(config) or text_refusal(config)
    with pytest.raises(ConfigError) as error:
        build(family)
    assert f"'small-{family.example}': found {reason}, expected another tower" in str(error.value)
    assert f'refused: {reason}' in (family.local_features(config), family.text_side(config))


def test_every_tower_of_open_clip_is_of_the_family_that_its_config_says():
    for name in open_clip.list_models():
        config = open_clip.get_model_config(name)
        found = family_of(name, config)
        example = open_clip.get_model_config(found.example)
        assert bool(image_refusal(config)) == bool(image_refusal(example)), name
        assert bool(text_refusal(config)) == bool(text_refusal(example)), name
    assert [family_of(family.example, open_clip.get_model_config(family.example)) for family in FAMILIES] == [*FAMILIES]


# -- tokenizers of the transformers package --------------------------------------------------------------------


def test_without_transformers_one_line_names_the_extra(monkeypatch):
    monkeypatch.setattr(tower_plan, 'has_transformers', lambda: False)
    for name, tag in (('ViT-B-16-SigLIP', 'webli'), ('ViT-L-14-CLIPA', 'datacomp1b')):
        with pytest.raises(ConfigError) as error:
            tower_plan.plan_tower(name, tag)
        assert (
            "found no package transformers, which its tokenizer needs, expected it; install it: pip install '"
            in str(error.value)
        )
        assert '\n' not in str(error.value)


@pytest.fixture
def siglip_folder(tmp_path):
    """A folder as the hub has SigLIP's: config, weights and a tokenizer of transformers, all small."""
    tokenizers = pytest.importorskip('tokenizers')
    transformers = pytest.importorskip('transformers')
    words = ['<pad>', '</s>', '<unk>', 'a', 'photo', 'of', 'dog', 'red', 'bicycle', 'x']
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: n for n, word in enumerate(words)}, unk_token='<unk>')
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing('$A </s>', special_tokens=[('</s>', 1)])
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token='</s>', eos_token='</s>', unk_token='<unk>'
    )
    folder = tmp_path / 'siglip'
    fast.save_pretrained(folder)
    config = shrunk('ViT-B-16-SigLIP') | dict(embed_dim=16)
    config['vision_cfg'] = dict(layers=1, width=32, head_width=16, patch_size=16, image_size=64)
    config['text_cfg'].update(context_length=10, vocab_size=len(words), hf_tokenizer_name='org/siglip')
    (folder / 'open_clip_config.json').write_text(json.dumps(dict(model_cfg=config, preprocess_cfg={})))
    (tmp_path / 'siglip.json').write_text(json.dumps({**config, 'text_cfg': {**config['text_cfg']}}))
    open_clip.add_model_config(tmp_path)
    torch.manual_seed(0)
    torch.save(open_clip.create_model('siglip').state_dict(), folder / 'open_clip_pytorch_model.bin')
    return folder


def test_a_real_tokenizer_of_transformers_gives_open_clip_s_embeddings(siglip_folder):
    backbone = MODELS.build(dict(type='OpenCLIPBackbone', model_name=f'local-dir:{siglip_folder}'))
    clip, encoder = backbone.clip, TextEncoder(backbone.clip)
    assert clip.tokenizer(['dog']).tolist() == [[6, *[1] * 9]]  # padded with EOS, as SigLIP's own
    assert encoder.start == 0
    texts = ['a dog', 'a photo of a red bicycle']
    with torch.no_grad():
        expected = clip.model.encode_text(clip.tokenizer(texts))
        prompts = ClassPrompts(encoder, ['red bicycle'], num_context=4, initial_words='a photo of a')(encoder)
    torch.testing.assert_close(encoder.encode(texts), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(prompts[0], expected[1], rtol=1e-5, atol=1e-6)
    encoder.tokenize(['a photo of a red bicycle a dog x'])  # nine words and EOS
    with pytest.raises(ConfigError, match='found 11 tokens, expected at most the 10 of the text tower'):
        encoder.tokenize(['a photo of a red bicycle a dog x x'])

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from sklearn.metrics import average_precision_score
from torch.nn import functional as F

from cssa_mm.demo.clip import MODEL_DIR, MODEL_NAME, VOCABULARY, WEIGHTS
from cssa_mm.demo.clip.captions import PRECISE_NAMES, caption, known_words, write_vocabulary
from cssa_mm.demo.scenes import CLASS_NAMES, demo_scene

TOOL = Path(__file__).parents[2] / 'tools' / 'pretrain_demo_clip.py'


@pytest.fixture(scope='module')
def clip():
    """(model in eval mode, preprocessing, tokenizer), made by open_clip alone."""
    open_clip.add_model_config(MODEL_DIR)
    model, _, preprocess = open_clip.create_model_and_transforms(MODEL_NAME, pretrained=str(WEIGHTS))
    tokenizer = open_clip.get_tokenizer(MODEL_NAME, bpe_path=str(VOCABULARY))
    return model.eval(), preprocess, tokenizer


@pytest.fixture(scope='module')
def seen(clip):
    """100 fresh scenes: (scenes, labels, unit local features (B, 17, D), unit global features, unit texts)."""
    model, preprocess, tokenizer = clip
    scenes = [demo_scene('test', 4711, index) for index in range(100)]
    images = torch.stack([preprocess(scene.image) for scene in scenes])
    visual = model.visual
    with torch.no_grad():
        x = visual.layer4(visual.layer3(visual.layer2(visual.layer1(visual.stem(images)))))
        pool = visual.attnpool
        tokens = x.flatten(2).transpose(1, 2)
        tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], 1) + pool.positional_embedding
        local = F.normalize(pool.c_proj(pool.v_proj(tokens)), dim=-1)
        whole = F.normalize(model.encode_image(images), dim=-1)
        texts = F.normalize(model.encode_text(tokenizer([f'a photo of a {n}.' for n in CLASS_NAMES])), dim=-1)
    return scenes, np.stack([scene.labels() for scene in scenes]), local, whole, texts


def mean_average_precision(labels, scores):
    occurring = labels.any(0)
    return 100 * average_precision_score(labels[:, occurring], scores[:, occurring], average='macro')


def test_the_model_fits_in_five_megabytes_and_its_card_names_the_weights():
    files = (WEIGHTS, VOCABULARY, MODEL_DIR / f'{MODEL_NAME}.json')
    assert sum(path.stat().st_size for path in files) <= 5_000_000
    digest = hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    assert digest in (MODEL_DIR / 'MODEL_CARD.md').read_text()


def test_text_is_read_at_the_end_token_and_prompts_have_room_for_sixteen_context_tokens(clip):
    model, _, tokenizer = clip
    assert tokenizer.eot_token_id == tokenizer.vocab_size - 1 == model.vocab_size - 1
    tokens = tokenizer(list(CLASS_NAMES))
    end = tokens.argmax(1)
    assert (tokens.gather(1, end[:, None]) == tokenizer.eot_token_id).all()
    assert tokens.shape[1] >= int(end.max()) + 1 + 16 + 1  # the names' tokens, contexts and a full stop
    after = tokens.clone()
    after[torch.arange(after.shape[1])[None] > end[:, None]] = 5
    with torch.no_grad():
        assert torch.allclose(model.encode_text(tokens), model.encode_text(after), atol=1e-6)


def test_the_cut_vocabulary_spells_captions_as_the_full_one_does(clip):
    tokenizer, full = clip[2], open_clip.SimpleTokenizer()
    rng = np.random.default_rng(0)
    for _ in range(50):
        text = caption(rng, [PRECISE_NAMES[i] for i in rng.choice(len(PRECISE_NAMES), size=3, replace=False)])
        pieces = [tokenizer.decoder[token] for token in tokenizer.encode(text)]
        assert pieces == [full.decoder[token] for token in full.encode(text)]
    assert tokenizer.decode(tokenizer.encode('zebra crossing')).split() == ['zebra', 'crossing']


def test_the_vocabulary_file_is_reproducible(tmp_path):
    size = write_vocabulary(tmp_path / 'bpe.txt.gz', known_words())
    assert (tmp_path / 'bpe.txt.gz').read_bytes() == VOCABULARY.read_bytes()
    assert size == json.loads((MODEL_DIR / f'{MODEL_NAME}.json').read_text())['text_cfg']['vocab_size']


def test_zero_shot_is_useful_but_leaves_a_gap(seen):
    _, labels, local, whole, texts = seen
    weights = (20 * local @ texts.T).softmax(1)  # (B, N, C)
    features = F.normalize(torch.einsum('bnc,bnd->bcd', weights, local), dim=-1)
    label_specific = mean_average_precision(labels, (features * texts).sum(-1).numpy())
    chance = mean_average_precision(labels, np.random.default_rng(0).random(labels.shape))
    assert 40 < label_specific < 72  # 100 scenes: a few points of noise around the band of the model card
    assert mean_average_precision(labels, (whole @ texts.T).numpy()) > 30 > chance


def test_similarity_peaks_on_the_pictograph_more_often_than_by_chance(seen):
    scenes, _, local, _, texts = seen
    similarity = (local[:, 1:] @ texts.T).transpose(1, 2).unflatten(2, (4, 4))  # (B, C, 4, 4)
    maps = F.interpolate(similarity, size=(128, 128), mode='bilinear', align_corners=False)
    hits, chances = [], []
    for scene, scene_maps in zip(scenes, maps, strict=True):
        for label in set(scene.classes):
            inside = np.zeros((128, 128), bool)
            for found, (x, y, width, height) in zip(scene.classes, scene.boxes, strict=True):
                if found == label:
                    inside[y : y + height, x : x + width] = True
            row, column = divmod(int(scene_maps[label].argmax()), 128)
            hits.append(inside[row, column])
            chances.append(inside.mean())
    assert np.mean(hits) > 1.8 * np.mean(chances)


@pytest.mark.cli
def test_the_pretraining_tool_writes_a_loadable_model(fork_server, tmp_path):
    steps = ['--glyph-steps', '2', '--scene-steps', '2', '--text-steps', '2', '--text-scenes', '64', '--workers', '0']
    (run,) = fork_server.run([TOOL, '--out', tmp_path / 'toy', *steps])
    assert run.returncode == 0, run.stderr[-2000:]
    weights = next((tmp_path / 'toy').glob('*.safetensors'))
    open_clip.add_model_config(MODEL_DIR)
    model = open_clip.create_model(MODEL_NAME, pretrained=str(weights))
    assert sum(p.numel() for p in model.parameters()) < 2_500_000
    assert re.search(r'1/3.*2/3.*3/3', run.stderr, re.S)
    assert (tmp_path / 'toy' / VOCABULARY.name).read_bytes() == VOCABULARY.read_bytes()
    assert (tmp_path / 'toy' / f'{MODEL_NAME}.json').read_bytes() == (MODEL_DIR / f'{MODEL_NAME}.json').read_bytes()

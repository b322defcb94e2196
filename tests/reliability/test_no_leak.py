"""No label of an unlabelled image can influence training: flip them all on disk, and the model is bitwise the same."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from mmpretrain.registry import DATASETS

from cssa_mm.engine.runner import CSSARunner

pytestmark = pytest.mark.slow

STRONG_VIEW = [
    dict(type='View', size=None),
    dict(type='RandomFlip', prob=0.5),
    dict(type='Cutout', shape=16, prob=0.5),
    dict(type='PackInputs', meta_keys=('image_id', 'is_labelled', 'flip')),
]


def flip(path: Path, image_ids: set[str]) -> None:
    """Make every class that an image shows one that it does not show, and the other way round; none becomes empty."""
    content = json.loads(path.read_text())
    categories = {category['id'] for category in content['categories']}
    shown = {image_id: set() for image_id in image_ids}
    kept = []
    for item in content['annotations']:
        if str(item['image_id']) in shown:
            shown[str(item['image_id'])].add(item['category_id'])
        else:
            kept.append(item)
    for image_id, present in shown.items():
        absent = categories - present
        assert present
        assert absent
        kept += [dict(image_id=int(image_id), category_id=category, iscrowd=0) for category in sorted(absent)]
    content['annotations'] = kept
    path.write_text(json.dumps(content))


@pytest.fixture
def parts(tiny_config):
    """Ids of the labelled and of the unlabelled images."""
    dataset = DATASETS.build(tiny_config().train_dataloader.dataset)
    labelled, unlabelled = dataset.labelled_indices, dataset.unlabelled_indices
    assert len(unlabelled) == 24
    return [{dataset.image_ids[index] for index in indices} for indices in (labelled, unlabelled)]


@pytest.fixture
def train(tiny_config, toy_data, tmp_path):
    """train(name, flipped ids, **overrides) -> state, optimiser and pseudo-label lines of a run on its own data."""

    def call(name, flipped=frozenset(), **overrides):
        root = shutil.copytree(toy_data, tmp_path / 'data' / name)
        flip(root / 'train.json', set(flipped))
        work_dir = tmp_path / name
        CSSARunner.from_cfg(
            tiny_config(work_dir=str(work_dir), **{'train_dataloader.dataset.data_root': str(root)}, **overrides)
        ).train()
        lines = [json.loads(line) for line in (work_dir / 'pseudo_labels.jsonl').read_text().splitlines()]
        checkpoint = torch.load(work_dir / 'epoch_3.pth', weights_only=True)
        return checkpoint['state_dict'], checkpoint['optimizer'], lines

    return call


def differing(state: dict, other: dict) -> list[str]:
    assert set(state) == set(other)
    return [name for name, value in state.items() if not torch.equal(value, other[name])]


def same_optimizer(one: dict, other: dict) -> bool:
    pairs = zip(one['state'].values(), other['state'].values(), strict=True)
    return all(torch.equal(a[key], b[key]) for a, b in pairs for key in a)


@pytest.mark.parametrize(
    'overrides',
    [
        {},
        {'train_dataloader.dataset.pipeline': STRONG_VIEW},
        {'default_hooks.pseudo_labels.policy': dict(_delete_=True, name='top_k', k=2)},
        {'default_hooks.pseudo_labels.policy': dict(_delete_=True, name='calibrated')},
        {'default_hooks.pseudo_labels.policy': dict(_delete_=True, name='mat')},
        {'default_hooks.pseudo_labels.wrong_labels': 0.2},
        {'model.evidence': dict(type='DiscriminantEvidence'), 'model.neighbours': dict(type='Neighbours', k=5)},
        {'model.neighbours': dict(type='Neighbours', k=5)},
    ],
    ids=[
        'cached features',
        'strong views',
        'top-k',
        'calibrated',
        'mat',
        'wrong labels',
        'evidence and neighbours',
        'neighbours',
    ],
)
def test_flipping_every_label_of_every_unlabelled_image_gives_bitwise_the_same_model(train, parts, overrides):
    _, unlabelled = parts
    state, optimizer, lines = train('as_it_is', **overrides)
    other, other_optimizer, flipped = train('flipped', unlabelled, **overrides)
    assert differing(state, other) == []
    assert same_optimizer(optimizer, other_optimizer)
    # Only the report on the pseudo-labels knows the truth: it shows that the flip has reached the data.
    assert [line['epoch'] for line in lines] == [2, 3]
    for line, again in zip(lines, flipped, strict=True):
        for key in ('positive_thresholds', 'negative_thresholds'):
            assert line[key] == again[key]
        assert line != again


def test_flipping_the_labels_of_one_labelled_image_gives_another_model(train, parts):
    labelled, _ = parts
    state, _, _ = train('as_it_is')
    other, _, _ = train('flipped', {min(labelled)})
    assert {'head.class_prompts.context', 'head.semantic_prompts.context', 'head.bias'} <= set(differing(state, other))


def test_the_oracle_is_a_leak_and_found_to_be_one(train, parts):
    """It trains on the hidden truth on purpose, by the path that a leak through the pseudo-labels would take."""
    _, unlabelled = parts
    oracle = {'default_hooks.pseudo_labels.oracle': True}
    state, _, _ = train('as_it_is', **oracle)
    other, _, _ = train('flipped', unlabelled, **oracle)
    assert 'head.class_prompts.context' in differing(state, other)

"""The readers that are fuzzed, of files that the product writes itself: checkpoints, caches, scores, records."""

import json
import random
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

import cssa_mm
from cssa_mm.apis.exporting.hub import export_hub
from cssa_mm.apis.labelling.label_store import open_store
from cssa_mm.apis.predicting.folder import OutFolder
from cssa_mm.apis.predicting.neighbours import NearbyImages
from cssa_mm.apis.predicting.shards import Shard, Shards, look_up
from cssa_mm.apis.predicting.sources import ImageList
from cssa_mm.apis.reporting.scalars import curves_of, read_scalars
from cssa_mm.engine.checkpoints import read_checkpoint
from cssa_mm.evaluation.held_out_scores import HeldOutScores, read_held_out
from cssa_mm.evaluation.pseudo_label_records import append_record, read_records
from cssa_mm.features.cache import FeatureCache
from cssa_mm.features.store import FeatureStore
from cssa_mm.files import DEMO_CLIP
from cssa_mm.models.description import KEY, decode_description, encode_description
from cssa_mm.models.tower_spec import models_in
from tests.reliability.fuzz_wounds import VALUES, in_value
from tests.reliability.fuzzing import Reader

NAMES = ['sun', 'dining table', 'Müller']
CPU = torch.device('cpu')


def tensors(rng: random.Random, value):
    """A tree like `in_value`'s, in which a tensor may have another shape or type, too."""
    kinds = [
        torch.tensor([]), torch.tensor(float('nan')), torch.zeros(2, 2, dtype=torch.int64), torch.full((3,), 1e38),
        torch.zeros(1, dtype=torch.complex64), torch.ones(3, 0), torch.tensor([True]), torch.zeros(3).to_sparse(),
    ]  # fmt: skip
    if isinstance(value, torch.Tensor):
        return rng.choice([*kinds, value.double(), value[None], value.flatten()[:-1], *VALUES[:8]])
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        return (
            {**value, key: tensors(rng, value[key])}
            if rng.random() < 0.85
            else {k: v for k, v in value.items() if k != key}
        )
    return in_value(rng, value)


# -- checkpoints ------------------------------------------------------------------------------------------------


@cache
def model():
    """A small model that nothing has trained."""
    return cssa_mm.zero_shot(class_names=NAMES, model_name='cssa-demo-rn', pretrained='demo', size=None)


def write_checkpoint(folder: Path) -> None:
    torch.save(dict(state_dict=model().state_dict(), meta=dict(epoch=3)), folder / 'model.pth')


def wound_checkpoint(rng: random.Random, folder: Path) -> None:
    content = torch.load(folder / 'model.pth', weights_only=True)
    if rng.random() < 0.6:
        described = in_value(rng, decode_description(content['state_dict'][KEY]))
        try:
            content['state_dict'][KEY] = encode_description(described)
        except (TypeError, ValueError):  # a value that JSON has not
            content['state_dict'][KEY] = torch.zeros(3, dtype=torch.uint8)
    else:
        content = tensors(rng, content)
    torch.save(content, folder / 'model.pth')


def read_whole_checkpoint(folder: Path) -> None:
    cssa_mm.load_model(folder / 'model.pth', device='cpu')


def write_hub(folder: Path) -> None:
    write_checkpoint(folder)
    export_hub(checkpoint=folder / 'model.pth', out=folder / 'hub')
    (folder / 'model.pth').unlink()


def read_hub(folder: Path) -> None:
    cssa_mm.load_model(folder / 'hub', device='cpu')


# -- caches and scores --------------------------------------------------------------------------------------------


def write_features(folder: Path) -> None:
    FeatureStore(folder / 'store').write(['a', 'b', 'c'], torch.zeros(3, 4, 8), torch.zeros(3, 8), {'c': 'empty'})


def wound_features(rng: random.Random, folder: Path) -> None:
    """Another header or other tensors; the library itself writes no wrong lengths."""
    (path,) = (folder / 'store').iterdir()
    content = dict(keys=['a', 'b', 'c'], bad={'c': 'empty'}, local=torch.zeros(3, 4, 8), pooled=torch.zeros(3, 8))
    content = tensors(rng, content)
    content = content if isinstance(content, dict) else {}
    header = {key: json.dumps(content[key], default=str) for key in ('keys', 'bad') if key in content}
    parts = {'local': content.get('local'), 'global': content.get('pooled')}
    dense = {key: part.contiguous() for key, part in parts.items() if is_dense(part)}
    save_file(dense, path, metadata=header)


def is_dense(part: object) -> bool:
    return isinstance(part, torch.Tensor) and part.layout is torch.strided


def read_features(folder: Path) -> None:
    store = FeatureStore(folder / 'store')
    if 'a' in store.places:
        FeatureCache.of_shards({('a', False): store.places['a']}, store.shards, False).lookup([('a', False)], CPU)


def write_held_out(folder: Path) -> None:
    HeldOutScores.of(['a', 'b'], NAMES, np.ones((2, 3)), np.full((2, 3), 0.5)).write(folder)


def write_shards(folder: Path) -> None:
    scores = np.full((2, 3), 0.5, np.float32)
    Shards(folder).write(0, Shard(['a.jpg', 'b.jpg'], ['1 2', '3 4'], ['', 'empty'], scores, scores))


def read_shards(folder: Path) -> None:
    images = ImageList('list', str(folder), ['a.jpg', 'b.jpg'], ['a.jpg', 'b.jpg'])
    shards = Shards(folder)
    found = look_up(shards, images)
    found.ledger.enter(0, [0, 1])
    for _, shard, row in found.ledger.rows(shards):
        shard.scores[row].tolist()
        shard.reasons[row].strip()


def write_run(folder: Path) -> None:
    finished = dict(request=dict(top=1), written=['predictions.csv'], counts=dict(images=2))
    out = OutFolder(folder / 'out')
    with out.held(dict(checkpoint='x')):
        out.record(dict(checkpoint='x'), dict(root='.', digest='d', count=2), finished)
    (folder / 'kept.txt').write_text('outside of the folder')


def read_run(folder: Path) -> None:
    for replaces in (False, True):
        out = OutFolder(folder / 'out', replaces)
        with out.held(dict(checkpoint='x')) as known:
            out.has_written(known.get('finished') or {}, dict(top=1))
            (known.get('images') or {}).get('root')
    assert (folder / 'kept.txt').is_file(), 'a file outside of the folder is gone'


def write_neighbours(folder: Path) -> None:
    images = ImageList('list', str(folder), ['a.jpg', 'b.jpg'], ['a.jpg', 'b.jpg'])
    content = dict(names=images.names, facts=['', ''], reasons=['', ''], values=[torch.zeros(2, 3), torch.ones(2, 64)])
    nearby = cssa_mm.zero_shot(class_names=NAMES, model_name='cssa-demo-rn', pretrained='demo', size=None)
    made_with = 'x' if nearby is None else 'y'
    torch.save(content | dict(made_with=made_with), folder / 'neighbours.pt')


def wound_neighbours(rng: random.Random, folder: Path) -> None:
    torch.save(tensors(rng, torch.load(folder / 'neighbours.pt', weights_only=True)), folder / 'neighbours.pt')


def read_neighbours(folder: Path) -> None:
    images = ImageList('list', str(folder), ['a.jpg', 'b.jpg'], ['a.jpg', 'b.jpg'])
    NearbyImages(images, folder / 'neighbours.pt')._load('y')


# -- records ----------------------------------------------------------------------------------------------------


def write_records(folder: Path) -> None:
    record = dict(epoch=7, class_names=NAMES, labelled_positives=[1, 2, 3], CF1=0.4, reliability=dict(count=[1] * 10))
    append_record(folder / 'pseudo_labels.jsonl', record)
    append_record(folder / 'pseudo_labels.jsonl', record | dict(epoch=8))


def write_scalars(folder: Path) -> None:
    (folder / 'start/vis_data').mkdir(parents=True)
    rows = [dict(loss=1.5, epoch=1, step=1), dict(loss=1.0, epoch=1, step=2), {'ema/mAP': 40.5, 'step': 1}]
    (folder / 'start/vis_data/scalars.json').write_text(''.join(f'{json.dumps(row)}\n' for row in rows))


def write_store(folder: Path) -> None:
    for name in ('a.jpg', 'b.jpg'):
        (folder / name).touch()
    (folder / 'labels.csv').write_text('image,sun,dining table,note\na.jpg,1,0,x\nb.jpg,,1,y\n')
    (folder / 'classes.txt').write_text('sun\ndining table\n')


def write_towers(folder: Path) -> None:
    (folder / 'own.json').write_bytes((DEMO_CLIP / 'cssa-demo-rn.json').read_bytes())


STATES: dict[str, Reader] = {
    'bytes of a checkpoint': Reader(write_checkpoint, lambda folder: read_checkpoint(folder / 'model.pth') and None),
    'checkpoint': Reader(write_checkpoint, read_whole_checkpoint, wound_checkpoint, ('none',), weight=0.5),
    'hub folder': Reader(write_hub, read_hub, suffixes=('.json',), weight=0.3),
    'feature store': Reader(write_features, read_features, wound_features),
    'held-out scores': Reader(write_held_out, lambda folder: read_held_out(folder) and None),
    'shards': Reader(write_shards, read_shards),
    'run of a prediction': Reader(write_run, read_run, suffixes=('run.json',)),
    'neighbours': Reader(write_neighbours, read_neighbours, wound_neighbours),
    'pseudo-labels': Reader(write_records, lambda folder: read_records(folder) and None),
    'scalars': Reader(write_scalars, lambda folder: curves_of(read_scalars(folder)) and None),
    'label store': Reader(write_store, lambda folder: open_store(folder) and None),
    'towers': Reader(write_towers, lambda folder: models_in(folder) and None),
}

"""What int8 costs and gains on real towers: bash tools/acceptance.sh int8

Each tower is a zero-shot model (no training) that is exported by `export_int8`; photos and labels come from a folder,
a label file or a config. Towers named by --random have random weights, so that no mAP means anything: their truth is
which images fp32 scores in the upper half, and fp32 has an mAP of 100. Nothing is downloaded.

    --tower NAME:PATH ...    towers with weights (`cssa towers`); by default the demo's
    --random NAME ...        towers of open_clip with random weights, such as RN50 ViT-B-32
    --data TABLE|CONFIG      labelled photos; by default the demo's scenes
    --data-root DIR          of a config
    --classes a,b,...        class names; by default those of the config
"""

import argparse
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np

import cssa_mm
from cssa_mm.apis.exporting import int8, int8_data
from cssa_mm.datasets.building import build_dataset
from cssa_mm.models.tower_spec import resolve_tower


def class_names(options) -> list[str]:
    if options.classes:
        return options.classes.split(',')
    config = cssa_mm.load_config(options.data, data_root=options.data_root)
    return build_dataset(config.test_dataloader.dataset, '--data').class_names


def export(model, options, folder: Path) -> None:
    try:
        result = int8.export_int8(
            checkpoint=model, out=folder / 'int8.onnx', calibration_data=options.data, data_root=options.data_root
        )
    except cssa_mm.errors.CSSAError as error:
        print(f'refused: {error}', flush=True)
    else:
        print(result.text(), flush=True)


def own_truth(model):
    """The two halves of the data with the labels that the model's own fp32 scores give."""
    halves = int8_data.two_halves

    def labelled(source, model, data_root):
        predictor = cssa_mm.Predictor(model, batch_size=8)
        found = []
        for half in halves(source, model, data_root):
            paths = half.paths[:100]
            scores = np.stack([one.scores for one in predictor.predict(paths)])
            found.append(int8_data.LabelledImages(paths, (scores > np.median(scores, axis=0)).astype(np.int8)))
        return found

    return mock.patch.object(int8, 'two_halves', labelled)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--tower', nargs='*', default=['demo'])
    parser.add_argument('--random', nargs='*', default=[])
    parser.add_argument('--data', default='cssa_demo')
    parser.add_argument('--data-root')
    parser.add_argument('--classes')
    parser.add_argument('--size', type=int, default=224)
    options = parser.parse_args()
    names = class_names(options)
    with tempfile.TemporaryDirectory() as folder:
        for tower in options.tower:
            print(f'== {tower}', flush=True)
            size = 128 if tower == 'demo' else options.size
            export(cssa_mm.zero_shot(class_names=names, size=size, **resolve_tower(tower)), options, Path(folder))
        for tower in options.random:
            print(f'== {tower}, random weights', flush=True)
            model = cssa_mm.zero_shot(class_names=names, size=options.size, model_name=tower, pretrained=None)
            with own_truth(model):
                export(model, options, Path(folder))


if __name__ == '__main__':
    main()

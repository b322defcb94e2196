"""Do suggested photos teach more than random ones? bash tools/acceptance.sh suggestions [options].

Per seed, both arms begin with the same labelled photos. One gets rounds of suggestions, as `cssa suggest` makes them
from the model of the round before; the other as many random photos. The learner is cssa_plus without tuned prompts:
CLIP's answer, discriminant evidence and neighbours, all fitted in closed form to frozen features, which are encoded
once. So a round takes seconds. Test mAP after each round, and the paired differences.

The demo by default; other data by --config, --data-root and --tower.
"""

from __future__ import annotations

import argparse
import copy
import csv
import sys
from collections.abc import Callable, Sequence

import numpy as np
import torch
from mmengine.logging import MMLogger
from mmpretrain.registry import DATASETS, HOOKS

import cssa_mm
from cssa_mm.apis.labelling.choosing import choose, choose_randomly, signed_doubt
from cssa_mm.apis.loading import untrained_model
from cssa_mm.apis.scorer import TorchScorer
from cssa_mm.engine.found_thresholds import FoldScores
from cssa_mm.evaluation.metrics import average_precision_per_class
from cssa_mm.semi.reader import Reader
from cssa_mm.semi.semi_supervision import SemiSupervision
from cssa_mm.studies.statistics import statistics

REFERENCES = 500  # unlabelled photos that tell how scores are spread


class Learner:
    """Models in closed form for any choice of labelled photos, on features that are encoded once."""

    def __init__(self, options: argparse.Namespace) -> None:
        overrides = {'train_dataloader.dataset.split': None}
        if options.features:
            overrides['default_hooks.pseudo_labels.feature_cache.folder'] = options.features
        self.config = cssa_mm.load_config(
            options.config, data_root=options.data_root, tower=options.tower, overrides=overrides
        )
        self.hook = HOOKS.build(dict(self.config.default_hooks.pseudo_labels))
        self.calibration = HOOKS.build(dict(self.config.default_hooks.calibration))
        self.model = untrained_model(self.config, device='cpu').eval()
        self.train = DATASETS.build(self.config.train_dataloader.dataset)
        self.truth = self.train.labels.copy()
        features = self.hook.features(self.model, self.train, self.config)
        features.fill()
        self.cache = features.cache
        self.pooled = torch.cat([pooled for _, pooled in features.batches(np.arange(len(self.train)), '')]).numpy()
        test = DATASETS.build(self.config.test_dataloader.dataset)
        self.test_features = self.hook.features(self.model, test, self.config)
        self.test_features.fill()
        self.test_labels = test.labels

    def fit(self, rows: np.ndarray) -> SemiSupervision:
        """The model of some labelled photos."""
        data = copy.copy(self.train)
        data.labels = np.full_like(self.truth, -1)
        data.labels[rows] = self.truth[rows]
        data.is_labelled = np.isin(np.arange(len(data)), rows)
        clip = self.model.backbone.clip
        frozen = (self.model.backbone, self.model.text_encoder, clip, clip.model)
        model = copy.deepcopy(self.model, {id(part): part for part in frozen})
        algorithm = self.hook.algorithm(model, data, self.config)
        algorithm.features.cache = self.cache
        algorithm.prepare()
        algorithm.refresh()
        return algorithm

    def calibrated(self, rows: np.ndarray, seed: int) -> SemiSupervision:
        """The same, with calibration and thresholds from two halves, each scored by the model of the other."""
        final = self.fit(rows)
        generator = np.random.default_rng(seed)
        others = np.setdiff1d(np.arange(len(self.train)), rows)
        references = np.sort(generator.permutation(others)[:REFERENCES])
        folds = []
        for held_out in np.array_split(generator.permutation(rows), 2):
            fold = self.fit(np.setdiff1d(rows, held_out))
            scores = [fold.score(part).numpy() for part in (np.sort(held_out), references)]
            folds.append(FoldScores(np.sort(held_out), *scores))
        self.calibration.apply(final, folds, final.score(references).numpy())
        return final

    def test_map(self, algorithm: SemiSupervision) -> float:
        """mAP on the test photos in per cent."""
        features = copy.copy(self.test_features)
        features.model = algorithm.model
        indices = np.arange(len(self.test_labels))
        scores = Reader(algorithm.model, features).rows(algorithm.model.score, indices, 'Test').numpy()
        return 100 * float(np.nanmean(average_precision_per_class(scores, self.test_labels)))

    def doubts(self, algorithm: SemiSupervision, rows: np.ndarray) -> np.ndarray:
        """What `cssa suggest` looks at (n, C)."""
        logits = algorithm.reader.rows(algorithm.model.logits, rows, 'Unlabelled')
        scores = TorchScorer(algorithm.model).of_logits(logits).calibrated
        return signed_doubt(scores, np.asarray(algorithm.model.thresholds.values))


Pick = Callable[[np.ndarray, np.ndarray, int, int], np.ndarray]


def most_doubtful(doubt: np.ndarray, features: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Doubt alone, without diversity."""
    return np.argsort(-np.abs(doubt).sum(axis=1), kind='stable')[:count]


def diverse(doubt: np.ndarray, features: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Diversity of looks alone, without doubt."""
    return choose(np.full((len(doubt), 1), 0.5), features, count, seed)


ARMS: dict[str, Pick | None] = dict(random=None, suggested=choose, rare=choose, doubtful=most_doubtful, diverse=diverse)


def run_arm(learner: Learner, arm: str, options: argparse.Namespace, seed: int) -> list[float]:
    """mAP after each round, the beginning included."""
    order = choose_randomly(len(learner.train), len(learner.train), seed)
    rows, found, pick = order[: options.begin], [], ARMS[arm]
    for number in range(options.rounds + 1):
        is_last = number == options.rounds
        algorithm = learner.fit(rows) if pick is None or is_last else learner.calibrated(rows, seed)
        found.append(learner.test_map(algorithm))
        if is_last:
            break
        if pick is None:
            rows = order[: options.begin + (number + 1) * options.count]
            continue
        others = np.setdiff1d(np.arange(len(learner.train)), rows)
        doubt = learner.doubts(algorithm, others)
        if arm == 'rare':  # a class counts more while few of its positives are labelled
            doubt /= np.sqrt(1 + (learner.truth[rows] == 1).sum(axis=0))
        chosen = pick(doubt, learner.pooled[others], options.count, seed + number)
        rows = np.concatenate([rows, others[chosen]])
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the study; the exit status is 0 whatever it finds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--config', default='cssa_plus_demo')
    parser.add_argument('--data-root')
    parser.add_argument('--tower')
    parser.add_argument('--features', help='folder that keeps frozen features for the next call')
    parser.add_argument('--seeds', nargs='+', type=int, default=[1, 2, 3, 4, 5])
    parser.add_argument('--arms', nargs='+', choices=list(ARMS), default=['random', 'suggested'])
    parser.add_argument('--begin', type=int, default=30, help='labelled photos that both arms begin with')
    parser.add_argument('--count', type=int, default=20)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--out', help='a CSV with all figures')
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    MMLogger.get_instance('suggestions', log_level='ERROR')  # what training would log of each fit
    learner = Learner(options)
    results: dict[str, list[list[float]]] = {arm: [] for arm in options.arms}
    for seed in options.seeds:
        for arm in options.arms:
            results[arm].append(run_arm(learner, arm, options, seed))
            print(f'seed {seed} {arm:10}', *(f'{value:6.2f}' for value in results[arm][-1]), flush=True)
    labelled = [options.begin + number * options.count for number in range(options.rounds + 1)]
    print('labelled photos  ', *(f'{value:6}' for value in labelled))
    for arm in options.arms:
        print(f'{arm:17}', *(f'{np.mean(values):6.2f}' for values in zip(*results[arm], strict=True)))
    for arm in options.arms[1:]:
        each = [a[-1] - b[-1] for a, b in zip(results[arm], results[options.arms[0]], strict=True)]
        found = statistics(each)
        error = found['standard_error']
        said = '' if error is None else f', standard error {error:.2f}'
        better = f'better on {sum(value > 0 for value in each)} of {len(each)} seeds'
        print(f'{arm} - {options.arms[0]} at {labelled[-1]}: {found["mean"]:+.2f} mAP{said}, {better}')
    if options.out:
        with open(options.out, 'w', newline='') as file:
            rows = [
                (arm, seed, number, value)
                for arm, runs in results.items()
                for seed, values in zip(options.seeds, runs, strict=True)
                for number, value in zip(labelled, values, strict=True)
            ]
            csv.writer(file).writerows([('arm', 'seed', 'labelled', 'mAP'), *rows])
    return 0


if __name__ == '__main__':
    sys.exit(main())

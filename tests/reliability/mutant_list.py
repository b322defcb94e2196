"""Wrong code that the unit tests must notice: changes of one line each. `mutants.py` applies them.

A change is a piece of a line that stands once in its file, and what takes its place. None is equivalent: each gives
other results for some input that the documentation allows.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

# The tests of a module that are not at its mirrored path alone.
TESTS = {
    'cssa_mm/semi/policies/class_distribution.py': ('tests/semi/test_policies.py',),
    'cssa_mm/semi/policies/selection.py': ('tests/semi/test_selection.py',),
    'cssa_mm/semi/policies/interval.py': ('tests/semi/test_interval_policy.py',),
    'cssa_mm/semi/policies/instance_threshold.py': ('tests/semi/test_learned_policies.py',),
    'cssa_mm/semi/policies/metric_adaptive.py': ('tests/semi/test_learned_policies.py',),
    'cssa_mm/semi/policies/calibrated_weights.py': ('tests/semi/test_learned_policies.py',),
    'cssa_mm/semi/policies/pseudo_labels.py': ('tests/semi/test_policies.py',),
    'cssa_mm/semi/bank.py': ('tests/semi/test_bank.py', 'tests/semi/test_shares.py'),
    'cssa_mm/evaluation/metrics.py': ('tests/evaluation/test_multilabel_metric.py',),
}
# File -> what is replaced, and by what.
CHANGES = {
    'cssa_mm/semi/policies/class_distribution.py': [
        ('negative_rates, total) * occurs', 'negative_rates, total)'),
        ('(total + 1 - negative_quotas)', '(total - negative_quotas)'),
        ('(scores >= positive_thresholds)', '(scores > positive_thresholds)'),
        ('negative_rates = 1 - positive_rates', 'negative_rates = positive_rates'),
        ('* num_images + 1e-9).floor()', '* num_images).floor()'),
        ('highest.masked_fill(positive_quotas == 0, inf)', 'highest'),
    ],
    'cssa_mm/semi/policies/selection.py': [
        ('(from_highest < left[:, None])', '(from_highest <= left[:, None])'),
        ('left = left - above', 'left = left + above'),
        ('torch.where(bits < 0, ~bits, bits + SIGN)', 'torch.where(bits < 0, bits + SIGN, bits + SIGN)'),
    ],
    'cssa_mm/semi/policies/interval.py': [
        ('tail = (1 - confidence) / 2', 'tail = 1 - confidence'),
        ('positives + 0.5, negatives + 0.5', 'positives + 1, negatives + 1'),
        ('_share_right(below & negative, below & positive,', '_share_right(below & positive, below & negative,'),
        ('np.where(negatives > 0, high, 1.0)', 'high'),
    ],
    'cssa_mm/semi/policies/instance_threshold.py': [
        ('descending[1:] < descending[:-1]', 'descending[1:] <= descending[:-1]'),
        ('accepted + missed, np.inf', 'accepted, np.inf'),
        ('.sum(1) + function.intercept_)', '.sum(1))'),
    ],
    'cssa_mm/semi/policies/metric_adaptive.py': [
        ('(accepted + beta**2 * right[-1])', '(accepted + beta * right[-1])'),
        ('.max()))[-1]', '.max()))[0]'),
        ('scores[1:] < scores[:-1], True)', 'scores[1:] < scores[:-1], False)'),
        ('middle > scores[last + 1] else', 'middle >= scores[last + 1] else'),
    ],
    'cssa_mm/semi/policies/calibrated_weights.py': [
        ('probability, 1 - probability)', 'probability, probability)'),
        ('(np.arange(bins) + 0.5) / bins', 'np.arange(bins) / bins'),
        ('+ 2 * prior', '+ prior'),
    ],
    'cssa_mm/semi/policies/pseudo_labels.py': [
        ('labels[positive & ~negative] = 1', 'labels[positive] = 1'),
    ],
    'cssa_mm/semi/bank.py': [
        ('held = rows[answered] // world_size', 'held = rows[answered] % world_size'),
        ('slice(start, start + len(image_ids))', 'slice(0, len(image_ids))'),
        ('else weights[mine]', 'else weights'),
    ],
    'cssa_mm/semi/shares.py': [
        ('range(0, -(-total // world_size), CHUNK)', 'range(0, total // world_size, CHUNK)'),
        ('total - start * world_size', 'total - start'),
    ],
    'cssa_mm/semi/sampler.py': [
        ('if epoch < self.warmup_epochs:', 'if epoch <= self.warmup_epochs:'),
        ('math.ceil(len(self.unlabelled)', 'math.floor(len(self.unlabelled)'),
        ('images[self.rank * share : (self.rank + 1) * share]', 'images[:share]'),
        ('range(start, len(order))', 'range(len(order))'),
        ('SeedSequence([seed, epoch])', 'SeedSequence([seed])'),
        ('keys[part * size : (part + 1) * size]', 'keys[:size]'),
    ],
    'cssa_mm/models/losses.py': [
        ('(torch.sigmoid(-x) + clip).clamp(max=1)', '(torch.sigmoid(-x) + clip)'),
        ('torch.sigmoid(-x) ** gamma_positive', 'torch.sigmoid(x) ** gamma_positive'),
        ('(torch.sigmoid(x) - clip).clamp(min=0)', 'torch.sigmoid(x)'),
        ('known = known & (mask != 0)', 'known = mask != 0'),
        ('with torch.no_grad():', 'with torch.enable_grad():'),
        ('max(len(logits), 1)', 'max(logits.numel(), 1)'),
    ],
    'cssa_mm/models/objective.py': [
        ('factor = self.context_weight', 'factor *= self.context_weight'),
        ('all_reduce(count)', 'pass'),
        ('get_world_size() * targets.parts', 'get_world_size()'),
        ('~targets.is_labelled & targets.is_readable', '~targets.is_labelled'),
        ('torch.where(is_taught, targets.labels, -1)', 'torch.where(is_taught, targets.labels, 0)'),
    ],
    'cssa_mm/models/discriminant.py': [
        ('(count * evidence - own) / (count - 1)', '(count * evidence - own) / count'),
        ('self._products.triu(1).T', 'self._products.triu().T'),
        (' - centre.T @ centre)', ')'),
        ('argsort(dim=0, descending=True, stable=True)', 'argsort(dim=0, stable=True)'),
    ],
    'cssa_mm/models/evidence.py': [
        ('[0 if self.anchor else 1, 2]', '[1 if self.anchor else 0, 2]'),
        ('self.offset.copy_((moments.centre * found.direction).sum(-1))', 'self.offset.zero_()'),
        ('logits[unlabelled] if unlabelled.any() else logits', 'logits'),
        ('anchor + nearby[:, 0], evidence + nearby[:, 1]', 'anchor + nearby[:, 1], evidence + nearby[:, 0]'),
        ('base * self.anchor, base * (1 - self.anchor), *', 'base * (1 - self.anchor), base * self.anchor, *'),
    ],
    'cssa_mm/models/stacking.py': [
        ('if weight > 0 or reading == 0', 'if weight > 0'),
        ('own[0].clamp(min=LOWEST_ANCHOR)', 'own[0]'),
        ('not cells.held_out_loss(chosen) <', 'cells.held_out_loss(chosen) <'),
        ('np.nonzero(fold_of != fold)[0]', 'np.nonzero(fold_of == fold)[0]'),
    ],
    'cssa_mm/models/teacher.py': [
        ('(1 + step) / (10 + step)', 'step / (10 + step)'),
        ('lerp_(parameter, 1 - decay)', 'lerp_(parameter, decay)'),
        ('self.steps.zero_()', 'pass'),
    ],
    'cssa_mm/evaluation/metrics.py': [
        ('truth.any() and not truth.all()', 'truth.any()'),
        ('(scores >= thresholds) & (labels != -1)', '(scores >= thresholds)'),
        ('predicted = (scores >= thresholds)', 'predicted = (scores > thresholds)'),
        ('right[occurs] / np.maximum(predicted[occurs], 1)', 'right / np.maximum(predicted, 1)'),
    ],
    'cssa_mm/evaluation/calibration.py': [
        ('(whole + rest / UNIT) / UNIT / divisor', 'whole / UNIT / divisor'),
        ("table['score'] - table['positive'])", "table['score'])"),
        ('[1:-1], scores)', "[1:-1], scores, side='right')"),
    ],
    'cssa_mm/engine/progress.py': [
        ('loop.start_step = self.step', 'loop.start_step = 0'),
        ('seed=sampler.seed,', 'seed=None,'),
        ('values[-longest:]', 'values[:longest]'),
        ("= state['wait_count'], state['best_score']", "= 0, state['best_score']"),
    ],
    'cssa_mm/engine/checkpoint_hook.py': [
        ('old = self._steps[: -self.max_keep_ckpts]', 'old = self._steps[: 1 - self.max_keep_ckpts]'),
        ('if step <= done]', 'if step < done]'),
        ("self._remove(sorted(before - self._best()), 'no longer the best')", 'pass'),
        ("if self.on_failed_save == 'stop':", "if self.on_failed_save != 'stop':"),
    ],
    'cssa_mm/engine/latest.py': [
        ('sorted(numbered, reverse=True)', 'sorted(numbered)'),
        ("r'(?!best_)[^.]", "r'[^.]"),
        ('first = first or error', 'first = error'),
    ],
    'cssa_mm/features/store.py': [
        ("path.name.startswith('.') or ", ''),
        ('> LEFT_OVER', '< LEFT_OVER'),
        ('self._known.add(path.name)', 'pass'),
    ],
    'cssa_mm/features/plan.py': [
        ('SHARE * free_memory() / on_machine', 'SHARE * free_memory()'),
        ('* view_bytes <= space.disk', '* view_bytes < space.disk'),
        ('len(on_disk) >= len(in_memory)', 'len(on_disk) > len(in_memory)'),
    ],
}


class Mutant(NamedTuple):
    """One change of one line: `before`, which stands once in the file, becomes `after`."""

    name: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]

    def text(self, original: str) -> str:
        """The file with the change.

        Raises:
            ValueError: `before` does not stand there once, within a line.
        """
        found = original.count(self.before)
        if found != 1 or '\n' in self.before + self.after:
            raise ValueError(f"{self.name}: found '{self.before}' {found} times in {self.file}, expected once")
        return original.replace(self.before, self.after)


def all_mutants() -> list[Mutant]:
    """The mutants of the list, named after their files and numbered."""
    return [
        Mutant(f'{Path(file).stem}-{number}', file, before, after, TESTS.get(file, (_mirrored(file),)))
        for file, changes in CHANGES.items()
        for number, (before, after) in enumerate(changes, 1)
    ]


def _mirrored(file: str) -> str:
    folder, name = Path(file).parent, Path(file).name
    return Path('tests', folder.relative_to('cssa_mm'), f'test_{name}').as_posix()

"""Before training: what the labelled images alone tell - class rates for the bias, contexts."""

from __future__ import annotations

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

from cssa_mm.errors import DataError
from cssa_mm.features.encode import bare_model, encode, plain_features, plain_view
from cssa_mm.semi.contexts import affinity, cluster_labels


@HOOKS.register_module()
class LabelledStatisticsHook(Hook):
    """Clusters the labels into contexts (paper) and sets the bias from the class rates (reconstruction).

    Both go into the checkpoint; a resumed or loaded model keeps its own. Only labelled images are read. A class that no
    labelled image shows is masked in the losses: nothing but negatives would teach it that it never occurs.

    Args:
        pipeline: transforms of the plain view, on which the bias is calibrated; None takes the validation's.
        calibrate_bias: whether b_c starts so that the mean score of class c is its rate; else at 0.
        mask_unseen_classes: whether classes without labelled positives stay as they are (reconstruction); False
            takes the labelled negatives at their word.
        seed: of the clustering.
    """

    priority = 'HIGH'

    def __init__(
        self,
        pipeline: list[dict] | None = None,
        calibrate_bias: bool = True,
        mask_unseen_classes: bool = True,
        seed: int = 0,
    ) -> None:
        self.pipeline = pipeline
        self.mask_unseen_classes = mask_unseen_classes
        self.calibrate_bias = calibrate_bias
        self.seed = seed

    def before_train(self, runner: Runner) -> None:
        """Prepare the model that is about to train."""
        model = bare_model(runner)
        dataset = runner.train_dataloader.dataset
        print_log(labels_used(dataset), 'current')
        self.prepare(model, dataset, plain_view(runner, self.pipeline))

    def prepare(self, model: torch.nn.Module, dataset: object, pipeline: list) -> None:
        """Set contexts and bias of a CSSAClassifier from a data set, unless a checkpoint has set them.

        Raises:
            DataError: model and data set disagree on the classes.
        """
        if list(dataset.class_names) != list(model.class_names):
            raise DataError(
                f'train_dataloader.dataset: found the classes {_short(dataset.class_names)}, expected those of '
                f'model.class_names, {_short(model.class_names)}; make the two the same'
            )
        if self.mask_unseen_classes:
            model.is_taught.copy_(torch.as_tensor((dataset.labels == 1).any(axis=0)))
        head = model.context_head
        if head is not None and int(head.assignment.min()) < 0:
            labels = dataset.labels[dataset.labelled_indices]
            assignment = cluster_labels(affinity(labels, head.affinity), head.num_contexts, head.method, self.seed)
            head.assignment.copy_(torch.as_tensor(assignment))
            print_log('Contexts of the labels:\n' + _describe(assignment, model.class_names), 'current')
        if self.calibrate_bias and not bool(model.head.bias_is_calibrated):
            self._calibrate(model, dataset, pipeline)

    def _calibrate(self, model: torch.nn.Module, dataset: object, pipeline: list) -> None:
        indices = dataset.labelled_indices
        encoder = plain_features if self.pipeline is None else encode
        features = encoder(model, dataset, indices, pipeline, 'Calibrating the bias')
        logits = torch.cat([model.alignment_of(*batch, 'student').logits for batch in features])
        model.head.calibrate_bias(logits, torch.as_tensor(dataset.labels[indices], device=logits.device))
        model.teacher.reset(model.scorer())
        model.unfold()


def labels_used(dataset: object) -> str:
    """In one line, how many labels training uses: labelled images, known cells and positives."""
    known = dataset.labels >= 0
    labelled, total = int(known.any(axis=1).sum()), len(dataset)
    return (
        f'Labels used: {labelled} of {total} training images are labelled ({labelled / total:.1%}), with {known.sum()} '
        f'known cells, {int((dataset.labels == 1).sum())} of them positive; {total - labelled} images are not.'
    )


def _describe(assignment: list[int], class_names: list[str]) -> str:
    groups: dict[int, list[str]] = {}
    for context, name in zip(assignment, class_names, strict=True):
        groups.setdefault(int(context), []).append(name)
    return '\n'.join(f'  {context}: {", ".join(names)}' for context, names in sorted(groups.items()))


def _short(names: list[str]) -> str:
    return f'{", ".join(list(names)[:3])}{", ..." if len(names) > 3 else ""} ({len(names)})'

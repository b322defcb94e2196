"""CSSAInferencer: mmpretrain's interface for models that give several labels."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.fileio import LocalBackend
from mmpretrain.apis import ImageClassificationInferencer
from mmpretrain.structures import DataSample
from mmpretrain.visualization import UniversalVisualizer

from cssa_mm.apis.chosen_labels import LabelChoice
from cssa_mm.apis.image_input import ImageLike, checked_order, decoded, several, view_batches
from cssa_mm.apis.model_sources import open_model
from cssa_mm.apis.predictor import Predictor
from cssa_mm.datasets.images.image_folder import list_images
from cssa_mm.errors import ConfigError, DataError, require_whole_number
from cssa_mm.models import CSSAClassifier


class CSSAInferencer(ImageClassificationInferencer):
    """Labels images as mmpretrain's inferencers do; the scores are those of `Predictor`.

    mmpretrain's own `ImageClassificationInferencer` becomes one when it is given a model of ours.

    Args:
        model: a shipped config by its name, a config file or a config, with `pretrained`; a checkpoint or ONNX file,
            which need no config; or a model from `load_model`, `zero_shot` or `mmpretrain.get_model`.
        pretrained: the checkpoint of a config's model. True: the one that the config names as `load_from`. Without
            one the model is untrained: a line says so, and each image gets its best class.
        device: 'cpu', 'cuda' or 'mps'; by default the best one that this machine has, or that of a given model.
        classes: C names to tell in place of the model's own.
        channel_order: the colours of arrays (H, W, 3), and of tensors: 'rgb', or 'bgr', as OpenCV and mmcv read them
            and mmpretrain's inferencers take them. None: each call says it, arrays in colour are refused where it
            doesn't, and tensors are RGB. Files and PIL images need none.
        kwargs: options of the model in a config, such as `backbone=dict(pretrained=PATH)`.

    Raises:
        ConfigError: the model, device or an argument is unknown, or the model has no view.
        CheckpointError: the checkpoint is missing, unreadable, or that of another config.

    Examples:
        >>> import cssa_mm, numpy as np
        >>> names = ['anchor', 'coffee']
        >>> model = cssa_mm.zero_shot(class_names=names, model_name='cssa-demo-rn', pretrained='demo', size=128)
        >>> inferencer = cssa_mm.CSSAInferencer(model)
        >>> (result,) = inferencer(np.zeros((90, 120, 3), np.uint8), channel_order='bgr')
        >>> sorted(result)
        ['pred_classes', 'pred_labels', 'pred_scores', 'raw_scores', 'thresholds']
    """

    visualize_kwargs = ImageClassificationInferencer.visualize_kwargs

    def __init__(
        self,
        model: Any,
        pretrained: bool | str | os.PathLike = True,
        device: str | torch.device | None = None,
        classes: Sequence[str] | None = None,
        *,
        channel_order: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.channel_order = checked_order(channel_order, allows_none=True)
        self.model, self.config = open_model(model, pretrained, device, **kwargs)
        if isinstance(self.model, CSSAClassifier):
            self.model.eval()
        self.predictor = Predictor(self.model)
        self.visualizer = None
        own = self.predictor.class_names
        if classes is not None and (isinstance(classes, str) or len(classes) != len(own)):
            raise ConfigError(f'classes: found {classes!r}, expected {len(own)} names, one for each class of the model')
        self.classes = list(own if classes is None else classes)

    def __call__(
        self,
        inputs: ImageLike | Iterable[ImageLike],
        return_datasamples: bool = False,
        batch_size: int = 1,
        *,
        channel_order: str | None = None,
        threshold: float | Mapping[str, float] | None = None,
        top: int | None = None,
        **kwargs: Any,
    ) -> list[dict[str, Any]] | list[DataSample]:
        """Label images; the whole result is held in memory (`cssa predict` labels folders of any size).

        Args:
            inputs: one image, or several: paths, addresses, bytes of a file, PIL images, uint8 arrays (H, W, 3) or
                (H, W), tensors (3, H, W), uint8 or float in 0..1; or a folder, whose images are taken.
            return_datasamples: return samples with `pred_score`, `raw_score` and `pred_label`.
            batch_size: images scored at a time.
            channel_order: as in the constructor, for this call.
            threshold: in place of the model's thresholds: one for all classes, or a dict class name -> threshold.
            top: the number of labels of each image, in place of thresholds.
            kwargs: show, show_dir (pictures with the labels drawn), wait_time, resize, rescale_factor, draw_score: see
                `visualize`.

        Returns:
            For each image `pred_scores` (C,), calibrated; `pred_labels`, indices of the classes that reach their
            threshold; `pred_classes`, their names; `thresholds` (C,), nan where labels were not chosen by one;
            `raw_scores` (C,), before calibration.

        Raises:
            ConfigError: an argument is invalid.
            DataError: an image is missing, unreadable or of another kind; a folder holds none.
        """
        unknown = [key for key in kwargs if key not in self.visualize_kwargs]
        if unknown:
            known = ', '.join(sorted(self.visualize_kwargs))
            raise ConfigError(f"inferencer: found the argument '{unknown[0]}', expected one of {known}")
        require_whole_number('batch_size', batch_size, 1)
        order = self.channel_order if channel_order is None else checked_order(channel_order)
        choice = LabelChoice.of(self.predictor.scorer, threshold=threshold, top=top)
        images = self._inputs_to_list(inputs)
        batches = self.preprocess(images, batch_size, order)
        samples = list(chain.from_iterable(self.forward(batch, choice) for batch in batches))
        self.visualize(images, samples, channel_order=order, **kwargs)
        return self.postprocess(samples, [], return_datasamples, choice)

    def preprocess(
        self, inputs: Sequence[ImageLike], batch_size: int = 1, channel_order: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Batches of views: `inputs`, uint8 tensors (3, H, W), and `data_samples`, which know their path."""
        for pixels, paths in view_batches(inputs, self.predictor.scorer.view, batch_size, channel_order):
            samples = [DataSample(metainfo={} if path is None else dict(img_path=path)) for path in paths]
            yield dict(inputs=pixels, data_samples=samples)

    def forward(self, inputs: dict[str, Any], choice: LabelChoice | None = None) -> list[DataSample]:
        """The samples of a batch with `pred_score` and `raw_score` (C,), and `pred_label`, indices."""
        samples = inputs['data_samples']
        choice = choice or self.predictor.choice
        predictions = self.predictor.of_pixels(inputs['inputs'], [None] * len(samples))
        for sample, prediction in zip(samples, predictions, strict=True):
            sample.set_pred_score(torch.from_numpy(prediction.scores))
            sample.set_field(torch.from_numpy(prediction.raw_scores), 'raw_score')
            sample.set_pred_label(torch.from_numpy(np.flatnonzero(choice.reached(prediction.scores[None])[0])))
        return samples

    def visualize(
        self,
        ori_inputs: Sequence[ImageLike],
        preds: Sequence[DataSample],
        show: bool = False,
        wait_time: float = 0,
        resize: int | None = None,
        rescale_factor: float | None = None,
        draw_score: bool = True,
        show_dir: str | os.PathLike | None = None,
        channel_order: str | None = None,
    ) -> None:
        """Draw the labels of each image on it, into `show_dir`/NAME.png, or in a window.

        Args:
            ori_inputs: the images.
            preds: their samples.
            show: open a window.
            wait_time: seconds that a window stays open; 0 is for ever.
            resize: see `draw_picture`.
            rescale_factor: see `draw_picture`.
            draw_score: see `draw_picture`.
            show_dir: see `draw_labels`.
            channel_order: as in a call.

        Raises:
            ConfigError: the folder can't be written to.
        """
        if not show and show_dir is None:
            return
        from cssa_mm.visualization.label_pictures import draw_labels  # imports matplotlib

        if self.visualizer is None:
            self.visualizer = UniversalVisualizer()
        draw_labels(
            self.visualizer,
            (decoded(image, self.predictor.scorer.view, channel_order) for image in ori_inputs),
            preds,
            self.classes,
            None if show_dir is None else Path(show_dir),
            resize=resize,
            rescale_factor=rescale_factor,
            draw_score=draw_score,
            show=show,
            wait_time=wait_time,
        )

    def postprocess(
        self,
        preds: list[DataSample],
        visualization: Any = None,
        return_datasamples: bool = False,
        choice: LabelChoice | None = None,
    ) -> list[dict[str, Any]] | list[DataSample]:
        """The results of samples as plain data: see `__call__`."""
        if return_datasamples:
            return preds
        choice = choice or self.predictor.choice
        thresholds = np.asarray(choice.thresholds.values, np.float64)
        if choice.top is not None:
            thresholds = np.full(len(thresholds), np.nan)
        return [
            dict(
                pred_scores=sample.pred_score.numpy(),
                pred_labels=sample.pred_label.tolist(),
                pred_classes=[self.classes[index] for index in sample.pred_label.tolist()],
                thresholds=thresholds,
                raw_scores=sample.raw_score.numpy(),
            )
            for sample in preds
        ]

    def _inputs_to_list(self, inputs: ImageLike | Iterable[ImageLike]) -> list[ImageLike]:
        """The images that were meant: those of a folder, one, or several."""
        if isinstance(inputs, str | os.PathLike):
            folder = os.fspath(inputs)
            if os.path.isdir(folder):
                names = list_images(LocalBackend(), folder).image_ids.values()
                if not names:
                    raise DataError(f'{folder}: found no images in this folder, expected one at least')
                return [os.path.join(folder, name) for name in names]
        return list(several(inputs))

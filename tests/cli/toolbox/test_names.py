"""mmpretrain's names for inference, and the flags and config keys around a test."""

import sys
from pathlib import Path
from types import ModuleType

import mmengine
import mmpretrain
import numpy as np
import pytest
import torch
from mmpretrain.apis import FeatureExtractor, ImageClassificationInferencer, ImageRetrievalInferencer
from mmpretrain.registry import MODELS
from PIL import Image

import cssa_mm
from cssa_mm.cli.test import parser
from cssa_mm.errors import CheckpointError, ConfigError
from cssa_mm.models.score_calibration import ScoreCalibration
from cssa_mm.models.thresholds import ClassThresholds

AREA = 'Inference and names'


def row(feature, verdict, meaning):
    return pytest.mark.toolbox(AREA, feature, verdict, meaning)


@pytest.fixture(scope='module')
def saved(config, tmp_path_factory):
    """A model of the config with thresholds of its own, as a checkpoint."""
    torch.manual_seed(0)
    model = MODELS.build(cssa_mm.load_config(config).model)
    thresholds = ClassThresholds.default(6)._replace(values=(0.4, 0.5, 0.3, 0.6, 0.01, 0.01), rule='f1')
    model.adopt(ScoreCalibration((1.5,) * 6, (0.5,) * 6, 'platt'), thresholds)
    path = tmp_path_factory.mktemp('saved') / 'model.pth'
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    return path


@pytest.fixture(autouse=True)
def plainly_written(monkeypatch):
    """Runners write their config several times, and most of their time would go into beautiful line breaks."""
    monkeypatch.setattr('mmengine.config.config.FormatCode', lambda text, **style: (text, True), raising=False)


@pytest.fixture(scope='module')
def photo(toy_data):
    return str(toy_data / 'test' / '500.png')


@pytest.fixture(scope='module')
def expected(saved, photo):
    (found,) = cssa_mm.Predictor(cssa_mm.load_model(saved, device='cpu')).predict(photo)
    return found


@row('`list_models("cssa*")`', 'works', 'the shipped configs')
def test_list_models():
    names = mmpretrain.list_models('cssa*')
    assert {'cssa_demo', 'cssa_table', 'cssa_coco_p05'} <= set(names)


@row(
    '`get_model(NAME, pretrained=CHECKPOINT)`',
    'works',
    'NAME or a config file; a checkpoint of another model is refused',
)
def test_get_model(config, saved, photo, expected):
    model = mmpretrain.get_model(str(config), pretrained=str(saved), device='cpu')
    (found,) = cssa_mm.Predictor(model).predict(photo)
    assert np.array_equal(found.scores, expected.scores)
    with pytest.raises(CheckpointError, match='found a model trained with'):
        mmpretrain.get_model('cssa_demo', pretrained=str(saved))


@row('`inference_model(MODEL, IMAGE)`', 'works', 'several labels, by the thresholds of the checkpoint')
def test_inference_model(config, saved, photo, expected):
    model = mmpretrain.get_model(str(config), pretrained=str(saved), device='cpu')
    found = mmpretrain.inference_model(model, photo)
    assert found['pred_classes'] == expected.labels
    assert np.array_equal(found['pred_scores'], expected.scores)


@row('`ImageClassificationInferencer`', 'works', 'becomes our `CSSAInferencer`, which takes a checkpoint alone, too')
def test_image_classification_inferencer(config, saved, photo, expected):
    for inferencer in (
        ImageClassificationInferencer(str(config), pretrained=str(saved), device='cpu'),
        ImageClassificationInferencer(str(saved), device='cpu'),
    ):
        (found,) = inferencer(photo)
        assert found['pred_classes'] == expected.labels


@row('`FeatureExtractor`', 'works', 'local (N, D) and global (D,) features of the frozen tower; `stage` is `backbone`')
def test_feature_extractor(config, saved, photo):
    extractor = FeatureExtractor(str(config), pretrained=str(saved), device='cpu')
    ((local, pooled),) = extractor(photo)
    pixels = torch.from_numpy(np.array(Image.open(photo))).permute(2, 0, 1)
    batch = extractor.model.data_preprocessor(dict(inputs=[pixels]), False)
    with torch.no_grad():
        expected = extractor.model.backbone(batch['inputs'])
    assert torch.equal(local, expected[0][0])
    assert torch.equal(pooled, expected[1][0])
    with pytest.raises(ConfigError, match="extract_feat: found stage='neck', expected 'backbone'"):
        extractor(photo, stage='neck')


@row('`ImageRetrievalInferencer`', 'not meant', 'the line names `FeatureExtractor`')
def test_image_retrieval_inferencer(config, toy_data):
    with pytest.raises(ConfigError, match='expected one that retrieves them; .*FeatureExtractor'):
        ImageRetrievalInferencer(str(config), prototype=str(toy_data / 'test'), pretrained=False)


@row(
    '`--tta`',
    'works',
    'averages the logits of the views of `tta_pipeline`: by default two sizes and their mirror images',
)
def test_time_augmentation(quick_run, config, saved, tmp_path):
    out = tmp_path / 'predictions.pkl'
    given = dict(config=str(config), checkpoint=saved, device='cpu')
    own = cssa_mm.test(**given, tta=True, work_dir=tmp_path / 'own', out=out)
    sample = mmengine.load(out)[0]
    model = cssa_mm.load_model(saved, device='cpu')
    with Image.open(sample['img_path']) as image:
        sizes = [image.convert('RGB'), image.convert('RGB').resize((96, 96), Image.Resampling.BICUBIC)]  # 80 rounded
    logits = []
    for pixels in map(np.asarray, sizes):
        for view in (pixels, pixels[:, ::-1]):
            (found,) = cssa_mm.Predictor(model).predict([view.copy()])
            logits.append(np.log(found.raw_scores.astype(float)) - np.log1p(-found.raw_scores.astype(float)))
    assert np.allclose(np.asarray(sample['raw_score']), 1 / (1 + np.exp(-np.mean(logits, 0))), atol=1e-5)
    theirs = Path(mmpretrain.__file__).parent / '.mim' / 'tools' / 'test.py'
    if theirs.is_file():
        written = ['--out', tmp_path / 'metrics.pkl', '--out-item', 'metrics']
        done = quick_run(theirs, config, saved, '--tta', '--work-dir', tmp_path / 'theirs', *written)
        assert done.returncode == 0, done.stderr[-3000:]
        assert mmengine.load(tmp_path / 'metrics.pkl') == pytest.approx(own)


@row('`--show-dir`', 'works', 'a picture for each image, readable labels in any script that a font of the machine has')
def test_show_dir(config, saved, toy_data, tmp_path):
    pictures = tmp_path / 'pictures'
    cssa_mm.test(config=str(config), checkpoint=saved, device='cpu', work_dir=tmp_path / 'run', show_dir=pictures)
    assert len(list(pictures.iterdir())) == len(list((toy_data / 'test').iterdir()))


@row('`--out`, `--dump`', 'works', 'predictions as .pkl; with `--out-item metrics` figures as .json')
def test_dump():
    found = parser().parse_args(['cssa_demo', 'none', '--dump', 'predictions.pkl'])
    assert found.out == 'predictions.pkl'


@row(
    '`visualizer.vis_backends` with TensorBoard, wandb, MLflow and others',
    'works',
    'a missing package ends in one line',
)
def test_vis_backends(config, tmp_path, monkeypatch):
    backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
    overrides = {'visualizer.vis_backends': backends}
    given = dict(config=str(config), device='cpu', work_dir=tmp_path)
    monkeypatch.setitem(sys.modules, 'tensorboard', None)
    # mmengine hands out a visualizer again by its name, which by default is the second of the start.
    with pytest.raises(
        ConfigError, match='package tensorboard is not installed; install it with pip install tensorboard'
    ):
        cssa_mm.test(**given, overrides=overrides | {'experiment_name': 'without_package'})
    written = {}

    class SummaryWriter:
        def __init__(self, folder):
            written['folder'] = folder

        def __getattr__(self, name):
            return lambda *values, **options: written.setdefault(name, values)

    fake = ModuleType('torch.utils.tensorboard')
    fake.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, 'tensorboard', ModuleType('tensorboard'))
    monkeypatch.setitem(sys.modules, 'torch.utils.tensorboard', fake)
    cssa_mm.test(**given, overrides=overrides | {'experiment_name': 'with_package'})
    assert written['folder'].startswith(str(tmp_path))
    assert 'add_text' in written  # the config


@row(
    "`_base_ = 'cssa_mm::cssa_table.py'`",
    'works',
    "shipped configs by mmengine's PACKAGE::PATH, once cssa_mm is imported",
)
def test_base_of_the_package(tmp_path):
    (tmp_path / 'own.py').write_text("_base_ = 'cssa_mm::cssa_demo.py'\ntrain_cfg = dict(semi_epochs=2)\n")
    found = cssa_mm.load_config(tmp_path / 'own.py')
    assert found.train_cfg.semi_epochs == 2
    assert found.model == cssa_mm.load_config('cssa_demo').model
    (tmp_path / 'typo.py').write_text("_base_ = 'cssa_mm::_base_/models/cssa_pluss.py'\n")
    with pytest.raises(ConfigError, match=r"Did you mean '_base_/models/cssa_plus.py'\?"):
        cssa_mm.load_config(tmp_path / 'typo.py')


@row('`with read_base():`', 'works', 'for bases in that style; ours are inherited by `_base_`, and a line says so')
def test_lazy_import(config, tmp_path, toy_data):
    cssa_mm.load_config(config).dump(str(tmp_path / 'whole.py'))
    (tmp_path / 'lazy.py').write_text(
        'from mmengine.config import read_base\n'
        'from cssa_mm.models import CSSAClassifier, LabelAlignmentHead\n'
        'from cssa_mm.datasets import View\n'
        'with read_base():\n'
        '    from .whole import *\n'
        'model.update(type=CSSAClassifier)\n'
        'model.head.update(type=LabelAlignmentHead)\n'
        'view.update(type=View)\n'
    )
    found, expected = cssa_mm.load_config(tmp_path / 'lazy.py'), cssa_mm.load_config(config)
    assert found.model == expected.model
    assert found.model.head.type == 'LabelAlignmentHead'
    (tmp_path / 'mixed.py').write_text(
        'from mmengine.config import read_base\nwith read_base():\n    from cssa_mm.configs.cssa_demo import *\n'
    )
    with pytest.raises(
        ConfigError, match=r"inherited by _base_ = 'cssa_mm::cssa_table.py', which mmengine does not mix"
    ):
        cssa_mm.load_config(tmp_path / 'mixed.py')

"""CSSA for mmpretrain: semi-supervised multi-label learning with a frozen CLIP. Importing registers everything."""

from cssa_mm import compat

compat.require_toolbox()

from cssa_mm import datasets, engine, evaluation, models, semi  # noqa: E402, F401 - registers components
from cssa_mm.apis.config import load_config  # noqa: E402
from cssa_mm.apis.cssa_inferencer import CSSAInferencer  # noqa: E402
from cssa_mm.apis.inferencer import give_paths_to_the_loader, label_by_toolbox  # noqa: E402
from cssa_mm.apis.loading import load_model, zero_shot  # noqa: E402
from cssa_mm.apis.model_index import register_models  # noqa: E402
from cssa_mm.apis.predicting.result import PredictionRun  # noqa: E402
from cssa_mm.apis.predicting.run import predict  # noqa: E402
from cssa_mm.apis.predictor import Prediction, Predictor  # noqa: E402
from cssa_mm.apis.shipped_bases import know_shipped_bases  # noqa: E402
from cssa_mm.apis.testing import test  # noqa: E402
from cssa_mm.apis.training import TrainingResult, train  # noqa: E402
from cssa_mm.demo.dataset import IconsDataset  # noqa: E402, F401
from cssa_mm.version import __version__  # noqa: E402, F401

register_models()
give_paths_to_the_loader()
label_by_toolbox()
know_shipped_bases()

__all__ = [
    'CSSAInferencer',
    'Prediction',
    'PredictionRun',
    'Predictor',
    'TrainingResult',
    'load_config',
    'load_model',
    'predict',
    'test',
    'train',
    'zero_shot',
]

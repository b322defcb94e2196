"""What each of several processes runs for test_ranks.py: whole trainings by the config files given."""

import os
import sys
from pathlib import Path

import torch
from mmengine.config import Config

from cssa_mm.engine.runner import CSSARunner

torch.set_num_threads(1)
for path in sys.argv[2:]:
    config = Config.fromfile(path)
    config.launcher = 'pytorch'
    config.work_dir = str(Path(sys.argv[1], Path(path).stem))
    config.experiment_name = f'{Path(path).stem}_{os.environ["WORLD_SIZE"]}'
    CSSARunner.from_cfg(config).train()
sys.stdout.flush()
os._exit(0)  # an object that outlives gloo's threads aborts the process

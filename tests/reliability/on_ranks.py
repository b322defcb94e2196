"""What each of several processes runs for test_ranks.py: whole trainings by the config files given."""

import os
import sys
from pathlib import Path

import torch
from mmengine.config import Config

from cssa_mm.engine.runner import CSSARunner
from cssa_mm.semi.pseudo_label_hook import PseudoLabelHook

torch.set_num_threads(1)
for path in sys.argv[2:]:
    config = Config.fromfile(path)
    config.launcher = 'pytorch'
    config.work_dir = str(Path(sys.argv[1], Path(path).stem))
    config.experiment_name = f'{Path(path).stem}_{os.environ["WORLD_SIZE"]}'
    runner = CSSARunner.from_cfg(config)
    runner.train()
    (bank,) = [hook.semi_supervision.state.bank for hook in runner.hooks if isinstance(hook, PseudoLabelHook)]
    pseudo_labels = bank.gathered()
    if pseudo_labels is not None:  # the first process
        torch.save(pseudo_labels.labels, Path(config.work_dir, 'labels.pt'))
sys.stdout.flush()
os._exit(0)  # an object that outlives gloo's threads aborts the process

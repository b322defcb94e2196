"""A process that looks for the others, as its environment says; prints the line that ends it."""

import os
import sys

import torch

from cssa_mm.engine.joining import join
from cssa_mm.errors import ConfigError

try:
    group = join(dict(dist_cfg=dict(timeout=float(os.environ['SECONDS']))))
    print(f'{group["rank"]} of {group["world_size"]}, {group["timeout"].total_seconds()} s')
    torch.distributed.init_process_group('gloo', **group)
    # The store goes with the first process, and the second may still read it.
    if group['rank']:
        group['store'].set('read', 'all')
    else:
        group['store'].wait(['read'])
except ConfigError as error:
    print(f'error: {error}')
sys.stdout.flush()
os._exit(0)  # an object that outlives gloo's threads aborts the process

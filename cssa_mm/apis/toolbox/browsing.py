"""`visualization/browse_dataset`: draws the images of a config as training reads them, each into a file of its own.

The tool builds the data set before label files and classes are found, names pictures by the last part of the path, so
that they overwrite each other, takes images for BGR, and fails beside newer versions of matplotlib.
"""

from __future__ import annotations

import os.path
from types import SimpleNamespace
from typing import Any

from mmengine.config import Config
from mmpretrain.registry import DATASETS

from cssa_mm.apis.toolbox.scripts import load_script
from cssa_mm.compat import mend_tight_bbox
from cssa_mm.engine.config.preparing import prepare_config


def run() -> None:
    """Run the tool; what it imports must be mended before."""
    mend_tight_bbox()
    tool: Any = load_script('visualization/browse_dataset')
    options = tool.parse_args()
    options.channel_order = 'RGB'  # whatever is asked for: loaders give it
    phase = options.phase
    read: list[Config] = []

    def fromfile(path: str) -> Config:
        read.append(Config.fromfile(path))
        return read[-1]

    def build(_: Any) -> Any:
        return DATASETS.build(prepare_config(read[-1])[f'{phase}_dataloader'].dataset)

    tool.parse_args = lambda: options
    tool.Config = SimpleNamespace(fromfile=fromfile)
    tool.build_dataset = build
    tool.osp = SimpleNamespace(join=os.path.join, basename=FreeNames())
    tool.main()


class FreeNames:
    """The last part of a path, with a number where another path has given it before."""

    def __init__(self) -> None:
        self.taken: set[str] = set()

    def __call__(self, path: str) -> str:
        """The name for the picture of an image."""
        stem, suffix = os.path.splitext(os.path.basename(path))
        name, number = f'{stem}{suffix}', 1
        while name.casefold() in self.taken:
            number += 1
            name = f'{stem}_{number}{suffix}'
        self.taken.add(name.casefold())
        return name

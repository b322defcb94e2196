"""`misc/verify_dataset`: opens every image as training does, and lists the broken ones.

The tool looks for a step of mmpretrain's that loads an image; here the view does.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from cssa_mm.apis.checking import open_all
from cssa_mm.apis.config import load_config
from cssa_mm.apis.parts import read_part
from cssa_mm.errors import ConfigError
from cssa_mm.files import write_text


def run(tool: ModuleType) -> str:
    """The same arguments as the tool."""
    options = tool.parse_args()
    out = Path(options.out_path)
    if not out.absolute().parent.is_dir():
        raise ConfigError(f"--out-path: found '{out}', whose folder does not exist, expected one; make it")
    config = load_config(options.config, overrides=options.cfg_options)
    section = config.get(f'{options.phase}_dataloader')
    if section is None:
        raise ConfigError(f'--phase: found {options.phase}, for which the config has no images, expected another')
    out.unlink(missing_ok=True)
    part = read_part(options.phase, section.dataset)
    facts = open_all(part.dataset, part.data.img_paths, options.num_process, f'Images of {options.phase}')
    broken = [(path, each) for path, each in zip(part.data.img_paths, facts, strict=True) if each.fault]
    lines = [f'{path} cannot be read correctly ({each.fault}), please check it.' for path, each in broken]
    if broken:
        write_text(out, ''.join(f'{path}\n' for path, _ in broken))
        lines.append(f'{len(broken)} broken files found, name list save in file: {out}')
    else:
        lines.append('There is no broken file found.')
    return '\n'.join([*lines, f'{len(facts)} images opened'])

"""docs/towers.md: what works and why, by family."""

from __future__ import annotations

import open_clip

from cssa_mm.models.towers.families import FAMILIES, Family, needs

PAGE = """# Towers

Made by `cssa towers --families`, from the code that reads and refuses towers. A test compares this page with it.
`tests/models/test_tower_families.py` builds each family from its example in open_clip: the same parts, fewer layers,
random weights. It compares the global feature with open_clip's own image embedding, texts and prompts with its text
embedding, and each refusal with the reason below. Tokenizers that would have to be downloaded are replaced by a small
one of the same form.

Not run: pretrained weights of these families, which are not on the machines that test this. With real weights we ran
MobileNetV2 and EfficientNet trunks of timm, and the demo's ResNet.

| family | example | local features | text side | needs |
|---|---|---|---|---|
ROWS

`needs`: `siglip` is the optional extra, `pip install 'cssa_mm[siglip]'`, for tokenizers of the transformers package.
They are downloaded from the Hugging Face hub, unless the folder of `local-dir:FOLDER` holds them.

A tower of one's own needs no code: `--tower NAME:FOLDER`, where the folder holds the weights and `NAME.json`, an
open_clip model config. `cssa towers` lists open_clip's own, with size, time and licence.
"""


def families_table() -> str:
    """The text of docs/towers.md."""
    rows = [f'| {" | ".join(_family_cells(family))} |' for family in FAMILIES]
    return PAGE.replace('ROWS', '\n'.join(rows))


def _family_cells(family: Family) -> list[str]:
    config = open_clip.get_model_config(family.example)
    return [
        family.title,
        f'`{family.example}`',
        family.local_features(config),
        family.text_side(config),
        needs(family.example, config) or '-',
    ]

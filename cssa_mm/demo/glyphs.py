"""The pictographs of the embedded demo: names, glyphs, contexts, and their ink from the DejaVu Sans font."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cssa_mm.errors import DataError

# context -> {class name: (glyph, weight inside its context)}; the weights give the moderately long tail.
CONTEXTS: dict[str, dict[str, tuple[str, float]]] = {
    'weather': {
        'sun': ('☀', 1.0),
        'cloud': ('☁', 0.8),
        'umbrella': ('☂', 0.6),
        'snowflake': ('❄', 0.45),
        'snowman': ('☃', 0.3),
    },
    'office': {
        'telephone': ('☎', 1.0),
        'envelope': ('✉', 0.8),
        'scissors': ('✂', 0.6),
        'pencil': ('✏', 0.45),
        'coffee': ('☕', 0.3),
    },
    'games': {
        'die': ('⚄', 1.0),
        'knight': ('♞', 0.8),
        'spade': ('♠', 0.6),
        'rook': ('♜', 0.45),
        'club': ('♣', 0.3),
    },
    'holiday': {
        'airplane': ('✈', 1.0),
        'anchor': ('⚓', 0.8),
        'note': ('♫', 0.6),
        'flag': ('⚑', 0.45),
        'flower': ('✿', 0.3),
    },
    'laboratory': {
        'gear': ('⚙', 1.0),
        'atom': ('⚛', 0.8),
        'skull': ('☠', 0.6),
        'radiation': ('☢', 0.45),
    },
}

CLASS_NAMES: tuple[str, ...] = tuple(name for classes in CONTEXTS.values() for name in classes)
CONTEXT_OF: tuple[int, ...] = tuple(k for k, classes in enumerate(CONTEXTS.values()) for _ in classes)
CLASS_GLYPHS: tuple[str, ...] = tuple(glyph for classes in CONTEXTS.values() for glyph, _ in classes.values())
CLASS_WEIGHTS = np.array([weight for classes in CONTEXTS.values() for _, weight in classes.values()])

# One sibling pictograph per class, in the order of CLASS_NAMES: a distractor that the demo does not name, but the
# micro-CLIP does.
SIBLING_NAMES: tuple[str, ...] = tuple(
    'moon steam comet star smile tape ballot swords hand flask diamond cow heart queen shamrock arrow ankh '
    'sharp peace plant recycling swirl coffin biohazard'.split()
)
SIBLING_GLYPHS: tuple[str, ...] = tuple('☾♨☄✡☺✇☑⚔✍⚗❖🐮♥♛☘➽☥♯✌⚘♻☯⚰☣')


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    import matplotlib  # takes long, and most commands do without

    path = Path(matplotlib.get_data_path()) / 'fonts' / 'ttf' / 'DejaVuSans.ttf'
    if not path.is_file():
        raise DataError(f'{path}: font not found; it comes with matplotlib: reinstall matplotlib')
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=512)
def glyph_mask(glyph: str, size: int = 96) -> Image.Image:
    """The ink of a glyph as an 8-bit mask, cropped, its longer side ``size`` pixels."""
    canvas = Image.new('L', (320, 320))
    ImageDraw.Draw(canvas).text((80, 60), glyph, font=_font(128), fill=255)
    ink = canvas.crop(canvas.getbbox())
    scale = size / max(ink.size)
    return ink.resize([max(1, round(side * scale)) for side in ink.size], Image.Resampling.LANCZOS)

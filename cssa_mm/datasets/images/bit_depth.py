"""Images of more than 8 bits a colour as 8 bits: by what the file says, else by what the data say (ours)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from PIL import Image

WIDE_MODES = ('I', 'I;16', 'I;16B', 'I;16L', 'I;16N', 'F')
# The bits that cameras and scanners give. Their greatest value is the white of data that reach no further.
DEPTHS = (8, 10, 12, 14, 16)
WHOLE = 65535
OVERSHOOT = 1.5  # float data of 0..1 that were sharpened or resized pass 1 a little; they are clipped
UNDERSHOOT = 0.05  # and 0, as a share of the greatest value
# Tags of TIFF.
BITS_PER_SAMPLE, PHOTOMETRIC, MAX_SAMPLE, SAMPLE_FORMAT, SMAX_SAMPLE = 258, 262, 281, 339, 341


def scale_to_8bit(array: np.ndarray, info: Mapping[str, Any]) -> tuple[np.ndarray, str]:
    """An array of more than 8 bits as 8 bits, and the rule that was used.

    Args:
        array: integers or floats of any shape.
        info: what is known beside the data, all of it optional: ``bits``, the user's word on them (8, 10, 12, 14, 16
            or 'float', which is 0..1); ``white``, the values that the file may mean by white, of which the first that
            no pixel passes counts; ``min_is_white``; ``unsigned`` for 32 bits that were read as signed.

    Returns:
        uint8 of the same shape, and a short text for the report, the same for all images that are treated alike; empty
        where every rule gives black.
    """
    if info.get('unsigned') and array.dtype == np.int32:
        array = array.view(np.uint32)
    is_float = array.dtype.kind == 'f'
    unknown = ~np.isfinite(array) if is_float else None
    remark = ''
    if unknown is not None and unknown.any():
        finite = array[~unknown]
        least, most = (finite.min(), finite.max()) if finite.size else (array.dtype.type(0), array.dtype.type(0))
        array = np.nan_to_num(array, nan=min(least, 0), posinf=most, neginf=least)
        remark = ', NaN as black'
    least, most = (array.min().item(), array.max().item()) if array.size else (0, 0)
    low, white, rule = _range(least, most, is_float, info)
    scaled = _scaled(array, low, white, is_float)
    if info.get('min_is_white'):
        return 255 - scaled, (rule or 'black') + remark + ', inverted: the file says that 0 is white'
    return scaled, rule + remark if rule else ''


def _range(least: float, most: float, is_float: bool, info: Mapping[str, Any]) -> tuple[float, float, str]:
    """The values that become 0 and 255, and the rule."""
    bits = info.get('bits')
    if bits == 'float' and is_float:
        return 0, 1, 'float data from 0 to 1, by the key bits'
    if bits is not None and bits != 'float':
        return 0, 2**bits - 1, f'{bits}-bit data, by the key bits'
    if least < 0 and not (is_float and -least <= UNDERSHOOT * most):
        if is_float and least >= -1 and most <= 1:
            return -1, 1, 'float data from -1 to 1'
        return least, most, 'data below 0: each image from its least to its greatest value'
    if most <= 0:
        return 0, 1, ''
    for white in info.get('white', ()):
        if most <= white:
            return 0, white, _name(white, is_float, 'by the file')
    if is_float and most <= OVERSHOOT:
        return 0, 1, 'float data from 0 to 1'
    depth = next((bits for bits in DEPTHS if most < 2**bits - (0 if not is_float else 0.5)), None)
    if depth is not None:
        return 0, 2**depth - 1, _name(2**depth - 1, is_float)
    if is_float:
        return 0, most, 'float data above 65535: each image from 0 to its greatest value'
    depth = int(most).bit_length()
    return 0, 2**depth - 1, f'{depth}-bit data in 32 bits: divided by {2**depth - 1}'


def _name(white: float, is_float: bool, source: str = '') -> str:
    if is_float or white + 1 not in [2**bits for bits in DEPTHS]:
        text = f'{"float data" if is_float else "data"} from 0 to {white:g}'
    elif white == WHOLE:
        return '16-bit data over the whole range'
    elif white == 255:
        text = '8-bit data in 16 bits: as they are'
    else:
        text = f'{int(white + 1).bit_length() - 1}-bit data in 16 bits: divided by {white}'
    return f'{text}, {source}' if source else text


def _scaled(array: np.ndarray, low: float, white: float, is_float: bool) -> np.ndarray:
    if is_float or low < 0 or white != int(white):
        share = (array.astype(np.float64) - low) / (white - low or 1)
        return np.floor(share.clip(0, 1) * 255 + 0.5).astype(np.uint8)
    values, white = array.clip(0, white), int(white)
    if white == WHOLE:
        return (values // 257).astype(np.uint8)
    wide = values.astype(np.int64)
    return ((wide * 510 + white) // (2 * white)).astype(np.uint8)


def depth_info(image: Image.Image, content: bytes | None = None) -> dict[str, Any]:
    """What a file says about its values, as :func:`scale_to_8bit` takes it.

    Args:
        image: as it was opened, before anything was done to it.
        content: the bytes of its file, if there is one.
    """
    if image.format in ('PPM', 'JPEG2000') and image.mode.startswith('I'):
        return dict(white=(WHOLE,))  # Pillow has scaled them by the file's own depth
    if image.format == 'PNG' and content is not None:
        significant = _significant_bits(content)
        # Some writers scale to 16 bits, as the standard wants it; others leave the data as they are.
        return dict(white=(2**significant - 1, WHOLE)) if significant else {}
    tags = getattr(image, 'tag_v2', None)
    return _tiff_info(tags) if tags is not None else {}


def _tiff_info(tags: Any) -> dict[str, Any]:
    bits = _number(tags.get(BITS_PER_SAMPLE)) or 0
    said = [_number(tags.get(tag)) for tag in (SMAX_SAMPLE, MAX_SAMPLE)]
    white = [value for value in said if value is not None and value > 0]
    if 8 < bits < 16:
        white.append(2 ** int(bits) - 1)
    info: dict[str, Any] = dict(white=tuple(white)) if white else {}
    if tags.get(PHOTOMETRIC) == 0:
        info['min_is_white'] = True
    if bits == 32 and _number(tags.get(SAMPLE_FORMAT)) == 1:
        info['unsigned'] = True
    return info


def _number(value: Any) -> float | int | None:
    """A tag's value, the greatest of several."""
    numbers = [part for part in (value if isinstance(value, tuple) else (value,)) if isinstance(part, Real)]
    found = max(map(float, numbers), default=None)
    return int(found) if found is not None and found == found and found.is_integer() else found


def _significant_bits(content: bytes) -> int | None:
    """The significant bits of a 16-bit PNG file's colours, by its chunk sBIT."""
    if content[24:25] != b'\x10':
        return None
    start = 8
    while start + 8 <= len(content):
        length, kind = struct.unpack('>I4s', content[start : start + 8])
        if kind == b'sBIT':
            values = content[start + 8 : start + 8 + length]
            colours = values[: -1 if content[25] in (4, 6) else None]  # without the alpha's
            return max(colours, default=0) or None if max(colours, default=0) <= 16 else None
        if kind in (b'IDAT', b'IEND'):
            return None
        start += 12 + length
    return None

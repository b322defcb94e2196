"""Which files are images that can be read here: by their extension, or by their first bytes where it says nothing."""

from __future__ import annotations

import importlib
import warnings
from functools import lru_cache
from typing import Any

from PIL import Image, ImageFile

# Pillow knows these by name only, or through a program that has to be there (Ghostscript); WMF on Windows alone.
NOT_READ = ('EPS', 'MPEG', 'WMF', 'IPTC')
HEIF_SUFFIXES = ('.heic', '.heif', '.hif', '.heics', '.heifs')
HEIF_BRANDS = (b'heic', b'heix', b'heim', b'heis', b'hevc', b'hevx', b'hevm', b'hevs', b'mif1', b'msf1')
# Pictures and films of other kinds. Some begin like a TIFF file, but hold only a small preview for Pillow.
OTHER_IMAGES = frozenset(
    '.3fr .ai .arw .avif .avifs .avi .bpg .cdr .cr2 .cr3 .crw .dcm .dicom .dng .emf .eps .erf .exr .fff .gpr .hdr .iiq '
    '.j2k .jp2 .jxl .jxr .kdc .m2ts .m4v .mef .mkv .mos .mov .mp4 .mpeg .mpg .mrw .mts .nef .nii .nrw .orf .pdf .pef '
    '.ps .psb .raf .raw .rw2 .rwl .sr2 .srf .srw .svg .svgz .webm .wmf .wmv .x3f .xcf'.split()
)
# Files that nobody takes for a photo: they are neither opened nor named.
OF_NO_INTEREST = frozenset(
    '.7z .aae .bak .bat .bib .bin .bz2 .c .cache .cfg .ckpt .conf .cpp .csv .data .db .dll .doc .docx .exe '
    '.feather .geojson .gz .h .h5 .hdf .hdf5 .htm .html .ini .ipynb .joblib .js .json .jsonl .labels .lnk .lock '
    '.log .manifest .mat .md .mp3 .names .ndjson .npy .npz .ods .onnx .parquet .part .pickle .pkl .pptx .proto '
    '.pt .pth .py .pyc .rar .rst .safetensors .sh .so .sqlite .tar .tex .tfrecord .tfrecords .tgz .tmp .toml .ts '
    '.tsv .txt .url .wav .xls .xlsx .xml .xmp .xz .yaml .yml .zip .zst'.split()
)
NAMES_OF_NO_INTEREST = frozenset(('thumbs.db', 'desktop.ini', 'license', 'makefile', 'readme', 'icon\r'))

HEIF = 'HEIC or HEIF, which Pillow does not read: convert them to JPEG, or pip install pillow-heif'
OTHER = 'of a format that is not read: convert them to JPEG'
UNKNOWN = 'of no format that Pillow reads: convert them to JPEG if they are photos'


@lru_cache(maxsize=1)
def has_heif() -> bool:
    """Whether HEIC and HEIF can be read: the optional package pillow-heif is there, and registered in Pillow now."""
    try:
        heif: Any = importlib.import_module('pillow_heif')
    except ImportError:
        return False
    heif.register_heif_opener()
    return True


def looks_like_heif(content: bytes) -> bool:
    """Whether a file's first bytes are those of HEIC or HEIF."""
    return content[4:8] == b'ftyp' and content[8:12] in HEIF_BRANDS and b'avif' not in content[12:64]


def looks_like_postscript(content: bytes) -> bool:
    """Whether a file's first bytes are those of EPS or PostScript, which Pillow hands to Ghostscript."""
    return content.startswith((b'%!PS', b'\xc5\xd0\xd3\xc6'))


def needs_program(image: Image.Image) -> bool:
    """Whether Pillow would start an external program for the pixels of an image."""
    return image.format in NOT_READ and bool(getattr(image, 'tile', None))


def open_image(file: Any) -> Image.Image:
    """Open an image as :func:`PIL.Image.open` does, but in formats that need no external program.

    Raises:
        PIL.UnidentifiedImageError: the file is of no such format.
    """
    return Image.open(file, formats=readable_formats())


@lru_cache(maxsize=1)
def readable_formats() -> tuple[str, ...]:
    """The formats that Pillow reads here without an external program, in Pillow's order."""
    has_heif()
    Image.init()
    return tuple(name for name in Image.ID if name not in NOT_READ and not _is_stub(Image.OPEN[name][0]))


@lru_cache(maxsize=1)
def readable_suffixes() -> frozenset[str]:
    """The extensions, in small letters, whose files are taken for images without a look inside."""
    formats = {*readable_formats(), 'MPO'}  # a JPEG file, which Pillow opens as one
    known = {suffix.lower() for suffix, name in Image.registered_extensions().items() if name in formats}
    return frozenset(known - OF_NO_INTEREST)


def begins_like_an_image(start: bytes) -> bool:
    """Whether the first bytes of a file are those of a format that is read here; some have no such bytes (TGA)."""
    return any(_accepts(name, start) for name in readable_formats())


def reads_header(file: Any) -> bool:
    """Whether a file opens as an image; its pixels are not read."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            with open_image(file):
                return True
        except MemoryError:
            raise
        except Image.DecompressionBombError:
            return True  # named when it is decoded
        except Exception:  # Pillow's plugins raise nearly anything on other files
            return False


def _accepts(name: str, start: bytes) -> bool:
    accept = Image.OPEN[name][1]
    try:
        return accept is not None and accept(start[:16]) is True
    except Exception:  # as above: what a plugin can't look at is no image of its format
        return False


def _is_stub(opener: Any) -> bool:
    return isinstance(opener, type) and issubclass(opener, ImageFile.StubImageFile)

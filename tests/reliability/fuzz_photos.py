"""The reader of images, fuzzed with one of each format."""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from cssa_mm.datasets.images.image_facts import image_facts
from cssa_mm.datasets.transforms import LoadRGBImage
from tests.reliability.fuzzing import Reader

PHOTO_SUFFIXES = (
    '.jpg',
    '.png',
    '.gif',
    '.webp',
    '.tif',
    '.bmp',
    '.ppm',
    '.ico',
    '.jp2',
    '.tga',
    '.pcx',
    '.dds',
    '.avif',
)


def write_photos(folder: Path) -> None:
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (24, 24, 3), np.uint8))
    Image.init()
    for suffix in PHOTO_SUFFIXES:
        if suffix in Image.EXTENSION and Image.EXTENSION[suffix] in Image.SAVE:
            try:
                picture.save(folder / f'photo{suffix}')
            except OSError:  # a codec that this Pillow was built without
                (folder / f'photo{suffix}').unlink(missing_ok=True)
    wide = Image.fromarray(rng.integers(0, 65535, (24, 24), np.uint16))
    wide.save(folder / 'wide.png')
    wide.save(folder / 'wide.tif', compression='tiff_lzw')
    picture.convert('CMYK').save(folder / 'four.jpg', icc_profile=b'broken', exif=b'Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12')
    picture.convert('P').save(folder / 'palette.png', transparency=3)
    frames = [picture.rotate(90 * turn) for turn in range(3)]
    frames[0].save(folder / 'moving.gif', save_all=True, append_images=frames[1:])
    frames[0].save(folder / 'moving.png', save_all=True, append_images=frames[1:])


def photo_reader(place: str) -> Reader:
    """One format, so that each file is read, whatever became of another."""

    def write(folder: Path) -> None:
        write_photos(folder)
        for path in folder.iterdir():
            if path.name != place:
                path.unlink()

    loader = LoadRGBImage()

    def read(folder: Path) -> None:
        path = folder / place
        image_facts(loader, str(path))
        loader.load(str(path))

    return Reader(write, read, suffixes=(Path(place).suffix,), weight=0.4)


def photo_names() -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        write_photos(Path(folder))
        return sorted(path.name for path in Path(folder).iterdir())


PHOTOS = {f'photo {name}': photo_reader(name) for name in photo_names()}

"""Downloads of open_clip's tags and of the Hugging Face hub: an offline machine is told of files at once."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import open_clip
from huggingface_hub import constants

from cssa_mm.errors import CheckpointError

HEX = re.compile('[0-9a-f]+')
SECONDS = 4.0  # to answer; the hub's own client tries for minutes


@contextmanager
def within_reach(name: str, tag: str | None) -> Iterator[None]:
    """A block that may download the weights of a tag; None downloads nothing.

    If the server does not answer within seconds, only what was downloaded before is used.

    Raises:
        CheckpointError: the download fails.
    """
    if tag is None:
        yield
        return
    entry = open_clip.get_pretrained_cfg(name, tag)
    page = (
        f'https://huggingface.co/{os.path.split(entry["hf_hub"])[0]}' if entry.get('hf_hub') else entry.get('url', '')
    )
    only_url = '' if entry.get('hf_hub') else entry.get('url', '')
    is_there = Path('~/.cache/clip', os.path.basename(only_url)).expanduser().is_file() if only_url else False
    with _cache_alone_if_offline(only_url) as offline:
        try:
            if offline and only_url and not is_there:
                raise ConnectionError('no answer')
            yield
        except (RuntimeError, OSError) as error:
            if 'download' not in str(error) and not isinstance(error, ConnectionError):
                raise
            raise CheckpointError(
                f"backbone.pretrained: found the tag '{tag}' of '{name}', which is not on this machine and cannot be "
                f'downloaded ({_reason(error, offline)}), expected a network or a file: fetch {page} elsewhere, then '
                f'--tower {name}:FILE or backbone.pretrained=FILE'
            ) from error


def refuse_out_of_reach(name: str, tag: str) -> None:
    """Refuse a tag whose weights are neither on this machine nor within reach; nothing is downloaded.

    Raises:
        CheckpointError: a training could not get them.
    """
    with within_reach(name, tag):
        if constants.HF_HUB_OFFLINE:  # the cache alone is read
            open_clip.download_pretrained(open_clip.get_pretrained_cfg(name, tag))


def fetch_tag(name: str, tag: str) -> None:
    """Download the weights of a tag, unless they are in the cache, and check their hash; within `within_reach`.

    Raises:
        CheckpointError: the file has another hash.
    """
    checked_by_hash(open_clip.download_pretrained(open_clip.get_pretrained_cfg(name, tag)))


def checked_by_hash(path: str) -> str:
    """A file as it was downloaded, which the hub's cache calls by its hash; others are returned as they are.

    open_clip itself checks what it does not fetch from the hub.

    Raises:
        CheckpointError: it has another hash, as after a broken or changed download.
    """
    blob = Path(path).resolve()
    digest = {64: hashlib.sha256, 40: hashlib.sha1}.get(len(blob.name)) if HEX.fullmatch(blob.name) else None
    if blob.parent.name != 'blobs' or digest is None:
        return path
    content = digest(b'' if len(blob.name) == 64 else b'blob %d\0' % blob.stat().st_size)  # the latter is git's
    with blob.open('rb') as file:
        while piece := file.read(2**20):
            content.update(piece)
    if content.hexdigest() != blob.name:
        raise CheckpointError(
            f'{path}: found a file with the hash {content.hexdigest()[:16]}..., expected {blob.name[:16]}..., that of '
            f'the hub; remove {blob}, and it is fetched again'
        )
    return path


def fetch_from_hub(model_id: str, filename: str | None = None) -> str:
    """The path of a file of the Hugging Face hub, downloaded or found in its cache; the weights by default.

    Raises:
        CheckpointError: it cannot be fetched, or has another hash than the hub's.
    """
    with _cache_alone_if_offline() as offline:
        try:
            return checked_by_hash(open_clip.pretrained.download_pretrained_from_hf(model_id, filename=filename))
        except (OSError, ValueError, RuntimeError) as error:
            raise CheckpointError(
                f"backbone.model_name: found 'hf-hub:{model_id}', whose {filename or 'weights'} are not here and can't "
                f'be downloaded ({_reason(error, offline)}), expected a network or a folder: fetch '
                f'https://huggingface.co/{model_id} elsewhere, then --tower local-dir:FOLDER'
            ) from error


@contextmanager
def tokenizer_within_reach(name: str, tokenizer: str | None) -> Iterator[None]:
    """A block that may download a tokenizer of the hub; None, or a folder, downloads nothing.

    Raises:
        CheckpointError: it cannot be had.
    """
    if tokenizer is None or Path(tokenizer).is_dir():
        yield
        return
    with _cache_alone_if_offline() as offline:
        try:
            yield
        except (OSError, ValueError, RuntimeError, ImportError) as error:
            raise CheckpointError(
                f"backbone.model_name '{name}': found no tokenizer '{tokenizer}' on this machine, and it can't be "
                f'downloaded ({_reason(error, offline)}), expected a network or a folder: fetch '
                f'https://huggingface.co/{tokenizer} elsewhere, then --tower local-dir:FOLDER'
            ) from error


def is_reachable(url: str, seconds: float = SECONDS) -> bool:
    """Whether a server answers at all, through the proxies of this machine, within some seconds."""
    answers: list[bool] = []

    def ask() -> None:
        try:
            request = urllib.request.Request(url, method='HEAD')
            urllib.request.urlopen(request, timeout=seconds).close()  # nosec B310 # an address of open_clip's table
            answers.append(True)
        except urllib.error.HTTPError:
            answers.append(True)
        except (OSError, ValueError) as error:
            # Certificates are the client's business: it may know others.
            answers.append('CERTIFICATE' in str(error).upper())

    # A name server that keeps silent is not covered by the timeout.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds + 1)
    return bool(answers) and answers[0]


@contextmanager
def _cache_alone_if_offline(url: str = '') -> Iterator[bool]:
    """Within the block the hub's client reads its cache alone if the hub, or the server of `url`, does not answer."""
    before = constants.HF_HUB_OFFLINE
    offline = (bool(before) and not url) or not is_reachable(url or constants.ENDPOINT)
    constants.HF_HUB_OFFLINE = before or offline
    try:
        yield offline
    finally:
        constants.HF_HUB_OFFLINE = before


def _reason(error: Exception, offline: bool) -> str:
    return 'no answer from the server' if offline else ' '.join(str(error).split())[:200]

"""Wounds: what can befall a file on its way, from a flipped bit to a number where a text should be."""

import io
import json
import random
import zipfile
from pathlib import PurePath
from typing import Any

VALUES = [
    None, True, False, 0, 1, -1, 2**31, 2**63, -(2**70), 10**400, 1.5, -0.0, 1e308, 1e-320, float('nan'), float('inf'),
    '', ' ', '0', '1', 'nan', 'none', '\0', '\ud800', '\u202e', 'é', '🐈', 'x' * 5000, '\n', '\r\n', 'a\nb', '"', '<',
    '../../etc/passwd', '/etc/passwd', '/etc/1.jpg', '..\\..\\1.jpg', 'C:\\1.jpg', 'file:///etc/1.jpg',
    'http://h/1.jpg', '%2e%2e%2f1.jpg', '1.jpg', '.', '..', '/', '~', 's3://b/1.jpg', '&', [], {}, [[]], [None], [1, 2],
    ['a', 'a'], {'a': 1}, {'': None}, [{}], [0.5] * 3, {'0': 'a', '2': 'b'}, {'choices': []}, {'type': 'os.system'},
]  # fmt: skip
TOKENS = [
    b'null', b'[]', b'{}', b'"', b"'", b'1e999', b'NaN', b'-1', b',', b';', b'\t', b'\n', b'\r', b'\0', b'<', b'>',
    b'&x;', b'&#0;', b'<!DOCTYPE a [<!ENTITY x "y">]>', b'<![CDATA[', b'<!--', b']]>', b'\xff\xfe', b'\xef\xbb\xbf',
    b'\xff', b'\x80', b'\\ud83d', b'true', b'image,labels\n', b'1.jpg', b'../', b'/etc/passwd', b': ', b'\xfe\xff',
    b'&a [*a, *a]', b'<<: *a', b'PK\x03\x04', b'PK\x05\x06', b'9' * 5000, b'-' * 300, b'%', b'\x1a', b'\x0c',
    b'!!python/object:os.system', b'\xc2\x85',
]  # fmt: skip
ENCODINGS = ('utf-16', 'utf-16-le', 'utf-32', 'utf-8-sig', 'latin-1', 'cp1252', 'cp500', 'utf-7')
ZIPPED = ('.xlsx', '.npz', '.pth', '.pt')
LINES = ('.csv', '.tsv', '.txt', '.yaml', '.jsonl', '.manifest', '.names', '.data')


def wounded(rng: random.Random, content: bytes, name: str) -> bytes:
    """The content of a file after one to three wounds."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        content = _wound(rng, content, PurePath(name).suffix.lower())
    return content


def _wound(rng: random.Random, content: bytes, suffix: str) -> bytes:
    own = {'.json': in_tree, '.jsonl': in_lines_of_json, '.manifest': in_lines_of_json}.get(suffix)
    own = in_zip if suffix in ZIPPED else own
    if own is not None and rng.random() < 0.7:
        return own(rng, content)
    if suffix in LINES and rng.random() < 0.5:
        return in_cells(rng, content)
    if suffix in (*LINES, '.json', '.xml') and rng.random() < 0.1:
        return content.decode('utf-8', 'replace').encode(rng.choice(ENCODINGS), 'replace')
    return in_bytes(rng, content)


def in_bytes(rng: random.Random, content: bytes) -> bytes:
    """Cut, written over, doubled or swapped somewhere, or nothing at all."""
    start = int(rng.random() * len(content))
    end = min(len(content), start + rng.randrange(40))
    noise = rng.choice(TOKENS) if rng.random() < 0.6 else rng.randbytes(rng.randrange(1, 6))
    kinds = {
        'cut': lambda: content[:start],
        'flip': lambda: content[:start] + bytes([(content[start : start + 1] or b'a')[0] ^ 1 << rng.randrange(8)])
        + content[start + 1 :],
        'over': lambda: content[:start] + noise + content[start + len(noise) :],
        'out': lambda: content[:start] + content[end:],
        'in': lambda: content[:start] + noise + content[start:],
        'twice': lambda: content[:end] + content[start:],
        'again': lambda: content + content,
        'other': lambda: content.replace(content[start:end], noise) if end > start else content,
        'empty': lambda: b'',
    }  # fmt: skip
    return kinds[rng.choice([*kinds, 'flip', 'over', 'in', 'out'])]()


def in_value(rng: random.Random, value: Any, depth: int = 0) -> Any:
    """A tree of dicts and lists in which a value, key or entry is another, doubled or gone."""
    if not isinstance(value, dict | list) or not value or (depth and rng.random() < 0.25):
        return rng.choice(VALUES)
    if isinstance(value, dict):
        result, key = dict(value), rng.choice(list(value))
        kind = rng.random()
        if kind < 0.15:
            del result[key]
        elif kind < 0.25:
            result[rng.choice(('', 'type', 'id', key.upper() if isinstance(key, str) else 'x'))] = result.pop(key)
        elif kind < 0.32:
            result = {'a': result, **result} if rng.random() < 0.5 else list(result.values())
        else:
            result[key] = in_value(rng, result[key], depth + 1)
        return result
    several, place = list(value), rng.randrange(len(value))
    kind = rng.random()
    if kind < 0.12:
        del several[place]
    elif kind < 0.24:
        several.append(several[place])
    elif kind < 0.3:
        several = dict(enumerate(several)) if rng.random() < 0.5 else [several]
    else:
        several[place] = in_value(rng, several[place], depth + 1)
    return several


def in_tree(rng: random.Random, content: bytes) -> bytes:
    """JSON with another tree; a key may be there twice."""
    try:
        tree = json.loads(content)
        text = json.dumps(in_value(rng, tree), ensure_ascii=rng.random() < 0.5)
    except (ValueError, TypeError):
        return in_bytes(rng, content)
    if rng.random() < 0.1:
        text = text.replace('": ', '": 1, "', 1) if '": ' in text else text
    return text.encode('utf-8', 'surrogatepass')


def in_lines_of_json(rng: random.Random, content: bytes) -> bytes:
    lines = content.split(b'\n')
    place = rng.randrange(len(lines))
    lines[place] = in_tree(rng, lines[place])
    return b'\n'.join(lines)


def in_cells(rng: random.Random, content: bytes) -> bytes:
    """A cell, a word or a line of a text is another, gone, or there twice."""
    lines = content.split(b'\n')
    place = rng.randrange(len(lines))
    kind = rng.random()
    if kind < 0.15:
        del lines[place]
    elif kind < 0.3:
        lines.insert(rng.randrange(len(lines) + 1), lines[place])
    else:
        mark = rng.choice([mark for mark in (b',', b'\t', b';', b' ', b': ') if mark in lines[place]] or [b','])
        cells = lines[place].split(mark)
        value = rng.choice(VALUES)
        text = value if isinstance(value, str) else json.dumps(value)
        cells[rng.randrange(len(cells))] = text.encode('utf-8', 'surrogatepass')
        lines[place] = mark.join(cells)
    return b'\n'.join(lines)


def in_zip(rng: random.Random, content: bytes) -> bytes:
    """An archive one of whose members is wounded, gone or called otherwise."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    except Exception:  # of what is no archive any more, anything
        return in_bytes(rng, content)
    if not members:
        return in_bytes(rng, content)
    place = rng.randrange(len(members))
    name, inner = members[place]
    kind = rng.random()
    if kind < 0.1:
        del members[place]
    elif kind < 0.2:
        members[place] = (rng.choice(('../x', '/x', 'x', name.upper(), name[:-1] or 'y')), inner)
    else:
        members[place] = (name, in_bytes(rng, inner))
    result = io.BytesIO()
    with zipfile.ZipFile(result, 'w', rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for each, inner in members:
            archive.writestr(each, inner)
    return result.getvalue()

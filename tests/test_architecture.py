"""The house: imports go down the list of rooms, never up, and no name that starts with _ crosses a module."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / 'cssa_mm'
# From the top down: a room may import those that stand after it, and itself.
ROOMS = (
    'cli', 'demo', 'studies', 'apis', 'engine', 'semi', 'features', 'models', 'datasets', 'visualization', 'evaluation',
    'archives', 'files', 'folders', 'compat', 'names', 'values', 'errors', 'version',
)  # fmt: skip


def imported_names(path: Path) -> list[tuple[str, str]]:
    """(module, name) of everything that a file takes from cssa_mm, wherever in the file the import stands."""
    found = []
    for node in ast.walk(ast.parse(path.read_text('utf-8'))):
        if isinstance(node, ast.Import):
            found += [(alias.name, '') for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [(node.module or '', alias.name) for alias in node.names]
    return [(module, name) for module, name in found if module.split('.')[0] == 'cssa_mm']


def room_of(module: str, name: str = '') -> str:
    parts = [*module.split('.')[1:], name]
    return parts[0]


def test_imports_go_down_the_list_of_rooms():
    upward = []
    for path in sorted(PACKAGE.rglob('*.py')):
        own = path.relative_to(PACKAGE).parts[0].removesuffix('.py')
        if own in ('__init__', '__main__'):
            continue
        assert own in ROOMS, f'{path}: a room that the list does not know'
        for module, name in imported_names(path):
            other = room_of(module, name)
            if other and ROOMS.index(other) < ROOMS.index(own):
                upward.append(f'{path.relative_to(PACKAGE)} imports {module}.{name}')
    assert upward == []


def test_private_names_stay_in_their_module():
    private = [
        f'{path.relative_to(PACKAGE)} imports {module}.{name}'
        for path in sorted(PACKAGE.rglob('*.py'))
        for module, name in imported_names(path)
        if name.startswith('_') and not name.startswith('__')
    ]
    assert private == []


def test_no_file_of_the_package_is_longer_than_250_lines():
    lengths = {
        str(path.relative_to(PACKAGE)): len(path.read_text('utf-8').splitlines()) for path in PACKAGE.rglob('*.py')
    }
    assert {name: length for name, length in lengths.items() if length > 250} == {}

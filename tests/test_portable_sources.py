"""The sources as text: no syntax or name newer than Python 3.10, and nothing that Windows lacks without a question.

ruff's target and mypy's `python_version` in pyproject.toml see to more of it; neither looks at names in the tests.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
OLDEST = (3, 10)
SHIPPED = [*sorted((ROOT / 'cssa_mm').rglob('*.py')), ROOT / 'cssa.py', *sorted((ROOT / 'tools').glob('*.py'))]
ALL = [*SHIPPED, ROOT / 'setup.py', *sorted((ROOT / 'configs').rglob('*.py')), *sorted((ROOT / 'tests').rglob('*.py'))]
# What Python 3.11 to 3.14 added to the standard library, as far as one might use it here.
NEWER_MODULES = {
    'tomllib',
    'annotationlib',
    'concurrent.interpreters',
    'string.templatelib',
    'compression',
    'pathlib.types',
}
NEWER_NAMES = {
    'asyncio': {'TaskGroup', 'timeout', 'Runner', 'Barrier', 'QueueShutDown'},
    'contextlib': {'chdir'},
    'copy': {'replace'},
    'datetime': {'UTC'},
    'enum': {'StrEnum', 'ReprEnum', 'verify', 'member', 'nonmember', 'EnumCheck', 'FlagBoundary'},
    'functools': {'Placeholder'},
    'hashlib': {'file_digest'},
    'inspect': {'getmembers_static', 'markcoroutinefunction', 'BufferFlags'},
    'itertools': {'batched'},
    'logging': {'getLevelNamesMapping', 'getHandlerByName', 'getHandlerNames'},
    'math': {'cbrt', 'exp2', 'sumprod', 'fma'},
    'operator': {'call', 'is_none', 'is_not_none'},
    'os': {'process_cpu_count', 'listdrives', 'unshare', 'setns'},
    're': {'NOFLAG', 'PatternError'},
    'sqlite3': {'Blob'},
    'sys': {'exception', 'monitoring', 'activate_stack_trampoline', 'set_int_max_str_digits'},
    'threading': {'setprofile_all_threads', 'settrace_all_threads'},
    'types': {'get_original_bases', 'CapsuleType'},
    'typing': {
        'Self', 'Never', 'LiteralString', 'Required', 'NotRequired', 'Unpack', 'TypeVarTuple', 'assert_never',
        'assert_type', 'reveal_type', 'dataclass_transform', 'override', 'TypeAliasType', 'ReadOnly', 'TypeIs',
        'NoDefault', 'get_protocol_members', 'is_protocol', 'get_overloads',
    },
    'unittest.mock': {'ThreadingMock'},
    'warnings': {'deprecated'},
}  # fmt: skip
NEWER_BUILTINS = {'ExceptionGroup', 'BaseExceptionGroup', 'PythonFinalizationError'}
# Methods and arguments of these names are no others' here.
NEWER_METHODS = {'add_note', 'is_junction', 'from_uri', 'full_match', 'enterContext', 'enterClassContext'}
NEWER_ARGUMENTS = {
    'rmtree': {'onexc'}, 'relative_to': {'walk_up'}, 'Process': {'process_group'},
    'Popen': {'process_group'}, 'ProcessPoolExecutor': {'max_tasks_per_child'}, 'TemporaryDirectory': {'delete'},
    'NamedTemporaryFile': {'delete_on_close'}, 'glob': {'recurse_symlinks', 'case_sensitive'},
    'rglob': {'recurse_symlinks', 'case_sensitive'}, 'dataclass': {'weakref_slot'}, 'add_argument': {'deprecated'},
    'ArgumentParser': {'suggest_on_error'}, 'map': {'strict'},
}  # fmt: skip
ON_POSIX = {'fcntl', 'resource', 'pwd', 'grp', 'termios', 'tty', 'pty', 'posix', 'syslog'}
# Names of os and signal that Windows, or macOS, lacks.
LACKING = {
    'fork', 'forkpty', 'getuid', 'geteuid', 'getgid', 'getloadavg', 'sysconf', 'uname', 'nice', 'killpg', 'setsid',
    'statvfs', 'chown', 'mkfifo', 'sched_getaffinity', 'posix_fadvise', 'O_DIRECTORY', 'wait', 'waitid', 'SIGKILL',
    'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGCHLD', 'SIGQUIT', 'alarm', 'setitimer', 'sigtimedwait', 'sigwait',
    'pthread_sigmask', 'pthread_kill', 'pause',
}  # fmt: skip
GUARDED = {('workers.py', 'SIGKILL'), ('workers.py', 'pthread_sigmask')}  # on Linux, and beside `sigtimedwait`
NOT_TEXT = ('os.open', 'Image.open', 'archive.open', 'book.open')
OF_LINUX = ('/proc', 'STATUS.', 'facts.', 'limit.', 'used.')  # what the system tells of itself is ASCII


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text('utf-8'), str(path), feature_version=OLDEST)


def imports(tree: ast.AST) -> Iterator[tuple[ast.stmt, str, str]]:
    """(statement, module, name or '') of each import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name, '') for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node, node.module or '', alias.name) for alias in node.names)


def newer(tree: ast.AST) -> list[str]:
    """What a module uses that Python 3.10 lacks."""
    found = [f'{module}.{name}' for _, module, name in imports(tree) if module in NEWER_MODULES]
    found += [f'{module}.{name}' for _, module, name in imports(tree) if name in NEWER_NAMES.get(module, ())]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = getattr(node.value, 'id', '')
            found += [f'{owner}.{node.attr}'] if node.attr in NEWER_NAMES.get(owner, NEWER_METHODS) else []
        elif isinstance(node, ast.Name) and node.id in NEWER_BUILTINS:
            found.append(node.id)
        elif isinstance(node, ast.Call):
            name = getattr(node.func, 'attr', getattr(node.func, 'id', ''))
            given = {keyword.arg for keyword in node.keywords}
            found += [f'{name}({argument}=)' for argument in given & NEWER_ARGUMENTS.get(name, set())]
    return found


def test_nothing_is_newer_than_the_oldest_python_that_setup_allows():
    assert f"python_requires='>={OLDEST[0]}.{OLDEST[1]}'" in (ROOT / 'setup.py').read_text('utf-8')
    settings = (ROOT / 'pyproject.toml').read_text('utf-8')
    assert 'target-version = "py310"' in settings
    assert 'python_version = "3.10"' in settings
    words = NEWER_MODULES | NEWER_BUILTINS | NEWER_METHODS
    words = words.union(*NEWER_NAMES.values(), *NEWER_ARGUMENTS.values())
    spoken = re.compile(rf'\b({"|".join(map(re.escape, words))})\b')
    # Each file is parsed, as its syntax may be newer; few are looked through.
    found = {
        path.name: newer(tree_of(path)) for path in ALL if tree_of(path) and spoken.search(path.read_text('utf-8'))
    }
    assert {name: names for name, names in found.items() if names} == {}


def test_what_is_newer_is_seen():
    """The oracle is Python's own documentation of what is new in 3.11 to 3.14."""
    lines = {
        'import tomllib': 'tomllib.',
        'from typing import Self': 'typing.Self',
        'import datetime\ndatetime.UTC': 'datetime.UTC',
        'import hashlib\nhashlib.file_digest(a, b)': 'hashlib.file_digest',
        'raise ExceptionGroup("", [])': 'ExceptionGroup',
        'shutil.rmtree(path, onexc=print)': 'rmtree(onexc=)',
        'error.add_note("")': 'error.add_note',
    }
    assert {text: newer(ast.parse(text)) for text in lines} == {text: [name] for text, name in lines.items()}
    for text in ('try: pass\nexcept* ValueError: pass', 'def f[T](x: T): pass', 'type A = int'):
        try:
            ast.parse(text, feature_version=OLDEST)
        except SyntaxError:
            continue
        raise AssertionError(text)


def test_modules_of_posix_are_imported_where_they_may_be_missing():
    bare = []
    for path in SHIPPED:
        tries = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Try)]
        guarded = {below for node in tries if 'ImportError' in ast.unparse(node.handlers) for below in node.body}
        found = [(statement, module) for statement, module, _ in imports(tree_of(path)) if module in ON_POSIX]
        bare += [f'{path.name}: {module}' for statement, module in found if statement not in guarded]
    assert bare == []


def test_names_that_other_systems_lack_are_asked_for_first():
    unasked = []
    for path in SHIPPED:
        text = path.read_text('utf-8')
        for module, name in re.findall(r'(?<![\w.])(os|signal)\.(\w+)', text):
            asked = f"hasattr({module}, '{name}')" in text or (path.name, name) in GUARDED
            unasked += [f'{path.name}: {module}.{name}'] if name in LACKING and not asked else []
    assert unasked == []


def test_every_text_file_names_its_encoding():
    """Windows would take another one than Linux."""
    without = []
    for path in SHIPPED:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call) and not names_encoding(node):
                without.append(f'{path.name}: {ast.unparse(node)}')
    assert [line for line in without if not any(word in line for word in OF_LINUX)] == []


def names_encoding(call: ast.Call) -> bool:
    """Whether a call opens no text file, or says in which encoding."""
    function = ast.unparse(call.func)
    name = function.rpartition('.')[2]
    if 'encoding' in {keyword.arg for keyword in call.keywords}:
        return True
    if name in ('read_text', 'write_text') and '.' in function:
        return len(call.args) >= (1 if name == 'read_text' else 2)
    if name == 'open' and function not in NOT_TEXT:
        return any(
            isinstance(word, ast.Constant) and re.fullmatch('[rwax]?[b+]+', str(word.value)) for word in call.args
        )
    return True


def test_every_script_of_bash_has_a_command_beside_it():
    page = (ROOT / 'docs' / 'systems.md').read_text('utf-8')
    rows = dict(re.findall(r'^\| `(\w+\.sh)[^|]*\| (.+) \|$', page, re.MULTILINE))
    assert set(rows) == {path.name for path in (ROOT / 'tools').glob('*.sh')}
    for name, row in rows.items():
        assert re.search(r'`(python|py|pip) |^none: ', row), name
        assert all((ROOT / path).is_file() for path in re.findall(r'(?:tools|requirements)/\w+\.\w+', row)), name

"""A real Label Studio server in a temporary folder, and the few calls of its API that a project needs."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cssa_mm.files import cache_root

PACKAGES = ('label-studio==1.23.2', 'label-studio-sdk==2.1.2')
START_SECONDS = 600  # migrations of a new database take minutes on a busy machine
MODEL = 'model-1'
EXPORTS = {'JSON': '.json', 'JSON_MIN': '.json', 'CSV': '.csv'}


class ServerError(Exception):
    """The environment, the server or one of its answers is not as expected; one line."""


def environment() -> Path:
    """The virtual environment with Label Studio: ``CSSA_LABEL_STUDIO``, else one in the cache that is made.

    Raises:
        ServerError: It has no label-studio, or the installation failed.
    """
    given = os.environ.get('CSSA_LABEL_STUDIO')
    folder = Path(given) if given else cache_root() / 'label-studio-env'
    stamp = folder / '.cssa_installed'
    if given and not (folder / 'bin' / 'label-studio').exists():
        raise ServerError(
            f'CSSA_LABEL_STUDIO: found no bin/label-studio in {folder}, expected a virtual environment with it; '
            f'install {" ".join(PACKAGES)} there, or unset CSSA_LABEL_STUDIO'
        )
    if given or (stamp.exists() and stamp.read_text() == ' '.join(PACKAGES)):
        return folder
    print(f'Installing {" ".join(PACKAGES)} into {folder} (about 1 GB, some minutes, once)', flush=True)
    for command in (
        [sys.executable, '-m', 'venv', '--clear', folder],
        [folder / 'bin' / 'python', '-m', 'pip', 'install', '--quiet', *PACKAGES],
    ):
        if code := subprocess.run(command, check=False).returncode:
            raise ServerError(f'{folder}: the installation ended with code {code}; the messages above tell why')
    stamp.write_text(' '.join(PACKAGES))
    return folder


@contextlib.contextmanager
def running_server() -> Iterator[LabelStudio]:
    """A server with an empty database on a free port of this machine; it is stopped and its folder removed at the end.

    Raises:
        ServerError: It does not start.
    """
    programs = environment() / 'bin'
    with tempfile.TemporaryDirectory(prefix='label-studio-') as folder, contextlib.ExitStack() as at_end:
        log = Path(folder, 'server.log')
        token, port = secrets.token_hex(20), _free_port()
        settings = dict(COLLECT_ANALYTICS='false', LATEST_VERSION_CHECK='false', SENTRY_DSN='', FRONTEND_SENTRY_DSN='')
        settings['LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED'] = 'true'
        process = subprocess.Popen(
            [
                programs / 'label-studio', 'start', '--no-browser', '--data-dir', Path(folder, 'data'),
                '--internal-host', '127.0.0.1', '-p', str(port), '--username', 'first@example.com',
                '--password', secrets.token_hex(8), '--user-token', token, '--enable-legacy-api-token',
            ],
            env=os.environ | settings, cwd=folder, stdin=subprocess.DEVNULL,
            stdout=at_end.enter_context(log.open('wb')), stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        at_end.callback(_stop, process)
        studio = LabelStudio(f'http://127.0.0.1:{port}', token)
        print('Starting Label Studio (a new database takes a minute or two)', flush=True)
        end = time.monotonic() + START_SECONDS
        while not studio.is_up():
            if process.poll() is not None or time.monotonic() > end:
                lines = [line for line in log.read_text('utf-8', 'replace').splitlines() if line.strip()]
                what = f'did not answer in {START_SECONDS} s' if process.poll() is None else 'ended'
                raise ServerError(
                    f'Label Studio {what}, expected a running server; its last words: {lines[-1] if lines else "none"}'
                )
            time.sleep(1)
        yield studio


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def _stop(process: subprocess.Popen) -> None:
    """End the server and what it started, which share a group of processes of their own."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
            if sign == signal.SIGTERM:
                time.sleep(0.5)  # its children get a moment before they are killed


class LabelStudio:
    """The API of one server, by the standard library alone.

    Args:
        address: Such as ``http://127.0.0.1:8080``.
        token: Of the user who asks.
    """

    def __init__(self, address: str, token: str) -> None:
        self.address = address
        self.token = token

    def is_up(self) -> bool:
        """Whether the server answers."""
        try:
            return bool(self._ask('GET', '/health'))
        except ServerError:
            return False

    def version(self) -> str:
        """The version of the server."""
        return str(json.loads(self._ask('GET', '/api/version')).get('release', '?'))

    def me(self) -> int:
        """The id of the user whose token is used."""
        return json.loads(self._ask('GET', '/api/current-user/whoami'))['id']

    def new_user(self, email: str) -> int:
        """The id of a further annotator."""
        return self._post('/api/users/', dict(email=email, username=email, first_name='', last_name=''))['id']

    def new_project(self, title: str, label_config: str) -> int:
        """The id of a project."""
        return self._post('/api/projects/', dict(title=title, label_config=label_config))['id']

    def import_tasks(self, project: int, tasks: Sequence[Mapping]) -> list[int]:
        """The ids of tasks, in their order."""
        return self._post(f'/api/projects/{project}/import?return_task_ids=true', tasks)['task_ids']

    def upload(self, project: int, files: Sequence[Path]) -> list[int]:
        """The ids of the tasks of images that are sent to the server, in their order."""
        ids = []
        for path in files:
            boundary = uuid.uuid4().hex
            head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"\r\n'
            body = (
                f'{head}Content-Type: image/jpeg\r\n\r\n'.encode()
                + path.read_bytes()
                + f'\r\n--{boundary}--\r\n'.encode()
            )
            answer = self._ask(
                'POST',
                f'/api/projects/{project}/import?return_task_ids=true',
                body,
                f'multipart/form-data; boundary={boundary}',
            )
            ids += json.loads(answer)['task_ids']
        return ids

    def annotate(self, task: int, result: Sequence[Mapping], user: int, skipped: bool = False) -> None:
        """Submit an annotation of a user, or skip the task."""
        content = dict(result=result, was_cancelled=skipped, completed_by=user, lead_time=1.5)
        self._post(f'/api/tasks/{task}/annotations/', content)

    def predict(self, task: int, result: Sequence[Mapping]) -> None:
        """Add what a model says about a task."""
        self._post('/api/predictions/', dict(task=task, result=result, score=0.9, model_version=MODEL))

    def show_predictions(self, project: int, model_version: str = MODEL) -> None:
        """Show annotators what the model says, which goes into each of their annotations from then on."""
        self._send('PATCH', f'/api/projects/{project}/', dict(model_version=model_version))

    def show_files(self, project: int, folder: Path) -> None:
        """Let the tasks of a project show files below a folder."""
        content = dict(project=project, title='photos', path=str(folder), use_blob_urls=True)
        self._post('/api/storages/localfiles', content)

    def task(self, task: int) -> dict[str, Any]:
        """A task with its data and predictions."""
        return json.loads(self._ask('GET', f'/api/tasks/{task}/'))

    def tasks_above(self, project: int, column: str, value: float) -> list[dict[str, Any]]:
        """The tasks that the data manager leaves where a column must be above a value."""
        item = dict(filter=f'filter:tasks:{column}', operator='greater', type='Number', value=value)
        data = dict(filters=dict(conjunction='and', items=[item]))
        view = self._post('/api/dm/views/', dict(project=project, data=data))['id']
        answer = self._ask('GET', f'/api/tasks/?project={project}&view={view}&page_size=1000&fields=all')
        return json.loads(answer)['tasks']

    def fetch(self, address: str) -> bytes:
        """What the browser of an annotator gets at an address of a task."""
        return self._ask('GET', address)

    def draft(self, task: int, result: Sequence[Mapping]) -> None:
        """Keep an annotation that nobody has submitted."""
        self._post(f'/api/tasks/{task}/drafts', dict(result=result, lead_time=1.0))

    def export(self, project: int, kind: str, every_task: bool) -> bytes:
        """An export of a project; without ``every_task``, of the tasks that have an annotation."""
        every = str(every_task).lower()
        return self._ask('GET', f'/api/projects/{project}/export?exportType={kind}&download_all_tasks={every}')

    def _post(self, path: str, content: Any) -> Any:
        return self._send('POST', path, content)

    def _send(self, method: str, path: str, content: Any) -> Any:
        return json.loads(self._ask(method, path, json.dumps(content).encode(), 'application/json'))

    def _ask(self, method: str, path: str, body: bytes | None = None, kind: str = '') -> bytes:
        headers = {'Authorization': f'Token {self.token}'} | ({'Content-Type': kind} if kind else {})
        request = urllib.request.Request(self.address + path, body, headers, method=method)
        try:
            # No proxy of the surroundings: the server is on this machine.
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=120) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            said = ' '.join(error.read(2000).decode('utf-8', 'replace').split())[:300]
            raise ServerError(f'{method} {path}: found {error.code} {said}, expected an answer') from error
        except OSError as error:
            raise ServerError(f'{method} {path}: found {error}, expected an answer') from error

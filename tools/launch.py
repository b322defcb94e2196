"""torchrun with one line where it would print a page: what torchrun.sh runs, as launch.py TOOL PROCESSES [arguments].

NNODES, NODE_RANK, MASTER_ADDR, PORT and MAX_RESTARTS are read from the environment.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn

REFUSED = 2  # the status of a process that has said in one line what is wrong
SEVERAL = '29500'  # the port where several machines meet, which none of them can choose for all


def end(text: str, status: int = 2) -> NoReturn:
    """End with one line."""
    print(f'error: {text}', file=sys.stderr)
    sys.exit(status)


def port_of(environment: os._Environ[str]) -> str:
    """The port where the processes meet: PORT if this machine can listen there; by default a free one."""
    given, is_alone = environment.get('PORT', ''), environment.get('NNODES', '1') == '1'
    if not given and is_alone:
        with socket.socket() as listener:
            listener.bind(('127.0.0.1', 0))
            return str(listener.getsockname()[1])
    port = given or SEVERAL
    if not port.isdecimal() or not 0 < int(port) < 2**16:
        end(f"PORT: found '{port}', expected a whole number from 1 to 65535")
    if environment.get('NODE_RANK', '0') == '0':
        try:
            with socket.socket() as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(('', int(port)))  # nosec B104 # where torchrun listens
        except OSError as error:
            way = 'leave PORT out, and a free one is chosen' if is_alone else 'give another one on all machines'
            end(f'PORT: found {port}, on which this machine cannot listen ({error.strerror}); {way}')
    return port


def main() -> None:
    """Start the processes, and wait for their end."""
    tool, count, *words = sys.argv[1:]
    environment = os.environ
    environment['CSSA_PARENT'] = str(os.getpid())  # the processes end with this one, however that ends
    options = [
        f'--nnodes={environment.get("NNODES", "1")}',
        f'--node_rank={environment.get("NODE_RANK", "0")}',
        f'--master_addr={environment.get("MASTER_ADDR", "127.0.0.1")}',
        f'--master_port={port_of(environment)}',
        f'--max_restarts={environment.get("MAX_RESTARTS", "0")}',
        f'--nproc_per_node={count}',
    ]
    # What it logs of an end is told below; the processes have the level of the user. Some loggers read the variable.
    logging.getLogger('torch.distributed.elastic').setLevel(logging.CRITICAL)
    level = environment.get('LOGLEVEL')
    environment['LOGLEVEL'] = 'CRITICAL'
    from torch.distributed import DistError
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    environment.pop('LOGLEVEL')
    if level is not None:
        environment['LOGLEVEL'] = level
    try:
        run(parse_args([*options, str(Path(__file__).with_name(tool)), *words, '--launcher', 'pytorch']))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        code = failure.exitcode
        if code == REFUSED:
            sys.exit(code)
        how = f'was ended by {signal.Signals(-code).name}' if code < 0 else f'ended with status {code}'
        stopped = '; the others were stopped' if int(count) > 1 else ''
        end(f'process {rank} of the training or test {how}{stopped}', 128 - code if code < 0 else code)
    except SignalException as error:
        sys.exit(128 + error.sigval)  # the processes have told what they did
    except DistError as error:
        end(f'the machines did not meet: {str(error).splitlines()[0]}; check NNODES, NODE_RANK, MASTER_ADDR and PORT')


if __name__ == '__main__':
    main()

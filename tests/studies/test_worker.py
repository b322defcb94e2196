"""How the processes of a study share the machine."""

import multiprocessing

from cssa_mm.studies.worker import start_worker


def test_workers_take_the_gpus_in_turn(monkeypatch):
    chosen = []
    monkeypatch.setattr('torch.cuda.is_available', lambda: True)
    monkeypatch.setattr('torch.cuda.device_count', lambda: 2)
    monkeypatch.setattr('torch.cuda.set_device', chosen.append)
    started = multiprocessing.Value('i', 0)
    for _ in range(5):
        start_worker(started)
    assert chosen == [0, 1, 0, 1, 0]

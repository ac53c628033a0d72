"""Worker processes do their work, and end with the process that they work for."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from lib.processes import worker_pool

PARENT = """
import time
from lib.processes import worker_pool
if __name__ == "__main__":
    pool = worker_pool(2)
    futures = [pool.submit(time.sleep, seconds) for seconds in (0, 0, 600, 600, 600)]
    [future.result() for future in futures[:2]]
    print("begun", flush=True)
    time.sleep(600)
"""


def test_pool_returns_results_in_order():
    with worker_pool(2) as pool:
        assert list(pool.map(abs, [-1, -2, -3])) == [1, 2, 3]


def test_workers_see_the_variables_of_now_not_of_the_first_pool(monkeypatch):
    for value in ("first", "second"):
        monkeypatch.setenv("STUDY_ROOT", value)
        with worker_pool(1, "lib.exceptions") as pool:
            assert pool.submit(os.getenv, "STUDY_ROOT").result() == value


def test_workers_of_a_killed_process_end(tmp_path):
    (tmp_path / "parent.py").write_text(PARENT)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    parent = subprocess.Popen([sys.executable, tmp_path / "parent.py"], env=environment, stdout=subprocess.PIPE)
    assert parent.stdout.readline() == b"begun\n"
    workers = psutil.Process(parent.pid).children(recursive=True)
    assert len(workers) >= 2
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    deadline = time.monotonic() + 60
    while (running := [worker for worker in workers if worker.is_running() and worker.status() != "zombie"]) and (
        time.monotonic() < deadline
    ):
        time.sleep(0.1)
    assert not running


STARTER = """
import os, subprocess, sys, time
child = "import os, sys, time; from lib.processes import end_with_parent; end_with_parent(int(sys.argv[1])); "
child += "print('begun', flush=True); time.sleep(600)"
subprocess.run([sys.executable, "-c", child, sys.argv[1].replace("mine", str(os.getpid()))])
"""


@pytest.mark.parametrize("parent", ["mine", "999999999"])
def test_a_process_ends_with_the_one_that_started_it_even_if_that_ended_first(parent):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", STARTER, parent]
    starter = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    if parent == "mine":
        assert starter.stdout.readline() == b"begun\n"
        (child,) = psutil.Process(starter.pid).children()
        starter.kill()
        assert psutil.wait_procs([child], timeout=60)[1] == []
    assert starter.wait(timeout=60) is not None
    starter.stdout.close()

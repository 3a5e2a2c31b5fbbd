"""Signals that arrive where they should, and sockets in deep folders."""

from __future__ import annotations

import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from clockmill.host import processes, sockets

WAKE = """
import os, select, signal
from clockmill.host import processes
wake = processes.wake_on_signals(signal.SIGUSR1)
os.kill(os.getpid(), signal.SIGUSR1)
print(select.select([wake], [], [], 30)[0] == [wake], os.read(wake, 8) == bytes([signal.SIGUSR1]))
"""


@pytest.mark.parametrize("leads_a_group", [True, False])
def test_a_process_is_signalled_whether_or_not_it_leads_a_group(leads_a_group: bool) -> None:
    child = subprocess.Popen(["sleep", "60"], start_new_session=leads_a_group)
    processes.signal_group(child.pid, signal.SIGKILL)
    assert child.wait(30) == -signal.SIGKILL


def test_a_process_that_is_gone_is_passed_over() -> None:
    child = subprocess.Popen(["true"])
    child.wait(30)
    processes.signal_group(child.pid, signal.SIGKILL)
    processes.kill(child.pid)
    assert processes.watch_end(child.pid) is None


def test_a_signal_wakes_who_waits_for_the_pipe() -> None:
    done = subprocess.run([sys.executable, "-c", WAKE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]


def test_a_socket_in_a_deep_folder_is_bound_and_found(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 50)
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as caller:
        with sockets.short_path(folder / "x.sock") as name:
            listener.bind(name)
        listener.listen()
        with sockets.short_path(folder / "x.sock") as name:
            caller.connect(name)
        assert select.select([listener], [], [], 30)[0] == [listener]
    assert (folder / "x.sock").is_socket()

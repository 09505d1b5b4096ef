"""Children: started in sessions of their own, watched through /proc, accounted for by the kernel, and gone when the suite ends, however it ends."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

_running = set()
_USER_HZ = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """A child did not do what it was started for."""


class Child:
    """A program under test. Its stdout and stderr go to files."""

    def __init__(self, argv, logs, env=None):
        self.name = Path(argv[0]).name
        self.stdout, self.stderr = Path(logs) / "stdout", Path(logs) / "stderr"
        with open(self.stdout, "wb") as out, open(self.stderr, "wb") as err:
            environment = {**os.environ, **(env or {})}
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment, start_new_session=True)
        self.pid = self._process.pid
        self.usage = None
        self.rss_kb = 0
        _running.add(self)

    def wait_listening(self, port, seconds=20):
        until = time.monotonic() + seconds
        while port not in listening_ports():
            if self.has_ended() or until < time.monotonic():
                raise Failed(f"{self.name} does not listen: {tail(self.stderr)}")
            time.sleep(0.02)

    def has_ended(self):
        """Whether it has; then `usage` is what it and the children it waited for used."""
        if self.usage is None:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self._process.returncode = os.waitstatus_to_exitcode(status)
                self.usage = usage
                _running.discard(self)
        return self.usage is not None

    @property
    def exit_code(self):
        return self._process.returncode

    def cpu_s(self):
        """CPU time of all its threads so far. None once it has ended."""
        try:
            return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{self.pid}/task").iterdir()) / 1e9
        except (OSError, IndexError):
            return None

    def note_memory(self):
        """Remembers its peak resident set so far."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                self.rss_kb = max(self.rss_kb, int(line.split()[1]))

    def settle(self, seconds=60, quiet_s=0.4, busy_share=0.1):
        """Waits until it has ended, or used less than a tenth of a core for a while. Returns when it was last busy, by the monotonic clock."""
        begun = last_busy = sampled = time.monotonic()
        before = self.cpu_s()
        while not self.has_ended():
            self.note_memory()
            time.sleep(0.02)
            now, cpu = time.monotonic(), self.cpu_s()
            if now - sampled < 0.04 or cpu is None or before is None:
                continue
            if busy_share * (now - sampled) < cpu - before:
                last_busy = now
            sampled, before = now, cpu
            if quiet_s < now - last_busy:
                return last_busy
            if begun + seconds < now:
                raise Failed(f"{self.name} is still busy {seconds} s after the last line")
        return end_of_work(last_busy, time.monotonic())

    def stop(self, ask=True, seconds=60):
        """Asks it to end, unless it does so by itself, and waits. Returns its CPU time in seconds."""
        self.note_memory()
        if ask and not self.has_ended():
            os.kill(self.pid, signal.SIGTERM)
        until = time.monotonic() + seconds
        while not self.has_ended():
            if until < time.monotonic():
                self.kill()
                raise Failed(f"{self.name} did not end within {seconds} s")
            time.sleep(0.005)
        return self.usage.ru_utime + self.usage.ru_stime

    def kill(self):
        if not self.has_ended():
            os.killpg(self.pid, signal.SIGKILL)
            _, status, self.usage = os.wait4(self.pid, 0)
            self._process.returncode = os.waitstatus_to_exitcode(status)
            _running.discard(self)


def end_of_work(last_busy, ended, glance_s=0.1):
    """When a process that ended had done its work: at its end, or, if it only waited before that, when it was last busy."""
    return ended if ended - last_busy < glance_s else last_busy


def kill_all():
    for child in list(_running):
        child.kill()


def tail(path, bytes_max=400):
    try:
        return Path(path).read_bytes()[-bytes_max:].decode(errors="replace").strip()
    except OSError:
        return ""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listening_ports():
    """Ports of IPv4 sockets in the state LISTEN (0A), from /proc/net/tcp."""
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return {int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A"}

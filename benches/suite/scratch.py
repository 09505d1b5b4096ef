"""Fresh directories for runs.

Creating files right after others were deleted is slow on ext4 without a journal, which skips the inodes of the last seconds; and a sync writes what another run left
in the page cache. So a directory stays until several gigabytes have come together; then all go, and the disk is left alone for a while. Those on tmpfs go at once.
"""

import os
import shutil
import tempfile
import time
from pathlib import Path

KEPT_BYTES_MAX = 6_000_000_000
REST_S = 5


class Scratch:
    def __init__(self, disk, memory="/dev/shm"):
        Path(disk).mkdir(parents=True, exist_ok=True)
        self._disk = Path(tempfile.mkdtemp(prefix="run-", dir=disk))
        self._memory = Path(tempfile.mkdtemp(prefix="logboom-bench-", dir=memory))
        self._count = 0

    def fresh(self, tmpfs=False):
        self._count += 1
        path = (self._memory if tmpfs else self._disk) / f"{self._count:03}"
        path.mkdir()
        return path

    def done(self, path):
        """The run in `path` is over."""
        if path.is_relative_to(self._memory):
            shutil.rmtree(path)
            return
        os.sync()
        if KEPT_BYTES_MAX < bytes_below(self._disk):
            for old in self._disk.iterdir():
                shutil.rmtree(old)
            os.sync()
            time.sleep(REST_S)

    def remove(self):
        shutil.rmtree(self._disk, ignore_errors=True)
        shutil.rmtree(self._memory, ignore_errors=True)


def bytes_below(path):
    return sum(entry.stat().st_size for entry in path.rglob("*") if entry.is_file())

"""What figures depend on: the machine, the kernel, the commit."""

import os
import platform
import re
import subprocess
from datetime import datetime, timezone
from pathlib import Path


def about(root, scratch_path, quick, seconds):
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "kernel": platform.release(),
        "disk": file_system(scratch_path),
        "commit": commit(root),
        "quick": quick,
        "seconds": seconds,
    }


def cpu():
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found.group(1).strip() if found else platform.machine()


def file_system(path):
    """The type of the file system that holds `path`, from the longest mount point above it."""
    mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    path = str(Path(path).resolve())
    above = [(len(point), kind) for _, point, kind, *_ in mounts if path == point or path.startswith(point.rstrip("/") + "/")]
    return max(above)[1] if above else "unknown"


def commit(root):
    def git(*args):
        return subprocess.run(["git", *args], cwd=root, capture_output=True, text=True, check=False).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", ":!benches/results", ":!docs")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (" with changes" if changed else "")


def slug(about):
    """Names the machine in a file name."""
    return re.sub(r"[^a-z0-9]+", "-", about["cpu"].lower()).strip("-") + f"-{about['cores']}c"

"""What the parts of the work cost alone, in one process each: benches/lower_bounds.rs. Their sum is what no pipeline can go below."""

import json
import subprocess
import time

from . import processes

LINES = 1_000_000
PARTS = ("discard", "validate", "write", "gzip", "zstd")
#: Which parts a daemon with this compression can't do without. Raw files are written, and with compression read again; that reading is left out.
NEEDED = {"none": ("discard", "validate", "write"), "gzip": ("discard", "validate", "write", "gzip"), "zstd": ("discard", "validate", "write", "zstd")}


def measure(tools, scratch, seconds, rounds):
    """By part: CPU microseconds per line of about 259 bytes, each round's; and the ratios of the compressors."""
    directory = scratch.fresh(tmpfs=True)
    lines = directory / "lines.jsonl"
    run([tools["loadgen"], "run", "--target", f"file:{lines}", "--clients", "2", "--interval", "0", "--count", str(LINES), "--seed", "1"])
    parts = {part: {"cpu_us": [], "ratio": None} for part in PARTS}
    for _ in range(rounds):
        for part in PARTS:
            told, count = discard(tools, directory, seconds) if part == "discard" else alone(part, tools, lines, scratch)
            parts[part]["cpu_us"].append(told["cpu_s"] / count * 1e6)
            if part in ("gzip", "zstd"):
                parts[part]["ratio"] = told["bytes"] / told["out_bytes"]
    scratch.done(directory)
    return parts


def alone(part, tools, lines, scratch):
    argv = [tools["lower_bounds"], part, str(lines)]
    if part != "write":
        told = run(argv)
    else:
        directory = scratch.fresh()
        told = run([*argv, str(directory)])
        scratch.done(directory)
    return told, told["lines"]


def discard(tools, directory, seconds):
    port = processes.free_port()
    child = processes.Child([tools["lower_bounds"], "discard", str(port)], directory)
    try:
        child.wait_listening(port)
        argv = [tools["loadgen"], "run", "--target", f"tcp://127.0.0.1:{port}", "--clients", "2", "--interval", "0", "--report", "json"]
        sent = run([*argv, "--duration", f"{round(seconds * 1000)}ms"])
        until = time.monotonic() + 20
        while not child.has_ended():
            if until < time.monotonic():
                raise processes.Failed("discard does not end")
            time.sleep(0.02)
        return json.loads(child.stdout.read_text().splitlines()[-1]), sent["lines"]
    finally:
        child.kill()


def run(argv):
    """Runs it to its end. What its last line, or all of its output, says as JSON; None if it is none."""
    output = subprocess.run(argv, capture_output=True, timeout=120, check=True).stdout.decode().strip()
    for text in (output, output.rsplit("\n", 1)[-1]):
        try:
            return json.loads(text)
        except ValueError:
            continue
    return None


def total(parts, compression):
    """The sum of the medians of the parts that are needed, in microseconds per line."""
    return sum(middle(parts[part]["cpu_us"]) for part in NEEDED[compression])


def middle(values):
    return sorted(values)[len(values) // 2]

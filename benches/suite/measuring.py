"""One run: start a program, load it, wait until it has nothing left to do, stop it, look for every line."""

import json
import re
import subprocess
import time
import urllib.request

from . import metrics, processes, scenarios, systems
from .scratch import bytes_below

#: With two connections, every second run of the bare shape is uneven.
TRIES = 6
LOADGEN_LATE = 3  # its exit code for INVALID
FILL_FACTOR = 1.5  # a directory that is full has this much more than a run can bring
SPARE_BYTES = 40_000_000  # and room for some segments, before the first archive is deleted


def measure(scenario, system, tools, scratch, seconds, rate_max):
    """A run's figures. One whose generator was late, or whose connections all fell to one shard of the bare shape, is repeated."""
    for _ in range(TRIES):
        run = measure_once(scenario, system, tools, scratch, seconds, rate_max)
        if run["status"] not in ("INVALID: the generator was late", "uneven shards"):
            break
    return run


def measure_once(scenario, system, tools, scratch, seconds, rate_max):
    directory = scratch.fresh(scenario.tmpfs)
    data = directory / "data"
    data.mkdir()
    port, http = processes.free_port(), processes.free_port()
    start = systems.start(system, scenario.load, tools, data, port, http)
    if scenario.expires:
        start.argv.extend(["--retain-size", str(fill(tools, directory, data, seconds * scenario.seconds_factor * FILL_FACTOR) + SPARE_BYTES)])
    run = {"scenario": scenario.name, "system": system.title, "compression": system.compression, "durability": start.durability, "status": "good"}
    pin = ["taskset", "-c", "0"] if scenario.pinned else []
    child = processes.Child(pin + start.argv, directory, start.env)
    try:
        child.wait_listening(port)
        watchers = watch(tools, directory, http) if system.in_use else []
        try:
            sent, code = load(scenario, tools, directory, port, seconds, rate_max)
            ended = time.monotonic()
        finally:
            for watcher in watchers:
                watcher.kill()
        if sent is None or code not in (0, LOADGEN_LATE):
            raise processes.Failed(f"the sender failed: {processes.tail(directory / 'loadgen.err')}")
        if code == LOADGEN_LATE:
            run["status"] = "INVALID: the generator was late"
        done_s = sent["seconds"] + max(0.0, child.settle() - ended)
        stats = statistics_of(start.http) if start.http else None
        if scenario.expires and not metrics.totals(start.http, {"expired": "logboom_retention_deleted_segments_total"})["expired"]:
            raise processes.Failed("no archive was deleted")
        cpu_s = child.stop(ask=not start.ends_itself)
        if system.name.startswith("bare shape") and re.search(r"\[0,|, 0\]", processes.tail(child.stdout)):
            run["status"] = "uneven shards"
            return run
        run.update(figures(sent, done_s, cpu_s, child.rss_kb, stats))
        run["ratio"] = None if scenario.expires else ratio(data, stats["ledger"]["written_bytes"] if stats else sent["bytes"])
        run.update(verify(tools, data, directory))
    except processes.Failed as failure:
        run["status"] = str(failure)
    finally:
        child.kill()
        scratch.done(directory)
    return run


def fill(tools, directory, data, seconds):
    """Has a daemon store lines of another seed, flat out. How many bytes they take."""
    port, http, logs = processes.free_port(), processes.free_port(), make(directory / "fill")
    daemon = processes.Child(systems.logboom(scenarios.LOGBOOM["gzip"], scenarios.Load(), tools, data, port, http).argv, logs)
    try:
        daemon.wait_listening(port)
        argv = [tools["loadgen"], "run", "--target", f"tcp://127.0.0.1:{port}", "--clients", "64", "--interval", "0", "--seed", "2", "--duration", f"{round(seconds * 1000)}ms"]
        subprocess.run(argv, check=True, capture_output=True, timeout=seconds + 120)
        daemon.settle()
        daemon.stop()
    finally:
        daemon.kill()
    return bytes_below(data)


def load(scenario, tools, directory, port, seconds, rate_max):
    """Runs loadgen. Its report, and its exit code."""
    of = scenario.load
    argv = [tools["loadgen"], "run", "--target", f"{'relp' if of.relp else 'tcp'}://127.0.0.1:{port}", "--clients", str(of.clients), "--format", of.format]
    argv += ["--duration", f"{round(seconds * scenario.seconds_factor * 1000)}ms", "--manifest", str(directory / "manifest.json"), "--report", "json"]
    if of.share:
        argv += ["--rate", str(max(1, round(rate_max * of.share)))]
    elif of.paced:
        argv += ["--batch", "100", "--interval", "1000"]
    else:
        argv += ["--interval", "0"]
    argv += ["--line-bytes", str(of.line_bytes)] if of.line_bytes else []
    argv += ["--syslog"] if of.syslog else []
    argv += ["--window", str(of.window)] if of.window else []
    argv += ["--cores", "1"] if scenario.pinned else []
    sender = processes.Child(argv, make(directory / "sender"))
    until = time.monotonic() + seconds * scenario.seconds_factor + 120
    try:
        while not sender.has_ended():
            if until < time.monotonic():
                raise processes.Failed("the target does not confirm")
            time.sleep(0.005)
    finally:
        sender.kill()
    (directory / "loadgen.err").write_bytes(sender.stderr.read_bytes())
    text = sender.stdout.read_text()
    return (json.loads(text) if text else None), sender.exit_code


def watch(tools, directory, http):
    """What people have open: the dashboard's numbers, a live tail, and searches of what is stored, one after the other."""
    api = f"http://127.0.0.1:{http}/api"
    again = f"while :; do curl -s '{api}/search?query=level%3E%3Dwarn+retrying&limit=1000' '{api}/search?query=checkout&by=1s'; done"
    commands = {
        "dashboard": ["curl", "-sN", f"{api}/live"],
        "tail": [tools["logboom"], "tail", "--http", f"127.0.0.1:{http}", "--format", "raw"],
        "searches": ["bash", "-c", again],
    }
    return [processes.Child(argv, make(directory / name)) for name, argv in commands.items()]


def make(path):
    path.mkdir()
    return path


def statistics_of(http):
    with urllib.request.urlopen(f"http://127.0.0.1:{http}/api/stats", timeout=10) as answer:
        return json.load(answer)


def figures(sent, done_s, cpu_s, rss_kb, stats):
    """Rates to the last confirmation and to the end of all work, CPU and memory of the whole process, latencies where the program tells them."""
    lines = sent["confirmed"]
    latency = (stats or {}).get("latency_received_to_written_ms", {})
    return {
        "lines": lines,
        "line_bytes": sent["line_bytes_mean"],
        "rate": lines / sent["seconds"],
        "rate_done": lines / done_s,
        "mb_per_s": lines / done_s * sent["line_bytes_mean"] / 1e6,
        "cpu_us": cpu_s / max(1, lines) * 1e6,
        "rss_mb": rss_kb * 1024 / 1e6,
        "p50_ms": latency.get("p50"),
        "p99_ms": latency.get("p99"),
        "p999_ms": latency.get("p99.9"),
        "max_ms": latency.get("max"),
    }


def ratio(data, written_bytes):
    """Raw bytes to compressed ones, of what is compressed; None where nothing is."""
    archived = sum(path.stat().st_size for path in data.iterdir() if path.suffix in (".gz", ".zst"))
    raw_left = sum(path.stat().st_size for path in data.glob("*.jsonl"))
    return (written_bytes - raw_left) / archived if archived else None


def verify(tools, data, directory, stream="logs"):
    """Counts by content: every line that was sent is made again and looked for."""
    argv = [tools["loadgen"], "verify", "--data-dir", str(data), "--stream", stream, "--manifest", str(directory / "manifest.json"), "--report", "json"]
    answer = subprocess.run(argv, capture_output=True, timeout=300, check=False)
    if not answer.stdout:
        raise processes.Failed(f"not verified: {answer.stderr.decode(errors='replace').strip()[-200:]}")
    verdict = json.loads(answer.stdout)
    return {
        "lost": verdict["missing"],
        "altered": verdict["altered"],
        "duplicate": verdict["duplicate"] - verdict["duplicate_explained"],
        "reordered": verdict["reordered"],
        "damaged_files": verdict["damaged"],
    }

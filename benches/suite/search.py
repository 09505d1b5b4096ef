"""Search over 2 GB of raw lines in archives of 5 MB segments, each time by a fresh process, beside what one would type without it.

The daemon writes the archives under full load, and has a moment then to index what load left out. All is in the page cache.
"""

import json
import os
import re
import shutil
import subprocess
import time
from statistics import median

from . import metrics, processes

LINES = 8_000_000
ROUNDS = 3
RARE = "quince7731"
COMMON = "timestamp"


def measure(codec, tools, scratch, rounds, say):
    """Seconds by what was run, and what it was run on."""
    directory = scratch.fresh()
    data = directory / "data"
    about = fill(codec, tools, directory, data)
    say(f"search: {codec}: {about['raw_bytes'] / 1e9:.2f} GB of raw lines, {about['archives']} archives")
    runs = {name: [] for name in commands(codec, tools, data)}
    read = None
    for _ in range(rounds):
        for name, argv in commands(codec, tools, data).items():
            seconds, said = timed(argv, {"LOGBOOM_LOG": "debug"} if name == BY_LEVEL else {})
            runs[name].append(seconds)
            if name == BY_LEVEL:
                read = int(re.search(r"(\d+) of them read", said).group(1))
    for name, seconds in runs.items():
        say(f"search: {codec}: {name}: {median(seconds) * 1000:.0f} ms")
    scratch.done(directory)
    return {"codec": codec, **about, "seconds": runs, "blocks_read_by_level": read}


def fill(codec, tools, directory, data):
    """Lets a daemon store the lines, one of which has the rare word."""
    port, http = processes.free_port(), processes.free_port()
    argv = [tools["logboom"], "serve", "--listen", f"127.0.0.1:{port}", "--http", f"127.0.0.1:{http}", "--data-dir", str(data), "--compression", codec]
    child = processes.Child(argv, directory)
    try:
        child.wait_listening(port)
        for seed in ("1", "2"):
            sent = [tools["loadgen"], "run", "--target", f"tcp://127.0.0.1:{port}", "--clients", "2", "--interval", "0", "--count", str(LINES // 2), "--seed", seed]
            subprocess.run(sent, check=True, capture_output=True, timeout=300)
            if seed == "1":
                send(port, {"level": "ERROR", "service": "billing", "message": f"ledger mismatch for {RARE} after retry"})
        store = wait_until_indexed(http)
        child.stop()
    finally:
        child.kill()
    archives = [path for path in data.iterdir() if path.suffix in (".gz", ".zst")]
    tables = sum(path.stat().st_size for path in data.glob("*.meta"))
    stored = sum(path.stat().st_size for path in archives)
    raw, lines = store["archived_raw_bytes"], LINES + 1
    return {
        "lines": lines, "line_bytes": store["written_bytes"] / lines, "archives": len(archives), "raw_bytes": raw, "archive_bytes": stored, "table_bytes": tables,
        "filter_cpu_s": store["index_cpu_s"], "compress_cpu_s": store["compress_cpu_s"], "filter_late_cpu_s": store["index_late_cpu_s"],
        "blocks_left": store["blocks_unindexed"], "blocks_late": store["blocks_indexed_late"],
    }  # fmt: skip


def send(port, record):
    with processes.socket.create_connection(("127.0.0.1", port)) as stream:
        stream.sendall((json.dumps(record) + "\n").encode())


def wait_until_indexed(http, seconds=60):
    """The store's numbers, once every block that load left without a filter has been looked at: their number does not change any more."""
    until, before = time.monotonic() + seconds, None
    while time.monotonic() < until:
        time.sleep(1)
        numbers = store_numbers(http)
        if numbers == before:
            break
        before = numbers
    return numbers


def store_numbers(http):
    return metrics.totals(http, {
        "archived_raw_bytes": "logboom_archived_raw_bytes_total", "written_bytes": "logboom_written_bytes_total", "index_cpu_s": "logboom_index_cpu_seconds_total",
        "compress_cpu_s": "logboom_compress_cpu_seconds_total", "index_late_cpu_s": "logboom_index_late_cpu_seconds_total",
        "blocks_unindexed": "logboom_blocks_unindexed_total", "blocks_indexed_late": "logboom_blocks_indexed_late_total",
    })  # fmt: skip


DECODE = "decoding alone"
FIND = "search: a word of one line"
COUNT = "search --count: a word of every line"
PRINT = "search: the same, printed in the order of time"
BY_LEVEL = "search --by level --since 24h"


def commands(codec, tools, data):
    """What is run, by name. Decoding has as many threads as a search."""
    search = [tools["logboom"], "search", "--data-dir", str(data)]
    cat = "zcat" if codec == "gzip" else "zstdcat"
    files = f"{data}/logs_*{'.gz' if codec == 'gzip' else '.zst'}"
    there = {
        DECODE: [tools["lower_bounds"], "decode", str(data), str(len(os.sched_getaffinity(0)))],
        FIND: [*search, RARE],
        COUNT: [*search, "--count", COMMON],
        PRINT: [*search, COMMON],
        BY_LEVEL: [*search, "--by", "level", "--since", "24h"],
        f"{cat} | grep": ["bash", "-c", f"{cat} {files} | grep {RARE}"],
    }
    if shutil.which("rg"):
        there["rg -z"] = ["bash", "-c", f"rg -z --no-filename {RARE} {files}"]
    return there


def timed(argv, env):
    """Seconds until it has ended well, and its stderr."""
    begun = time.monotonic()
    done = subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, **env}, timeout=300, check=False)
    seconds = time.monotonic() - begun
    if done.returncode != 0:
        raise processes.Failed(f"{argv}: {done.stderr.decode(errors='replace')[-400:]}")
    return seconds, done.stderr.decode(errors="replace")


def lines(results):
    """A table for each codec."""
    out = []
    for of in results:
        raw, stored = of["raw_bytes"], of["archive_bytes"]
        out += [
            f"**Search, {of['codec']}** (`search`): {raw / 1e9:.2f} GB of raw lines of {of['line_bytes']:.0f} bytes in {of['archives']} archives of {stored / 1e6:.0f} MB, ratio "
            f"{raw / stored:.2f}; block tables with filters {of['table_bytes'] / 1e6:.1f} MB, {100 * of['table_bytes'] / stored:.1f} % of the archives. Fresh processes, page cache warm.",
            "",
            "| run | ms | times decoding |",
            "| --- | --- | --- |",
        ]
        decode = median(of["seconds"][DECODE])
        for name, seconds in of["seconds"].items():
            ms = [1000 * value for value in (median(seconds), min(seconds), max(seconds))]
            shown = name.replace("|", "\\|")
            out.append(f"| {shown} | {ms[0]:.0f} ({ms[1]:.0f}–{ms[2]:.0f}) | {median(seconds) / decode:.2f} |")
        spent = of["compress_cpu_s"] - of["filter_cpu_s"]
        out += [
            "",
            f"`--by level` read {of['blocks_read_by_level']} blocks. While the load lasted, filters took {of['filter_cpu_s']:.2f} s of CPU and compression {spent:.2f} s; "
            f"it left {of['blocks_left']:.0f} blocks without one, {of['blocks_late']:.0f} of which got theirs in the {of['filter_late_cpu_s']:.2f} s of CPU after it.",
            "",
        ]
    return out

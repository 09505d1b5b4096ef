"""The collector reading a file that is there: `logboom collect --once` from its start to its exit, and rsyslog's imfile until it has nothing left to do.

The file is JSON lines that loadgen wrote, and is in the page cache. Every line of it is looked for in what each run stored.
"""

import json
import os
import shutil
import subprocess
import time

from . import figures, measuring, processes, systems

NAME = "collector"
ROUNDS = 3
SECONDS_MAX = 300
#: Of 259 bytes each: 1 GB, and with --quick a fifth of it.
LINES = {"full": 3_860_000, "quick": 772_000}


def measure(tools, scratch, rounds, size, say, not_run):
    """A scenario's results, like those of the others."""
    members = {"logboom collect, gzip": logboom("gzip"), "logboom collect, none": logboom("none")}
    if shutil.which("rsyslogd"):
        members["rsyslog imfile, none"] = rsyslog
    else:
        not_run.append(f"rsyslog imfile in {NAME}: not run: rsyslog is not installed")
    runs = []
    for turn in range(rounds):
        directory = scratch.fresh()
        sent = write(tools, directory, LINES[size])
        for title, start in members.items():
            if start is rsyslog and 0 < turn:
                continue  # it takes a minute
            run = {"scenario": NAME, "system": title, "round": turn + 1, "status": "good", **read(start, tools, scratch, directory, sent)}
            runs.append(run)
            told = f"{run['rate'] / 1e6:.3f} M logs/s, {run['cpu_us']:.2f} µs, {run['lost']} lost, {run['altered']} altered" if "lost" in run else ""
            say(f"{NAME} {turn + 1}/{rounds} {title}: {'' if run['status'] == 'good' else run['status'] + ' '}{told}")
        scratch.done(directory)
    load = {"lines": LINES[size], "bytes": sent["bytes"]}
    return {"name": NAME, "title": f"The collector reads a file of {sent['bytes'] / 1e9:.1f} GB", "load": load, "rate_offered": None, "rows": figures.by_system(runs), "runs": runs}


def write(tools, directory, lines):
    """loadgen's report of a file that it writes."""
    argv = [tools["loadgen"], "run", "--target", f"file:{directory / 'app.log'}", "--interval", "0", "--count", str(lines), "--seed", "1"]
    argv += ["--manifest", str(directory / "manifest.json"), "--report", "json"]
    sent = json.loads(subprocess.run(argv, capture_output=True, check=True, timeout=300).stdout)
    os.sync()
    return sent


def read(start, tools, scratch, source, sent):
    """The figures of one run that reads the file of `source`, or why there are none."""
    directory = scratch.fresh()
    data = measuring.make(directory / "data")
    argv, stream, durability, ends_itself = start(tools, source / "app.log", data)
    begun = time.monotonic()
    child = processes.Child(argv, directory)
    try:
        seconds = child.settle(SECONDS_MAX) - begun
        cpu_s = child.stop(ask=not ends_itself)
        if child.exit_code != 0:
            raise processes.Failed(f"it ended with {child.exit_code}: {processes.tail(child.stderr)}")
        of = measuring.figures({**sent, "seconds": seconds}, seconds, cpu_s, max(child.rss_kb, child.usage.ru_maxrss), None)
        run = {"durability": durability, **of, "ratio": measuring.ratio(data, sent["bytes"]), **measuring.verify(tools, data, source, stream)}
    except processes.Failed as failure:
        run = {"durability": durability, "status": str(failure)}
    finally:
        child.kill()
        os.sync()  # what one run left is not written back during the next
    return run


def logboom(codec):
    def start(tools, file, data):
        argv = [tools["logboom"], "collect", "--once", "--watch", str(file), "--output-dir", str(data), "--compression", codec]
        return argv, "collected", "all durable at its end", True

    return start


def rsyslog(_tools, file, data):
    conf = systems.configure("rsyslog-imfile.conf", data, {"WATCH": file, "DIR": data, "FILE": "logs.jsonl"})
    return ["rsyslogd", "-n", "-f", str(conf), "-i", str(data / "pid")], "logs", systems.UNSYNCED, False

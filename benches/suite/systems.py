"""How each program under test is started, so that all do the same work: JSON parsed, each line written as it came, to files that `loadgen verify` reads."""

import shutil
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / "benches" / "peers"
SYSLOG_NG = ROOT / "target" / "peers" / "syslog-ng"
UNSYNCED = "nothing synced"


@dataclass(frozen=True)
class Start:
    argv: list
    env: dict
    durability: str
    http: int | None = None
    ends_itself: bool = False


def missing(system):
    """Why a program can't run here; None if it can."""
    if system.name == "rsyslog" and not shutil.which("rsyslogd"):
        return "not run: rsyslog is not installed"
    if system.name == "syslog-ng" and not (SYSLOG_NG / "usr/sbin/syslog-ng").exists():
        return "not run: syslog-ng is not installed"
    return None


def start(system, load, tools, directory, port, http):
    """What to run for `system`: it listens on `port` and writes below `directory`."""
    if system.name == "logboom":
        return logboom(system, load, tools, directory, port, http)
    if system.name.startswith("bare shape"):
        tool = tools["bare_epoll" if "epoll" in system.name else "bare_shape"]
        return Start([tool, str(port), system.compression, str(directory)], {}, UNSYNCED, ends_itself=True)
    if system.name.startswith("plain threads"):
        message = system.name.rsplit(" ", 1)[1]
        return Start([tools["plain_threads"], str(port), system.engine or system.compression, str(directory), message], {}, UNSYNCED, ends_itself=True)
    if system.name == "rsyslog":
        return rsyslog(system, directory, port)
    if system.name == "syslog-ng":
        return syslog_ng(load, directory, port)
    raise ValueError(system.name)


def logboom(system, load, tools, directory, port, http):
    scheme = "relp" if load.relp else "tcp"
    argv = [tools["logboom"], "serve", "--listen", f"{scheme}://127.0.0.1:{port}", "--http", f"127.0.0.1:{http}", "--data-dir", str(directory)]
    argv += ["--compression", system.compression, *system.flags]
    durability = "synced by archive or each second"
    if load.relp:
        durability = "answered when " + system.flags[system.flags.index("--ack") + 1]
    return Start(argv, {}, durability, http)


def rsyslog(system, directory, port):
    zipped = system.compression == "gzip"
    values = {
        "PORT": port,
        "DIR": directory,
        "FILE": archive_name() if zipped else "logs.jsonl",
        "WORKERS": 1 if "one worker" in system.label else 4,
        "BUFFER": 'ioBufferSize="128k" zipLevel="1"' if zipped else 'ioBufferSize="64k"',
    }
    conf = configure("rsyslog.conf", directory, values)
    return Start(["rsyslogd", "-n", "-f", str(conf), "-i", str(directory / "pid")], {}, UNSYNCED)


def syslog_ng(load, directory, port):
    fetch = 1000 if load.clients <= 64 else 100
    window = load.clients * fetch
    values = {"PORT": port, "DIR": directory, "FILE": "logs.jsonl", "CONNECTIONS": load.clients, "FETCH": fetch, "WINDOW": window, "FIFO": max(100_000, 2 * window)}
    conf = configure("syslog-ng.conf", directory, values)
    lib = SYSLOG_NG / "usr" / "lib" / "syslog-ng"
    modules = next(path for path in lib.iterdir() if path.is_dir())
    argv = [str(SYSLOG_NG / "usr/sbin/syslog-ng"), "--no-caps", "-F", "-f", str(conf), "-R", str(directory / "persist"), "-p", str(directory / "pid")]
    argv += ["-c", str(directory / "control"), f"--module-path={modules}"]
    return Start(argv, {"LD_LIBRARY_PATH": str(lib)}, UNSYNCED)


def archive_name():
    """A name that `loadgen verify` takes for an archive's."""
    return "logs_20260101_000000_000001.jsonl.gz"


def configure(name, directory, values):
    text = (PEERS / name).read_text()
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    conf = directory / name
    conf.write_text(text)
    return conf

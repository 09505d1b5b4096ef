"""What is compared with what. Data only."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class System:
    """A program under test, and how it is set."""

    name: str
    compression: str = "none"
    flags: tuple = ()
    label: str = ""
    engine: str = ""  # what compresses, if it is not what the daemon has
    in_use: bool = False  # a dashboard is open, a live tail runs, and searches one after the other

    @property
    def title(self):
        return self.label or f"{self.name}, {self.compression}"


@dataclass(frozen=True)
class Load:
    """What loadgen sends. `share` is a part of the maximum rate, in an open loop; `rate` and `paced` set the rate otherwise; flat out without any."""

    clients: int = 2
    line_bytes: int | None = None
    format: str = "json"
    syslog: bool = False
    relp: bool = False
    window: int | None = None
    share: float | None = None
    paced: bool = False


@dataclass(frozen=True)
class Scenario:
    name: str
    title: str
    load: Load
    systems: tuple
    tmpfs: bool = False
    pinned: bool = False  # the program on core 0, the sender on core 1
    expires: bool = False  # older archives are there, and are deleted while new ones come
    seconds_factor: float = 1.0
    rounds: int = 3  # of a full run
    quick: tuple = ()  # the systems of a quick run
    quick_rounds: int = 1
    notes: str = field(default="", compare=False)


LOGBOOM = {codec: System("logboom", codec) for codec in ("none", "gzip", "zstd")}
BARE = {codec: System("bare shape", codec) for codec in ("none", "gzip", "zstd")}
BARE_EPOLL = System("bare shape by epoll", "gzip")
PLAIN_LINE = System("plain threads by line", "gzip")
PLAIN_READ = System("plain threads by read", "gzip")
PLAIN_FLATE2 = System("plain threads by line", "gzip", label="plain threads by line, gzip level 6 of flate2", engine="flate2")
RSYSLOG = {codec: System("rsyslog", codec) for codec in ("none", "gzip")}
RSYSLOG_ONE_WORKER = System("rsyslog", "none", label="rsyslog, none, one worker")
SYSLOG_NG = System("syslog-ng", "none")

OURS = tuple(LOGBOOM.values())
PEERS = (RSYSLOG["none"], SYSLOG_NG)
EVERYONE = OURS + tuple(BARE.values()) + (BARE_EPOLL, PLAIN_FLATE2, PLAIN_LINE, PLAIN_READ) + tuple(RSYSLOG.values()) + (RSYSLOG_ONE_WORKER, SYSLOG_NG)
QUICK = OURS + (BARE["gzip"], PLAIN_READ, RSYSLOG["none"], SYSLOG_NG)
MAIN = OURS + (BARE["none"], BARE["gzip"], BARE_EPOLL, PLAIN_READ, RSYSLOG["none"], SYSLOG_NG)

TEN_TAGS = tuple(
    flag
    for name, regex in (
        ("auth", "service:auth"), ("pay", "service:pay.*"), ("slow", "message:slow"), ("failed", "level:ERROR"), ("retry", "message:retr"),
        ("cart", "service:cart"), ("get", "request:^GET"), ("post", "request:^POST"), ("node", "message:node-0[0-9]"), ("user", "user_id:u-1[0-9]*$"),
    )
    for flag in ("--tag", f"{name}={regex}")
)
FILTERED = System("logboom", "gzip", ("--filter", "level=DEBUG|INFO|WARN|ERROR"), "logboom, gzip, one filter that keeps all")
TAGGED = System("logboom", "gzip", TEN_TAGS, "logboom, gzip, ten tags")


CSV = System("logboom", "gzip", ("--format", "csv"), "logboom, gzip, --format csv")
ONE_SHARD = System("logboom", "gzip", ("--shards", "1"), "logboom, gzip, one shard")
TWO_SHARDS = System("logboom", "gzip", ("--shards", "2"), "logboom, gzip, two shards")
IN_USE = System("logboom", "gzip", (), "logboom, gzip, dashboard, tail and searches", in_use=True)


def acknowledging(ack):
    return System("logboom", "gzip", ("--ack", ack), f"logboom, gzip, --ack {ack}")


def latency_at(percent):
    return Scenario(
        f"latency-{percent}",
        f"Latency at {percent} % of the maximum rate, open loop, 64 connections" + (", while older archives are deleted" if percent == 90 else ""),
        Load(clients=64, share=percent / 100),
        (LOGBOOM["gzip"],),
        expires=percent == 90,
        seconds_factor=2.0,
        quick=(LOGBOOM["gzip"],) if percent == 50 else (),
    )


SCENARIOS = (
    Scenario("connections-2", "JSON, 2 connections", Load(2), EVERYONE, quick=QUICK, quick_rounds=3),
    Scenario("connections-64", "JSON, 64 connections", Load(64), MAIN, quick=(LOGBOOM["gzip"], LOGBOOM["none"])),
    Scenario("connections-1", "JSON, 1 connection", Load(1), OURS + PEERS, rounds=2),
    Scenario("connections-1000", "JSON, 1,000 connections", Load(1000), OURS + PEERS, rounds=2),
    Scenario("lines-100", "JSON lines of 100 bytes, 2 connections", Load(2, line_bytes=100), OURS, rounds=2),
    Scenario("lines-1000", "JSON lines of 1,000 bytes, 2 connections", Load(2, line_bytes=1000), OURS, rounds=2),
    Scenario("clients-500", "500 clients, each 100 lines every second", Load(500, paced=True), (LOGBOOM["gzip"],) + PEERS, quick=(LOGBOOM["gzip"],), rounds=2, seconds_factor=1.5),
    Scenario("relp-2", "RELP, 2 connections, window 1,024", Load(2, relp=True, window=1024), (acknowledging("written"), acknowledging("synced")), rounds=2),
    Scenario("relp-64", "RELP, 64 connections, window 128", Load(64, relp=True), (acknowledging("written"), acknowledging("synced")), quick=(acknowledging("synced"),)),
    latency_at(10),
    latency_at(50),
    latency_at(90),
    Scenario("one-core", "One core: the program on one, the sender on the other", Load(2), (LOGBOOM["gzip"], LOGBOOM["none"], PLAIN_READ) + PEERS, pinned=True, rounds=2),
    Scenario("shards", "One shard against two at 40 % of the maximum rate, 64 connections: what is shared would show as CPU", Load(64, share=0.4), (ONE_SHARD, TWO_SHARDS)),
    Scenario("text", "Text lines, 2 connections", Load(2, format="text"), (LOGBOOM["gzip"],)),
    Scenario("syslog", "The same lines as RFC 5424 messages, 2 connections", Load(2, format="text", syslog=True), (LOGBOOM["gzip"],)),
    Scenario("csv", "The same lines as CSV, 2 connections", Load(2, format="csv"), (CSV,)),
    Scenario("rules", "One filter, ten tags, 2 connections", Load(2), (LOGBOOM["gzip"], FILTERED, TAGGED), rounds=2),
    Scenario("tmpfs", "JSON, 2 connections, the data directory on tmpfs", Load(2), (LOGBOOM["none"], BARE["none"], LOGBOOM["gzip"], BARE["gzip"]), tmpfs=True, rounds=2),
    Scenario("in-use", "Dashboard open, a live tail, and searches one after the other, 2 connections", Load(2), (LOGBOOM["gzip"], IN_USE), seconds_factor=2.0),
)


def chosen(only):
    """Scenarios whose name begins with one of `only`, or all."""
    found = [scenario for scenario in SCENARIOS if not only or any(scenario.name.startswith(prefix) for prefix in only)]
    for prefix in only:
        if not any(scenario.name.startswith(prefix) for scenario in SCENARIOS) and prefix not in ("bounds", "search", "collector"):
            raise ValueError(f"no scenario is called {prefix}; there are bounds, search, collector, " + ", ".join(scenario.name for scenario in SCENARIOS))
    return found

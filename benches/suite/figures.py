"""Medians and spreads. Pure."""

from statistics import median


def summary(values):
    """Median, least and greatest of the values that are there; None without any."""
    there = [value for value in values if value is not None]
    if not there:
        return None
    return {"median": median(there), "min": min(there), "max": max(there)}


def total(values):
    """The sum of the values that are there; None without any."""
    there = [value for value in values if value is not None]
    return sum(there) if there else None


MEASURED = ("rate", "rate_done", "mb_per_s", "cpu_us", "rss_mb", "ratio", "p50_ms", "p99_ms", "p999_ms", "max_ms", "line_bytes")
COUNTED = ("lost", "altered", "duplicate", "reordered")


def by_system(runs):
    """Runs of one scenario to one row per system, in the order in which the systems first ran. Medians are those of good runs; what is lost counts in all."""
    rows = {}
    for run in runs:
        rows.setdefault(run["system"], []).append(run)
    return [row(system, of) for system, of in rows.items()]


def row(system, runs):
    good = [run for run in runs if run["status"] == "good"]
    figures = {name: summary([run.get(name) for run in good]) for name in MEASURED}
    counts = {name: total([run.get(name) for run in runs]) for name in COUNTED}
    troubles = sorted({run["status"] for run in runs if run["status"] != "good"})
    return {"system": system, "durability": runs[0].get("durability", ""), "runs": len(good), "troubles": troubles, **figures, **counts}

"""The command: builds, measures in turns, writes the results. `./scripts/bench --help`."""

import argparse
import json
import resource
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path

from . import bounds, build, collector, figures, machine, measuring, processes, report, scenarios, scratch, search, systems

ROOT = systems.ROOT
SECONDS = {"quick": 1.0, "full": 1.5}
BOUNDS_ROUNDS = 3


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measures logboom and its peers, in turns, and counts every line.")
    parser.add_argument("--quick", action="store_true", help="the main scenarios, under 3 minutes; all take under 20")
    parser.add_argument("--only", nargs="+", default=[], metavar="SCENARIO", help="only scenarios whose name begins so; bounds measures the parts alone, search the searches, collector the reading of a file")
    parser.add_argument("--rounds", type=int, help="runs of each system in each scenario [default: 3 or 2; --quick: 3 of the first, 1 of others]")
    parser.add_argument("--seconds", type=float, help=f"how long each run is loaded [default: {SECONDS['full']}; --quick: {SECONDS['quick']}]")
    parser.add_argument("--dir", default=str(ROOT / "target" / "bench"), help="where the programs write, on the disk that is to be measured [default: target/bench]")
    parser.add_argument("--results", help="where the results go [default: benches/results, and the tables also into docs/PERFORMANCE.md]")
    parser.add_argument("--list", action="store_true", help="show the scenarios and end")
    return parser.parse_args()


def main():
    args = arguments()
    try:
        chosen = scenarios.chosen(args.only)
    except ValueError as error:
        sys.exit(f"bench: {error}")
    if args.list:
        return print("\n".join(f"{scenario.name:<18} {scenario.title}" for scenario in chosen))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    tools = build.build(ROOT)
    seconds = args.seconds or SECONDS["quick" if args.quick else "full"]
    about = machine.about(ROOT, Path(args.dir).parent, args.quick, seconds)
    begun = time.monotonic()
    place = scratch.Scratch(args.dir)
    try:
        results = {"about": about, **measure(args, chosen, tools, place, seconds)}
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        processes.kill_all()
        place.remove()
    say(f"measured in {time.monotonic() - begun:.0f} s")
    write(args, results)


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def measure(args, chosen, tools, place, seconds):
    results = {"scenarios": [], "not_run": []}
    rate_max = None
    for scenario in chosen:
        members = scenario.systems if not args.quick or args.only else scenario.quick
        if not members:
            continue
        if scenario.load.share and rate_max is None:
            rate_max = find_rate_max(tools, place, seconds)
        rounds = args.rounds or (scenario.quick_rounds if args.quick else scenario.rounds)
        runs = in_turns(scenario, members, rounds, tools, place, seconds, rate_max, results["not_run"])
        rows = figures.by_system(runs)
        of_ours = next((row["rate_done"] for row in rows if row["system"] == "logboom, gzip"), None)
        if scenario.name == "connections-64" and of_ours:
            rate_max = of_ours["median"]
        offered = rate_max * scenario.load.share if scenario.load.share else None
        results["scenarios"].append({"name": scenario.name, "title": scenario.title, "load": asdict(scenario.load), "rate_offered": offered, "rows": rows, "runs": runs})
    if collector.NAME in args.only or not (args.only or args.quick):
        size = "quick" if args.quick else "full"
        results["scenarios"].append(collector.measure(tools, place, args.rounds or collector.ROUNDS, size, say, results["not_run"]))
    if not args.only or "bounds" in args.only:
        say("the parts alone")
        results["bounds"] = bounds.measure(tools, place, seconds, BOUNDS_ROUNDS)
    if "search" in args.only or not (args.only or args.quick):
        results["search"] = [search.measure(codec, tools, place, args.rounds or search.ROUNDS, say) for codec in ("gzip", "zstd")]
    return results


def in_turns(scenario, members, rounds, tools, place, seconds, rate_max, not_run):
    """Each system once, then each once more: what slows the machine for a while slows all."""
    runs = []
    for system in members:
        why = systems.missing(system)
        if why:
            not_run.append(f"{system.title} in {scenario.name}: {why}")
    members = [system for system in members if not systems.missing(system)]
    for turn in range(rounds):
        for system in members:
            run = measuring.measure(scenario, system, tools, place, seconds, rate_max)
            runs.append({**run, "round": turn + 1})
            told = f"{run['rate'] / 1e6:.3f} M logs/s, {run['cpu_us']:.2f} µs, {run['lost']} lost, {run['altered']} altered" if "lost" in run else ""
            say(f"{scenario.name} {turn + 1}/{rounds} {system.title}: {'' if run['status'] == 'good' else run['status'] + ' '}{told}")
    return runs


def find_rate_max(tools, place, seconds):
    """The maximum for open loops, where the scenario that finds it was not chosen."""
    scenario = next(scenario for scenario in scenarios.SCENARIOS if scenario.name == "connections-64")
    run = measuring.measure(scenario, scenarios.LOGBOOM["gzip"], tools, place, seconds, None)
    if "rate_done" not in run:
        sys.exit(f"bench: the maximum rate could not be found: {run['status']}")
    say(f"the maximum is {run['rate_done'] / 1e6:.2f} M logs/s")
    return run["rate_done"]


def write(args, results):
    text = report.markdown(results)
    kind = "only" if args.only else "quick" if args.quick else "full"
    name = f"{results['about']['date'][:10]}-{machine.slug(results['about'])}-{kind}"
    folder = Path(args.results or ROOT / "benches" / "results")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / f"{name}.md").write_text(text)
    print(text)
    say(f"wrote {folder / name}.json and .md")
    if not args.only and not args.results:
        page = ROOT / "docs" / "PERFORMANCE.md"
        page.write_text(report.between_markers(page.read_text(), text))
        say(f"wrote the tables in {page}")


main()

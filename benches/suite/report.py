"""What was measured, as Markdown. Pure."""

from . import bounds, search

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
DASH = "–"

HEAD = (
    "| system | logs/s | logs/s, all work done | MB/s | CPU µs per log | peak RSS, MB | ratio | p50 | p99 | p99.9 | max, ms | lost | altered | durability | runs |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


def markdown(results):
    """The whole report."""
    about = results["about"]
    lines = [
        f"{about['date']}, {about['cpu']}, {about['cores']} cores, {about['memory_gb']} GB, Linux {about['kernel']}, data on {about['disk']}, commit {about['commit']}, "
        f"{'a quick run' if about['quick'] else 'a full run'}: {about['seconds']} s of load per run; medians, in brackets the least and the greatest. "
        "Sender and program share the machine. Latencies are received->written, in ms.",
        "",
    ]
    for scenario in results["scenarios"]:
        lines += [f"**{scenario['title']}** (`{scenario['name']}`)" + sizes(scenario) + offered(scenario), "", HEAD]
        lines += [table_row(row) for row in scenario["rows"]]
        lines += loss(scenario["rows"])
        lines.append("")
    if results.get("bounds"):
        lines += bounds_lines(results)
    if results.get("search"):
        lines += search.lines(results["search"])
    if results.get("not_run"):
        lines += ["Not run: " + "; ".join(results["not_run"]) + ".", ""]
    return "\n".join(lines)


def loss(rows):
    """How much slower the second of two rows of one program is."""
    rates = [row["rate"]["median"] for row in rows if row["rate"]]
    if len(rows) != 2 or len(rates) != 2 or not rows[1]["system"].startswith(rows[0]["system"]):
        return []
    return ["", f"Loss: {100 * (1 - rates[1] / rates[0]):.1f} % of logs/s."]


def sizes(scenario):
    """Bytes per line, newline included, as they were sent."""
    bytes_ = next((row["line_bytes"]["median"] for row in scenario["rows"] if row["line_bytes"]), None)
    return f", {bytes_:.0f} bytes per line" if bytes_ else ""


def offered(scenario):
    return f", {scenario['rate_offered']:,.0f} logs/s offered" if scenario.get("rate_offered") else ""


def table_row(row):
    if not row["runs"]:
        return f"| {row['system']} | {'; '.join(row['troubles'])} |" + " |" * 13
    trouble = f" ({'; '.join(row['troubles'])})" if row["troubles"] else ""
    cells = [
        row["system"] + trouble,
        spread(row["rate"], million),
        spread(row["rate_done"], million),
        spread(row["mb_per_s"], "{:.0f}".format, with_range=False),
        spread(row["cpu_us"], "{:.2f}".format),
        spread(row["rss_mb"], "{:.0f}".format, with_range=False),
        spread(row["ratio"], "{:.2f}".format, with_range=False),
        *(spread(row[name], "{:.2f}".format, with_range=False) for name in ("p50_ms", "p99_ms", "p999_ms", "max_ms")),
        count(row["lost"]),
        count(row["altered"]),
        row["durability"],
        str(row["runs"]),
    ]
    return "| " + " | ".join(cells) + " |"


def million(rate):
    return f"{rate / 1e6:.2f} M" if 100_000 <= rate else f"{rate:,.0f}"


def spread(figure, text, with_range=True):
    if figure is None:
        return DASH
    if not with_range or text(figure["min"]) == text(figure["max"]):
        return text(figure["median"])
    return f"{text(figure['median'])} ({text(figure['min'])}{DASH}{text(figure['max'])})"


def count(number):
    return DASH if number is None else f"{number:,}"


def bounds_lines(results):
    parts = results["bounds"]
    lines = ["**What the parts cost alone** (`bounds`), CPU µs per line of 259 bytes", "", "| part | CPU µs per log | ratio |", "| --- | --- | --- |"]
    for part, measured in parts.items():
        ratio = f"{measured['ratio']:.2f}" if measured["ratio"] else DASH
        lines.append(f"| {part} | {bounds.middle(measured['cpu_us']):.3f} | {ratio} |")
    lines.append("")
    rows = {row["system"]: row for scenario in results["scenarios"] if scenario["name"] == "connections-2" for row in scenario["rows"]}
    compared = [(name, codec) for name in ("logboom", "bare shape") for codec in bounds.NEEDED if (rows.get(f"{name}, {codec}") or {}).get("cpu_us")]
    if compared:
        lines += ["Against the sum of the parts that the work can't do without, with 2 connections:", "", "| system | CPU µs per log | sum of the parts | times |", "| --- | --- | --- | --- |"]
    for name, codec in compared:
        cpu, least = rows[f"{name}, {codec}"]["cpu_us"]["median"], bounds.total(parts, codec)
        lines.append(f"| {name}, {codec} | {cpu:.2f} | {' + '.join(bounds.NEEDED[codec])} = {least:.2f} | {cpu / least:.2f} |")
    return [*lines, ""]


def between_markers(document, text):
    """The document with `text` between its markers."""
    before, rest = document.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    return f"{before}{BEGIN}\n\n{text.strip()}\n\n{END}{after}"

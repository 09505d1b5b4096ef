"""The pure parts. `python3 -m unittest` in benches/ runs them."""

import unittest
from pathlib import Path
from tempfile import TemporaryDirectory

from . import bounds, build, figures, measuring, processes, report, scenarios, search, systems


def run(system="a", status="good", **figures_):
    return {"system": system, "status": status, "durability": "none", **figures_}


class Figures(unittest.TestCase):
    def test_medians_are_of_good_runs_and_losses_of_all(self):
        runs = [run(rate=3.0, lost=0), run(rate=1.0, lost=2), run(rate=2.0, lost=0), run("b", rate=9.0), run(status="INVALID", rate=99.0, lost=5)]
        a, b = figures.by_system(runs)
        self.assertEqual(a["rate"], {"median": 2.0, "min": 1.0, "max": 3.0})
        self.assertEqual((a["runs"], a["lost"], a["troubles"]), (3, 7, ["INVALID"]))
        self.assertEqual((b["system"], b["rate"]["median"], b["lost"], b["ratio"]), ("b", 9.0, None, None))

    def test_without_a_good_run_there_is_no_figure(self):
        (row,) = figures.by_system([run(status="it crashed")])
        self.assertIsNone(row["rate"])
        self.assertIn("it crashed", report.table_row(row))

    def test_rates_count_from_the_first_send(self):
        sent = {"confirmed": 1000, "seconds": 2.0, "line_bytes_mean": 100.0}
        of = measuring.figures(sent, 4.0, 0.002, 1000, None)
        self.assertEqual((of["rate"], of["rate_done"], of["cpu_us"], of["mb_per_s"]), (500.0, 250.0, 2.0, 0.025))
        self.assertIsNone(of["p99_ms"])


class EndOfWork(unittest.TestCase):
    def test_waiting_before_the_end_is_no_work(self):
        self.assertEqual(processes.end_of_work(10.0, 10.05), 10.05)
        self.assertEqual(processes.end_of_work(10.0, 10.5), 10.0)


class Ratio(unittest.TestCase):
    def test_it_is_of_what_is_compressed(self):
        with TemporaryDirectory() as name:
            data = Path(name)
            (data / "logs.s00.jsonl").write_bytes(b"x" * 100)
            self.assertIsNone(measuring.ratio(data, 100))
            (data / "logs_20260101_000000_000001.jsonl.gz").write_bytes(b"x" * 50)
            self.assertEqual(measuring.ratio(data, 350), 5.0)


class Report(unittest.TestCase):
    def rows(self):
        figures_ = {"rate": 2.5e6, "rate_done": 2.4e6, "mb_per_s": 600.0, "cpu_us": 0.6, "rss_mb": 70.0, "ratio": 5.5, "lost": 0, "altered": 0}
        return figures.by_system([run("logboom, gzip", **figures_), run("logboom, gzip", **{**figures_, "rate": 2.7e6})])

    def test_a_row_has_a_cell_for_each_head(self):
        for line in (report.table_row(self.rows()[0]), report.table_row(figures.by_system([run(status="x")])[0])):
            self.assertEqual(line.count("|"), report.HEAD.splitlines()[0].count("|"), line)

    def test_spreads_are_shown_where_there_are_any(self):
        line = report.table_row(self.rows()[0])
        self.assertIn("2.60 M (2.50 M–2.70 M)", line)
        self.assertIn("| 0.60 |", line)

    def test_the_distance_to_the_sum_of_the_parts(self):
        parts = {part: {"cpu_us": [0.9, 0.1, 0.2], "ratio": None} for part in bounds.PARTS}
        self.assertAlmostEqual(bounds.total(parts, "gzip"), 0.8)
        about = dict.fromkeys(("date", "cpu", "cores", "memory_gb", "kernel", "disk", "commit", "quick", "seconds"), "x")
        results = {"about": about, "bounds": parts, "scenarios": [{"name": "connections-2", "title": "t", "rows": self.rows()}], "not_run": ["y: not installed"]}
        text = report.markdown(results)
        self.assertIn("= 0.80 | 0.75 |", text)
        self.assertIn("Not run: y: not installed.", text)

    def test_only_what_is_between_the_markers_changes(self):
        document = f"a\n{report.BEGIN}\nold\n{report.END}\nb\n"
        once = report.between_markers(document, "new")
        self.assertEqual(once, f"a\n{report.BEGIN}\n\nnew\n\n{report.END}\nb\n")
        self.assertEqual(report.between_markers(once, "new"), once)


class Search(unittest.TestCase):
    def test_rows_are_compared_with_decoding_and_pipes_do_not_cut_cells(self):
        about = {"codec": "gzip", "line_bytes": 260.0, "archives": 400, "raw_bytes": 2e9, "archive_bytes": 4e8, "table_bytes": 3e7, "blocks_read_by_level": 0}
        about |= {"filter_cpu_s": 1.0, "compress_cpu_s": 4.0, "filter_late_cpu_s": 0.5, "blocks_left": 12, "blocks_late": 10}
        text = "\n".join(search.lines([{**about, "seconds": {search.DECODE: [1.0, 3.0, 2.0], "zcat | grep": [8.0]}}]))
        self.assertIn("| zcat \\| grep | 8000 (8000–8000) | 4.00 |", text)
        self.assertIn("ratio 5.00", text)
        self.assertIn("filters took 1.00 s of CPU and compression 3.00 s; it left 12 blocks without one, 10 of which got theirs in the 0.50 s", text)

    def test_a_loss_is_of_the_same_program(self):
        rows = figures.by_system([run("logboom, gzip", rate=2e6), run("logboom, gzip, in use", rate=1.5e6)])
        self.assertEqual(report.loss(rows), ["", "Loss: 25.0 % of logs/s."])
        self.assertEqual(report.loss(figures.by_system([run("a", rate=2.0), run("b", rate=1.0)])), [])


class Scenarios(unittest.TestCase):
    def test_names_are_unique_and_systems_of_a_quick_run_are_in_the_full_one(self):
        names = [scenario.name for scenario in scenarios.SCENARIOS]
        self.assertEqual(len(names), len(set(names)))
        for scenario in scenarios.SCENARIOS:
            self.assertLessEqual(set(scenario.quick), set(scenario.systems), scenario.name)
            titles = [system.title for system in scenario.systems]
            self.assertEqual(len(titles), len(set(titles)), scenario.name)

    def test_a_wrong_name_is_refused(self):
        self.assertEqual([scenario.name for scenario in scenarios.chosen(["relp"])], ["relp-2", "relp-64"])
        self.assertEqual(scenarios.chosen(["bounds"]), [])
        with self.assertRaises(ValueError):
            scenarios.chosen(["relq"])


class Configurations(unittest.TestCase):
    def test_nothing_is_left_to_replace(self):
        with TemporaryDirectory() as name:
            for compression in ("none", "gzip"):
                systems.rsyslog(scenarios.System("rsyslog", compression), Path(name), 1)
                text = "".join(line for line in (Path(name) / "rsyslog.conf").read_text().splitlines() if not line.startswith("#"))
                self.assertNotIn("@", text)
                self.assertEqual("zipLevel" in text, compression == "gzip")

    def test_programs_are_found_in_what_cargo_says(self):
        lines = ['{"reason":"compiler-artifact","target":{"name":"loadgen"},"executable":"/t/loadgen"}', '{"target":{"name":"logboom"},"executable":null}']
        self.assertEqual(build.executables(lines), {"loadgen": "/t/loadgen"})

//! The numbers in Prometheus's text exposition format (version 0.0.4), named by its conventions.

use std::fmt::{Display, Write as _};

use crate::limits::SOURCES_IN_METRICS_MAX;
use crate::record::relp::RelpError;
use crate::record::{Level, RejectReason};
use crate::store::retention::Reason;

use super::Telemetry;
use super::counters::{Closed, Counter, Pause, ShardCounters};
use super::latency::Latencies;
use super::outputs::OutputStats;
use super::searches::SearchEnd;

/// What `Content-Type` says.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of the latency histogram's buckets, in seconds.
const LATENCY_BUCKETS: [f64; 15] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Renders everything.
pub fn render(telemetry: &Telemetry) -> String {
    let mut page = Page::default();
    page.family("logboom_build_info", "gauge", "The version that runs.");
    page.sample("logboom_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    page.family("logboom_uptime_seconds", "gauge", "Seconds since the start.");
    page.sample("logboom_uptime_seconds", &[], telemetry.uptime_seconds());
    page.family("logboom_ready", "gauge", "1 while lines are taken in.");
    page.sample("logboom_ready", &[], u8::from(telemetry.unready().is_none()));
    ledgers(&mut page, telemetry);
    connections(&mut page, telemetry);
    intake(&mut page, telemetry);
    pauses(&mut page, telemetry);
    services(&mut page, telemetry);
    sources(&mut page, telemetry);
    rules(&mut page, telemetry);
    latency(&mut page, telemetry);
    store(&mut page, telemetry);
    outputs(&mut page, telemetry);
    searches(&mut page, telemetry);
    tails(&mut page, telemetry);
    files(&mut page, telemetry);
    page.text
}

fn ledgers(page: &mut Page, telemetry: &Telemetry) {
    let ledgers: Vec<_> = telemetry.shards.iter().map(|shard| shard.counters.ledger()).collect();
    let mut per_shard = |name, help, value: fn(&super::Ledger) -> u64| {
        page.family(name, "counter", help);
        for (shard, ledger) in ledgers.iter().enumerate() {
            page.sample(name, &[("shard", &shard.to_string())], value(ledger));
        }
    };
    per_shard("logboom_records_received_total", "Lines whose fate is known: written, filtered or rejected.", |ledger| ledger.received);
    per_shard("logboom_records_written_total", "Records written to the logs stream.", |ledger| ledger.written);
    per_shard("logboom_records_filtered_total", "Lines that rules left out.", |ledger| ledger.filtered);
    per_shard("logboom_written_bytes_total", "Bytes written to the logs stream, newlines included.", |ledger| ledger.written_bytes);
    per_shard("logboom_rejected_bytes_total", "Bytes written to the rejected stream.", |ledger| ledger.rejected_bytes);
    page.family("logboom_records_rejected_total", "counter", "Lines that could not be accepted; the rejected stream has them.");
    for (shard, ledger) in ledgers.iter().enumerate() {
        for reason in RejectReason::ALL {
            page.sample(
                "logboom_records_rejected_total",
                &[("shard", &shard.to_string()), ("reason", reason.name())],
                ledger.rejected[reason as usize],
            );
        }
    }
    page.family("logboom_records_by_level_total", "counter", "Records written, by level.");
    let total = telemetry.ledger();
    for level in Level::ALL {
        page.sample("logboom_records_by_level_total", &[("level", level.name())], total.levels[level as usize]);
    }
}

fn connections(page: &mut Page, telemetry: &Telemetry) {
    per_shard(page, telemetry, "logboom_connections_open", "gauge", "Connections that are open.", ShardCounters::connections_open);
    per_shard(page, telemetry, "logboom_connections_opened_total", "counter", "Connections taken over.", |shard| {
        shard.connections_opened.get()
    });
    page.family("logboom_connections_closed_total", "counter", "Connections that ended, by reason.");
    for closed in Closed::ALL {
        let sum: u64 = telemetry.shards.iter().map(|shard| shard.counters.connections_closed[closed as usize].get()).sum();
        page.sample("logboom_connections_closed_total", &[("reason", closed.name())], sum);
    }
    page.family("logboom_connections_refused_total", "counter", "Connections refused, by reason.");
    let refused: u64 = telemetry.shards.iter().map(|shard| shard.counters.connections_refused.get()).sum();
    page.sample("logboom_connections_refused_total", &[("reason", "max_connections")], refused);
    let counts_wrong: u64 = telemetry.shards.iter().map(|shard| shard.counters.octet_counts_wrong.get()).sum();
    page.family(
        "logboom_octet_counts_wrong_total",
        "counter",
        "Octet counts before syslog messages that were wrong; their bytes are kept.",
    );
    page.sample("logboom_octet_counts_wrong_total", &[], counts_wrong);
    page.family("logboom_relp_errors_total", "counter", "What RELP peers did against the protocol, by reason.");
    for error in RelpError::ALL {
        let sum: u64 = telemetry.shards.iter().map(|shard| shard.counters.relp_errors[error as usize].get()).sum();
        page.sample("logboom_relp_errors_total", &[("reason", error.name())], sum);
    }
    let help = "RELP lines that a client sent again and that are stored already: acknowledged, and not received as lines.";
    per_shard(page, telemetry, "logboom_relp_resends_suppressed_total", "counter", help, |shard| shard.relp_resends_suppressed.get());
    let help = "RELP sessions that have ended, and of which it is not known yet what was not answered, or not safe.";
    per_shard(page, telemetry, "logboom_relp_settling", "gauge", help, |shard| shard.relp_settling.get());
    per_shard(page, telemetry, "logboom_accept_failures_total", "counter", "Accepts that failed.", |shard| shard.accepts_failed.get());
}

fn intake(page: &mut Page, telemetry: &Telemetry) {
    per_shard(page, telemetry, "logboom_records_in_flight", "gauge", "Lines taken in that are not written yet.", ShardCounters::in_flight);
    per_shard(page, telemetry, "logboom_received_bytes_total", "counter", "Bytes received from peers.", |shard| shard.received_bytes.get());
    per_shard(page, telemetry, "logboom_receives_total", "counter", "Receives from sockets.", |shard| shard.receives.get());
    per_shard(page, telemetry, "logboom_batches_total", "counter", "Batches written.", |shard| shard.batches.get());
    per_shard(page, telemetry, "logboom_segments_sealed_total", "counter", "Segments sealed.", |shard| shard.segments_sealed.get());
    per_shard(page, telemetry, "logboom_syncs_total", "counter", "Open segments synced.", |shard| shard.syncs.get());
}

fn files(page: &mut Page, telemetry: &Telemetry) {
    let files = &telemetry.files;
    for (name, kind, help, counter) in [
        ("logboom_files", "gauge", "Files that are followed.", &files.files),
        ("logboom_files_open", "gauge", "Descriptors of followed files.", &files.open),
        ("logboom_files_lag_bytes", "gauge", "Bytes of followed files that are not read yet.", &files.lag_bytes),
        ("logboom_files_rotated_total", "counter", "Followed files whose names were taken by others.", &files.rotated),
        ("logboom_files_truncated_total", "counter", "Followed files that were emptied, or written anew.", &files.truncated),
        ("logboom_files_errors_total", "counter", "Files that could not be opened, read or listed.", &files.errors),
        ("logboom_files_lost_bytes_total", "counter", "Bytes of files that were deleted before they were read.", &files.lost_bytes),
        ("logboom_files_refused_total", "counter", "Files beyond the most that are followed.", &files.refused),
    ] {
        page.family(name, kind, help);
        page.sample(name, &[], counter.get());
    }
    let help = "Records that began because the one before, to which their lines belong, was as long as a record may be.";
    per_shard(page, telemetry, "logboom_files_records_split_total", "counter", help, |shard| shard.records_split.get());
}

fn pauses(page: &mut Page, telemetry: &Telemetry) {
    let mut by_reason = |name, kind, help, value: &dyn Fn(&ShardCounters) -> &[Counter; Pause::ALL.len()], scale: f64| {
        page.family(name, kind, help);
        for pause in Pause::ALL {
            let sum: u64 = telemetry.shards.iter().map(|shard| value(&shard.counters)[pause as usize].get()).sum();
            page.sample(name, &[("reason", pause.name())], sum as f64 * scale);
        }
    };
    by_reason("logboom_pauses_total", "counter", "How often intake waited, by reason.", &|shard| &shard.pauses, 1.0);
    by_reason("logboom_paused_seconds_total", "counter", "How long intake waited, by reason.", &|shard| &shard.paused_ns, 1e-9);
    by_reason("logboom_pausing", "gauge", "Waits under way, by reason.", &|shard| &shard.pausing, 1.0);
}

fn services(page: &mut Page, telemetry: &Telemetry) {
    page.family("logboom_records_by_service_total", "counter", "Records by service; names beyond the limit together, with an empty label.");
    let (by_name, other) = telemetry.services.snapshot();
    for (name, count) in &by_name {
        page.sample("logboom_records_by_service_total", &[("service", name)], count);
    }
    page.sample("logboom_records_by_service_total", &[("service", "")], other);
}

fn sources(page: &mut Page, telemetry: &Telemetry) {
    let name = "logboom_lines_by_source_total";
    page.family(name, "counter", "Lines taken in, by peer or file: those with the most; all are in /api/stats.");
    for (source, lines) in telemetry.sources.largest(SOURCES_IN_METRICS_MAX).0 {
        page.sample(name, &[("source", &source)], lines);
    }
}

fn rules(page: &mut Page, telemetry: &Telemetry) {
    let name = "logboom_records_by_tag_total";
    page.family(name, "counter", "Records taken in, by tag.");
    for (tag, records) in telemetry.rules.tags() {
        page.sample(name, &[("tag", tag)], records);
    }
    let name = "logboom_lines_excluded_total";
    page.family(name, "counter", "Lines left out, by exclusion.");
    for (rule, lines) in telemetry.rules.excluded() {
        page.sample(name, &[("rule", rule)], lines);
    }
    page.family("logboom_lines_unmatched_total", "counter", "Lines left out because no filter matched.");
    page.sample("logboom_lines_unmatched_total", &[], telemetry.rules.unmatched());
}

fn outputs(page: &mut Page, telemetry: &Telemetry) {
    let mut family = |name, kind, help, value: fn(&OutputStats) -> f64| {
        page.family(name, kind, help);
        for output in telemetry.outputs() {
            page.sample(name, &[("output", output.name())], value(output));
        }
    };
    family("logboom_output_records_total", "counter", "Records that an output has stored.", |output| output.stored().0 as f64);
    family("logboom_output_bytes_total", "counter", "Their bytes in the store.", |output| output.stored().1 as f64);
    family("logboom_output_lag_bytes", "gauge", "Bytes on disk that an output has not read to their end.", |output| {
        output.lag_bytes() as f64
    });
    family("logboom_output_lag_seconds", "gauge", "How long an output has not had everything.", OutputStats::lag_seconds);
    family("logboom_output_up", "gauge", "0 while an output fails and tries again.", |output| {
        f64::from(u8::from(output.problem().is_none()))
    });
    family("logboom_output_failures_total", "counter", "Failures of an output.", |output| output.failures() as f64);
    family("logboom_output_lost_segments_total", "counter", "Segments deleted or damaged before an output had read them.", |output| {
        output.lost_segments() as f64
    });
}

fn latency(page: &mut Page, telemetry: &Telemetry) {
    let written = telemetry.latencies(|shard| &shard.received_to_written);
    let help = "From the receive that completed a line to the end of the write that stored it.";
    histogram(page, "logboom_received_to_written_seconds", help, &written);
    let synced = telemetry.latencies(|shard| &shard.received_to_synced);
    let help = "From the receive that completed a line to the end of the sync, of its segment or of its archive, that made it durable.";
    histogram(page, "logboom_received_to_synced_seconds", help, &synced);
}

fn histogram(page: &mut Page, name: &str, help: &str, latencies: &Latencies) {
    page.family(name, "histogram", help);
    for bound in LATENCY_BUCKETS {
        page.sample(&format!("{name}_bucket"), &[("le", &bound.to_string())], latencies.count_up_to((bound * 1e9) as u64));
    }
    page.sample(&format!("{name}_bucket"), &[("le", "+Inf")], latencies.count());
    page.sample(&format!("{name}_sum"), &[], latencies.sum_seconds());
    page.sample(&format!("{name}_count"), &[], latencies.count());
}

fn searches(page: &mut Page, telemetry: &Telemetry) {
    let searches = &telemetry.searches;
    page.family("logboom_searches_running", "gauge", "Searches over HTTP that run.");
    page.sample("logboom_searches_running", &[], searches.running());
    page.family("logboom_searches_refused_total", "counter", "Searches over HTTP that were told to come back later.");
    page.sample("logboom_searches_refused_total", &[], searches.refused());
    page.family("logboom_searches_total", "counter", "Searches over HTTP that ended, by how.");
    for end in SearchEnd::ALL {
        page.sample("logboom_searches_total", &[("end", end.name())], searches.ended(end));
    }
}

fn tails(page: &mut Page, telemetry: &Telemetry) {
    let tails = &telemetry.tails;
    page.family("logboom_tails_listening", "gauge", "Live tails over HTTP.");
    page.sample("logboom_tails_listening", &[], tails.listening());
    page.family("logboom_tails_refused_total", "counter", "Live tails over HTTP that were told to come back later.");
    page.sample("logboom_tails_refused_total", &[], tails.refused());
    page.family(
        "logboom_tails_missed_lines_total",
        "counter",
        "Matching lines that listeners were too slow for, and were told the number of.",
    );
    page.sample("logboom_tails_missed_lines_total", &[], tails.missed());
}

fn store(page: &mut Page, telemetry: &Telemetry) {
    let Some(store) = telemetry.store_numbers() else { return };
    let mut one = |name, kind, help, value: f64| {
        page.family(name, kind, help);
        page.sample(name, &[], value);
    };
    one("logboom_raw_segments_max", "gauge", "Raw segments allowed on disk.", store.permits as f64);
    one("logboom_raw_segments", "gauge", "Raw segments on disk.", store.permits_in_use as f64);
    one("logboom_compress_queue_segments", "gauge", "Sealed segments that wait for a compress thread.", store.pool.queued as f64);
    one("logboom_segments_archived_total", "counter", "Segments archived.", store.pool.archived as f64);
    one("logboom_archived_raw_bytes_total", "counter", "Their raw bytes.", store.pool.raw_bytes as f64);
    one("logboom_archived_bytes_total", "counter", "Their bytes on disk.", store.pool.archive_bytes as f64);
    one(
        "logboom_compress_cpu_seconds_total",
        "counter",
        "CPU time of compression, token filters included.",
        store.pool.compress_cpu_ns as f64 / 1e9,
    );
    one("logboom_index_cpu_seconds_total", "counter", "CPU time of token filters.", store.pool.index_cpu_ns as f64 / 1e9);
    one(
        "logboom_blocks_unindexed_total",
        "counter",
        "Blocks without a token filter at first, because filters had taken their share of the time.",
        store.pool.blocks_unindexed as f64,
    );
    one(
        "logboom_blocks_indexed_late_total",
        "counter",
        "Those of them that got one when there was nothing to compress.",
        store.pool.blocks_indexed_late as f64,
    );
    one(
        "logboom_index_late_cpu_seconds_total",
        "counter",
        "CPU time of that, which the others do not include.",
        store.pool.index_late_cpu_ns as f64 / 1e9,
    );
    one("logboom_compression_level", "gauge", "The compression level used last.", f64::from(store.pool.level));
    one("logboom_torn_bytes", "gauge", "Bytes of unfinished lines that recovery cut at this start.", store.torn_bytes as f64);
    if let Some(free_bytes) = store.free_bytes {
        one("logboom_disk_free_bytes", "gauge", "Free bytes on the file system of the data directory.", free_bytes as f64);
    }
    one("logboom_disk_min_free_bytes", "gauge", "Intake pauses when fewer bytes are free; 0 if it does not.", store.min_free_bytes as f64);
    one(
        "logboom_retention_failures_total",
        "counter",
        "Listings and deletions of retention that failed.",
        store.retention.failures() as f64,
    );
    one(
        "logboom_retention_held_bytes",
        "gauge",
        "Bytes that would be deleted if an output had read them.",
        store.retention.held().1 as f64,
    );
    let mut by_reason = |name, help, value: &dyn Fn(Reason) -> u64| {
        page.family(name, "counter", help);
        for reason in Reason::ALL {
            page.sample(name, &[("reason", reason.name())], value(reason));
        }
    };
    let retention = &store.retention;
    by_reason("logboom_retention_deleted_segments_total", "Segments deleted, by reason.", &|reason| retention.segments(reason));
    by_reason("logboom_retention_deleted_bytes_total", "Bytes deleted with them, by reason.", &|reason| retention.bytes(reason));
    page.family("logboom_disk_bytes", "gauge", "Bytes in the data directory, by state.");
    for (state, bytes) in store.disk.by_state() {
        page.sample("logboom_disk_bytes", &[("state", state)], bytes);
    }
}

fn per_shard(page: &mut Page, telemetry: &Telemetry, name: &str, kind: &str, help: &str, value: impl Fn(&ShardCounters) -> u64) {
    page.family(name, kind, help);
    for (id, shard) in telemetry.shards.iter().enumerate() {
        page.sample(name, &[("shard", &id.to_string())], value(&shard.counters));
    }
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n").expect("a string takes everything");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let open = if at == 0 { '{' } else { ',' };
            write!(self.text, "{open}{label}=\"{text}\"").expect("a string takes everything");
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        writeln!(self.text, " {value}").expect("a string takes everything");
    }
}

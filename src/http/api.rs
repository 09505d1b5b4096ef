//! What `/api/stats` says.

use serde_json::{Map, Value, json};

use crate::metrics::counters::{Closed, Counter, Ledger, Pause, ShardCounters};
use crate::metrics::latency::{Latencies, LatencySlot};
use crate::metrics::outputs::OutputStats;
use crate::metrics::searches::SearchEnd;
use crate::metrics::{ShardMetrics, Telemetry};
use crate::record::relp::RelpError;
use crate::record::{Level, RejectReason};
use crate::store::retention::Reason;

/// All numbers as one JSON object, with so many sources by name at most.
pub fn stats(telemetry: &Telemetry, sources_max: usize) -> Value {
    let counters: Vec<&ShardCounters> = telemetry.shards.iter().map(|shard| &shard.counters).collect();
    let total = telemetry.ledger();
    let (services, other_services) = telemetry.services.snapshot();
    let (sources, other_sources) = telemetry.sources.largest(sources_max);
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": telemetry.uptime_seconds(),
        "unready": telemetry.unready(),
        "ledger": ledger(&total),
        "levels": named(Level::ALL.map(|level| (level.name(), total.levels[level as usize]))),
        "services": services.iter().map(|(name, count)| (name.to_string(), json!(count))).collect::<Map<_, _>>(),
        "services_other": other_services,
        "sources": sources.into_iter().map(|(name, lines)| (name.into_string(), json!(lines))).collect::<Map<_, _>>(),
        "sources_other": other_sources,
        "tags": counts(telemetry.rules.tags()),
        "filtered": { "unmatched": telemetry.rules.unmatched(), "excluded": counts(telemetry.rules.excluded()) },
        "latency_received_to_written_ms": latency(&telemetry.latencies(|shard| &shard.received_to_written)),
        "latency_received_to_synced_ms": latency(&telemetry.latencies(|shard| &shard.received_to_synced)),
        "connections": connections(&counters),
        "pauses": pauses(&counters),
        "shards": telemetry.shards.iter().map(|shard| one_shard(shard)).collect::<Vec<_>>(),
        "store": store(telemetry),
        "outputs": telemetry.outputs().iter().map(|output| one_output(output)).collect::<Vec<_>>(),
        "files": files(telemetry, &counters),
        "tails": {
            "listening": telemetry.tails.listening(),
            "refused": telemetry.tails.refused(),
            "missed_lines": telemetry.tails.missed(),
        },
        "searches": {
            "running": telemetry.searches.running(),
            "refused": telemetry.searches.refused(),
            "ended": named(SearchEnd::ALL.map(|end| (end.name(), telemetry.searches.ended(end)))),
        },
    })
}

fn ledger(ledger: &Ledger) -> Value {
    let mut rejected = named(RejectReason::ALL.map(|reason| (reason.name(), ledger.rejected[reason as usize])));
    rejected.insert("total".to_owned(), json!(ledger.rejected_total()));
    json!({
        "received": ledger.received,
        "written": ledger.written,
        "filtered": ledger.filtered,
        "rejected": rejected,
        "written_bytes": ledger.written_bytes,
        "rejected_bytes": ledger.rejected_bytes,
    })
}

fn one_shard(shard: &ShardMetrics) -> Value {
    let counters = &shard.counters;
    let of = |slot: &LatencySlot| {
        let mut latencies = Latencies::default();
        latencies.add_total(slot);
        latency(&latencies)
    };
    json!({
        "ledger": ledger(&counters.ledger()),
        "in_flight": counters.in_flight(),
        "connections": connections(&[counters]),
        "pauses": pauses(&[counters]),
        "received_bytes": counters.received_bytes.get(),
        "receives": counters.receives.get(),
        "batches": counters.batches.get(),
        "segments_sealed": counters.segments_sealed.get(),
        "syncs": counters.syncs.get(),
        "latency_received_to_written_ms": of(&shard.received_to_written),
        "latency_received_to_synced_ms": of(&shard.received_to_synced),
    })
}

fn latency(latencies: &Latencies) -> Value {
    json!({
        "count": latencies.count(),
        "p50": latencies.quantile_ms(0.5),
        "p90": latencies.quantile_ms(0.9),
        "p99": latencies.quantile_ms(0.99),
        "p99.9": latencies.quantile_ms(0.999),
        "max": latencies.max_ms(),
    })
}

fn files(telemetry: &Telemetry, counters: &[&ShardCounters]) -> Map<String, Value> {
    let mut files = named(telemetry.files.named());
    files.insert("records_split".to_owned(), json!(counters.iter().map(|shard| shard.records_split.get()).sum::<u64>()));
    files
}

fn connections(counters: &[&ShardCounters]) -> Value {
    let sum = |value: &dyn Fn(&ShardCounters) -> u64| counters.iter().map(|shard| value(shard)).sum::<u64>();
    json!({
        "open": sum(&ShardCounters::connections_open),
        "opened": sum(&|shard| shard.connections_opened.get()),
        "closed": named(Closed::ALL.map(|closed| (closed.name(), sum(&|shard| shard.connections_closed[closed as usize].get())))),
        "refused": { "max_connections": sum(&|shard| shard.connections_refused.get()) },
        "octet_counts_wrong": sum(&|shard| shard.octet_counts_wrong.get()),
        "relp_errors": named(RelpError::ALL.map(|error| (error.name(), sum(&|shard| shard.relp_errors[error as usize].get())))),
        "relp_resends_suppressed": sum(&|shard| shard.relp_resends_suppressed.get()),
        "relp_settling": sum(&|shard| shard.relp_settling.get()),
        "accepts_failed": sum(&|shard| shard.accepts_failed.get()),
    })
}

fn pauses(counters: &[&ShardCounters]) -> Value {
    let one = |pause: Pause| {
        let sum = |value: fn(&ShardCounters) -> &[Counter; Pause::ALL.len()]| {
            counters.iter().map(|shard| value(shard)[pause as usize].get()).sum::<u64>()
        };
        let waits = json!({
            "count": sum(|shard| &shard.pauses),
            "seconds": sum(|shard| &shard.paused_ns) as f64 / 1e9,
            "now": sum(|shard| &shard.pausing),
        });
        (pause.name().to_owned(), waits)
    };
    Pause::ALL.into_iter().map(one).collect::<Map<_, _>>().into()
}

fn store(telemetry: &Telemetry) -> Value {
    let Some(store) = telemetry.store_numbers() else { return Value::Null };
    json!({
        "raw_segments": store.permits_in_use,
        "raw_segments_max": store.permits,
        "compress_queue": store.pool.queued,
        "archived_segments": store.pool.archived,
        "archived_raw_bytes": store.pool.raw_bytes,
        "archived_bytes": store.pool.archive_bytes,
        "compress_cpu_seconds": store.pool.compress_cpu_ns as f64 / 1e9,
        "index_cpu_seconds": store.pool.index_cpu_ns as f64 / 1e9,
        "blocks_unindexed": store.pool.blocks_unindexed,
        "blocks_indexed_late": store.pool.blocks_indexed_late,
        "compression_level": store.pool.level,
        "paused": store.pool.paused,
        "torn_bytes": store.torn_bytes,
        "disk_bytes": named(store.disk.by_state()),
        "disk_free_bytes": store.free_bytes,
        "disk_min_free_bytes": store.min_free_bytes,
        "retention": {
            "retain_bytes": store.retain.bytes_max,
            "retain_seconds": store.retain.age_max.map(|age| age.as_secs()),
            "deleted_segments": named(Reason::ALL.map(|reason| (reason.name(), store.retention.segments(reason)))),
            "deleted_bytes": named(Reason::ALL.map(|reason| (reason.name(), store.retention.bytes(reason)))),
            "failures": store.retention.failures(),
            "held_segments": store.retention.held().0,
            "held_bytes": store.retention.held().1,
        },
    })
}

fn one_output(output: &OutputStats) -> Value {
    let (records, bytes, commits) = output.stored();
    json!({
        "output": output.name(),
        "records": records,
        "bytes": bytes,
        "commits": commits,
        "lag_bytes": output.lag_bytes(),
        "lag_seconds": output.lag_seconds(),
        "problem": output.problem(),
        "failures": output.failures(),
        "lost_segments": output.lost_segments(),
    })
}

fn counts(pairs: Vec<(&str, u64)>) -> Map<String, Value> {
    pairs.into_iter().map(|(name, count)| (name.to_owned(), json!(count))).collect()
}

fn named<const N: usize>(pairs: [(&'static str, u64); N]) -> Map<String, Value> {
    pairs.into_iter().map(|(name, count)| (name.to_owned(), json!(count))).collect()
}

//! `/api/config`: the configuration as it was resolved, and what can be reached where.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::metrics::Telemetry;

/// One setting. None of them is a secret; one that is to be must be masked where this is made.
#[derive(Debug, Clone)]
pub struct Setting {
    /// `section.key`.
    pub key: String,
    /// As typed, or the default.
    pub value: String,
    /// `flag`, `file` or `default`.
    pub source: String,
}

/// What the daemon was told.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    /// The file that was read, if any.
    pub file: Option<String>,
    /// In the order of the reference.
    pub settings: Vec<Setting>,
}

/// What is served, and for whom.
pub(super) const ENDPOINTS: [(&str, &str); 11] = [
    ("/", "this dashboard"),
    ("/metrics", "Prometheus; a browser gets the dashboard"),
    ("/healthz", "the process lives"),
    ("/readyz", "lines are taken in, or why not"),
    ("/api/stats", "the ledger and all numbers as JSON"),
    ("/api/live", "the same every second, as server-sent events"),
    ("/api/search", "stored lines and their counts: ?query=timeout&since=1h"),
    ("/api/tail", "lines that match from now on, as server-sent events"),
    ("/api/segments", "the files that hold lines"),
    ("/api/segments/NAME", "one of them, as it is"),
    ("/api/config", "this configuration"),
];

/// The answer.
pub(super) fn config(shown: &Shown, http: SocketAddr, telemetry: &Arc<Telemetry>) -> Value {
    let setting = |setting: &Setting| json!({ "key": setting.key, "value": setting.value, "source": setting.source });
    let endpoint = |&(path, what): &(&str, &str)| json!({ "path": path, "what": what });
    let mut listening: Vec<Value> =
        telemetry.listening().iter().map(|(protocol, address)| json!({ "protocol": protocol.name(), "address": address })).collect();
    listening.push(json!({ "protocol": "http", "address": http }));
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "file": shown.file,
        "settings": shown.settings.iter().map(setting).collect::<Vec<_>>(),
        "listening": listening,
        "endpoints": ENDPOINTS.iter().map(endpoint).collect::<Vec<_>>(),
    })
}

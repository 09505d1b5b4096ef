//! `/metrics` read by a parser that is not ours, held to Prometheus' conventions (prometheus.io/docs/practices/naming, promtool's lint), and the Grafana dashboard
//! that asks for it.

use std::collections::{BTreeMap, BTreeSet};

use openmetrics_parser::prometheus::parse_prometheus;
use openmetrics_parser::{MetricFamily, PrometheusType, PrometheusValue};
use serde_json::Value;

use crate::harness::{TestDaemon, temp_dir};

type Family = MetricFamily<PrometheusType, PrometheusValue>;

/// Names end in these, or in what a number of things is called.
const UNITS: [&str; 3] = ["seconds", "bytes", "ratio"];
const NO_BASE_UNITS: [&str; 8] = ["_ms", "_us", "_ns", "_milliseconds", "_kb", "_mb", "_percent", "_minutes"];

/// The metrics of a daemon that has done a little of everything, and its text.
fn metrics() -> (BTreeMap<String, Family>, String) {
    let dir = temp_dir();
    let output = format!("csv:{}", dir.path().join("out.csv").display());
    let strange = r#"a"b\c"#;
    let flags = ["--rotate-size", "20kB", "--tag", "slow=message:slow", "--exclude", "level=DEBUG", "--output", &output];
    let daemon = TestDaemon::start(&dir.path().join("data"), &flags);
    let line = |n: usize| {
        let service = serde_json::to_string(if n.is_multiple_of(2) { "auth" } else { strange }).unwrap();
        format!("{{\"level\":\"{}\",\"service\":{service},\"message\":\"slow {n}\"}}\n", ["INFO", "DEBUG", "WARN"][n % 3])
    };
    daemon.send((0..2_000).map(line).collect::<String>().as_bytes());
    daemon.send(b"{broken\n");
    daemon.wait_for("an archive", |daemon| daemon.stats()["store"]["archived_segments"].as_u64() > Some(0));
    assert_eq!(daemon.get("/api/search?query=slow&limit=1").0, 200);
    daemon.wait_for("shards to publish", |daemon| daemon.get("/metrics").1.contains("service=\"auth\""));
    let text = daemon.get("/metrics").1;
    daemon.stop();
    let parsed = parse_prometheus(&text).unwrap_or_else(|error| panic!("{error:?}\n{text}"));
    let services = &parsed.families["logboom_records_by_service_total"];
    let names: Vec<String> =
        services.iter_samples().map(|sample| sample.get_labelset().unwrap().get_label_value("service").unwrap().to_owned()).collect();
    assert!(names.iter().any(|name| name == strange), "a label reads as it was: {names:?}");
    (parsed.families.into_iter().collect(), text)
}

fn assert_conventions(name: &str, family: &Family, text: &str) {
    assert!(
        name.starts_with("logboom_") && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
        "{name}"
    );
    assert!(family.help.len() > 5 && family.help.ends_with('.'), "{name}: help {:?}", family.help);
    assert_eq!(text.matches(&format!("# TYPE {name} ")).count(), 1, "{name}");
    assert_eq!(text.matches(&format!("# HELP {name} ")).count(), 1, "{name}");
    assert!(!NO_BASE_UNITS.iter().any(|unit| name.trim_end_matches("_total").ends_with(unit)), "{name} is in no base unit");
    let is_counter = matches!(family.family_type, PrometheusType::Counter);
    assert_eq!(is_counter, name.ends_with("_total"), "{name} is a {:?}", family.family_type);
    for reserved in ["_count", "_sum", "_bucket"] {
        assert!(!name.ends_with(reserved), "{name}");
    }
    if matches!(family.family_type, PrometheusType::Histogram) {
        assert!(UNITS.iter().any(|unit| name.ends_with(unit)), "{name} says no unit");
    }
    for label in family.get_label_names() {
        assert!(!name.contains(&format!("by_{label}_by")) && label != "le" && !label.starts_with("__"), "{name}: {label}");
    }
}

fn assert_histogram(name: &str, family: &Family) {
    assert!(family.iter_samples().count() > 0, "{name}");
    for sample in family.iter_samples() {
        let PrometheusValue::Histogram(histogram) = &sample.value else { panic!("{name}: {:?}", sample.value) };
        let bounds: Vec<f64> = histogram.buckets.iter().map(|bucket| bucket.upper_bound).collect();
        assert!(bounds.is_sorted_by(|a, b| a < b) && bounds.last() == Some(&f64::INFINITY), "{name}: {bounds:?}");
        let counts: Vec<f64> = histogram.buckets.iter().map(|bucket| bucket.count.as_f64()).collect();
        assert!(counts.is_sorted() && counts.last().copied() == histogram.count.map(|count| count as f64), "{name}: {counts:?}");
        assert!(histogram.sum.is_some_and(|sum| sum.as_f64() > 0.0) && counts.last() > Some(&0.0), "{name}");
    }
}

/// What `text` calls `logboom_…`.
fn names_in(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("logboom_") {
        let rest = &text[at..];
        found.insert(rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())].to_owned());
    }
    found
}

fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(key, value)| match value {
            Value::String(text) if key == "expr" || key == "query" => found.push(text.clone()),
            value => expressions(value, found),
        }),
        Value::Array(elements) => elements.iter().for_each(|element| expressions(element, found)),
        _ => {}
    }
}

#[test]
fn metrics_are_what_prometheus_expects_and_the_dashboard_asks_for() {
    let (families, text) = metrics();
    assert!(families.len() > 40, "{:?}", families.keys());
    for (name, family) in &families {
        assert_conventions(name, family, &text);
        if matches!(family.family_type, PrometheusType::Histogram) {
            assert_histogram(name, family);
        }
    }
    let histograms = families.values().filter(|family| matches!(family.family_type, PrometheusType::Histogram)).count();
    assert_eq!(histograms, 2, "received->written and received->synced");

    let dashboard: Value = serde_json::from_str(include_str!("../../docs/grafana.json")).expect("JSON");
    let mut asked = Vec::new();
    expressions(&dashboard, &mut asked);
    assert!(asked.len() > 30, "{asked:?}");
    let exists = |name: &str| text.lines().any(|line| line.split(['{', ' ']).next() == Some(name));
    for name in asked.iter().flat_map(|expression| names_in(expression)) {
        assert!(exists(&name), "the dashboard asks for {name}, which is not in /metrics");
    }
    for panel in dashboard["panels"].as_array().expect("panels") {
        assert!(panel["targets"].as_array().is_some_and(|targets| !targets.is_empty()), "{}", panel["title"]);
    }
}

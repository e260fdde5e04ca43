//! What is said about metrics: the reference is the table, and the dashboard shows what there is.

#![allow(clippy::unwrap_used)] // helpers of tests are not tests in clippy's eyes

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cellgate::metrics::{self, Kind};
use serde_json::Value;

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

#[test]
fn the_reference_is_up_to_date() {
    let path = docs("metrics.md");
    let reference = metrics::reference();
    if std::env::var_os("CELLGATE_TEST_UPDATE").is_some() {
        std::fs::write(&path, &reference).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, reference, "run CELLGATE_TEST_UPDATE=1 cargo test --test metrics");
}

/// Names as Prometheus serves them: a histogram is three series.
fn series() -> BTreeSet<String> {
    let all = metrics::ALL.iter().flat_map(|metric| {
        let suffixes: &[&str] = match metric.kind {
            Kind::Histogram => &["_bucket", "_sum", "_count"],
            Kind::Counter | Kind::Gauge => &[""],
        };
        suffixes.iter().map(|suffix| format!("{}{suffix}", metric.name))
    });
    all.collect()
}

/// Everything that looks like a name of ours.
fn names(text: &str) -> BTreeSet<String> {
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    text.split(word).filter(|word| word.starts_with("cellgate_")).map(str::to_owned).collect()
}

fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match (key.as_str(), value) {
                    ("expr" | "query" | "definition", Value::String(text)) => {
                        found.push(text.clone())
                    }
                    _ => expressions(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        _ => {}
    }
}

#[test]
fn the_dashboard_names_what_there_is_and_shows_all_of_it() {
    let text = std::fs::read_to_string(docs("grafana-dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut found = Vec::new();
    expressions(&dashboard, &mut found);
    let named: BTreeSet<String> = found.iter().flat_map(|text| names(text)).collect();
    let known = series();
    let unknown: Vec<_> = named.difference(&known).collect();
    assert!(unknown.is_empty(), "no such metric: {unknown:?}");
    for metric in metrics::ALL {
        let shown = named.iter().any(|name| name.starts_with(metric.name));
        assert!(shown, "the dashboard does not show {}", metric.name);
    }
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "every panel has an id of its own");
}

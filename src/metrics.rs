//! What the gateway counts and measures, for Prometheus.
//!
//! ```text
//!   every part ── count, set, observe ──► Metrics ──► recorder ── render ──► GET /metrics
//! ```
//! There is no recorder for the whole process: a [`Metrics`] is made by the composition and passed
//! to the modules that measure. The default one measures nothing and costs nothing.

use std::sync::Arc;
use std::time::Duration;

pub use ::metrics::{Counter, Gauge, Histogram};
use ::metrics::{Key, KeyName, Label, Level, Metadata, Recorder};
pub use metrics_exporter_prometheus::BuildError;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};

mod table;

pub use table::*;

/// Upper bounds of histograms, in seconds: from a pool hit to a cell that runs for an hour.
const BUCKETS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0, 300.0, 3600.0,
];

/// Where a metric comes from, for recorders that ask.
const METADATA: Metadata<'static> = Metadata::new("cellgate", Level::INFO, None);

/// One thing that is measured.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name, unit included.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// Names of its labels. Their values come from small sets: no session, no address.
    pub labels: &'static [&'static str],
    /// What it means, one sentence without full stop.
    pub help: &'static str,
}

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Counts what it is told by size.
    Histogram,
}

/// Takes what is measured. Clones share it.
#[derive(Clone, Default)]
pub struct Metrics {
    recorder: Option<Arc<PrometheusRecorder>>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").field("recording", &self.recorder.is_some()).finish()
    }
}

impl Metrics {
    /// One that keeps what it is told. Call [`Metrics::tidy`] every few seconds.
    pub fn recording() -> Result<Metrics, BuildError> {
        let builder = PrometheusBuilder::new();
        let builder =
            builder.set_buckets_for_metric(Matcher::Suffix("_seconds".into()), BUCKETS)?;
        let recorder = builder.build_recorder();
        for Metric { name, kind, help, .. } in ALL {
            let (name, help) = (KeyName::from_const_str(name), (*help).into());
            match kind {
                Kind::Counter => recorder.describe_counter(name, None, help),
                Kind::Gauge => recorder.describe_gauge(name, None, help),
                Kind::Histogram => recorder.describe_histogram(name, None, help),
            }
        }
        let metrics = Metrics { recorder: Some(Arc::new(recorder)) };
        metrics.set(&BUILD_INFO, &[env!("CARGO_PKG_VERSION")], 1.0);
        // What has no labels is there from the first scrape on, at zero.
        for metric in ALL.iter().filter(|metric| metric.labels.is_empty()) {
            match metric.kind {
                Kind::Counter => metrics.counter(metric, &[]).increment(0),
                Kind::Gauge => metrics.gauge(metric, &[]).set(0.0),
                Kind::Histogram => drop(metrics.histogram(metric, &[])),
            }
        }
        Ok(metrics)
    }

    /// One more.
    pub fn count(&self, metric: &'static Metric, labels: &[&str]) {
        self.counter(metric, labels).increment(1);
    }

    /// So many now.
    pub fn set(&self, metric: &'static Metric, labels: &[&str], value: f64) {
        self.gauge(metric, labels).set(value);
    }

    /// One that took so long.
    pub fn observe(&self, metric: &'static Metric, labels: &[&str], took: Duration) {
        self.histogram(metric, labels).record(took);
    }

    /// A counter's handle, for those who count often.
    pub fn counter(&self, metric: &'static Metric, labels: &[&str]) -> Counter {
        let recorder = self.recorder.as_ref();
        recorder.map_or_else(Counter::noop, |r| r.register_counter(&key(metric, labels), &METADATA))
    }

    /// A gauge's handle.
    pub fn gauge(&self, metric: &'static Metric, labels: &[&str]) -> Gauge {
        let recorder = self.recorder.as_ref();
        recorder.map_or_else(Gauge::noop, |r| r.register_gauge(&key(metric, labels), &METADATA))
    }

    /// A histogram's handle.
    pub fn histogram(&self, metric: &'static Metric, labels: &[&str]) -> Histogram {
        let recorder = self.recorder.as_ref();
        recorder
            .map_or_else(Histogram::noop, |r| r.register_histogram(&key(metric, labels), &METADATA))
    }

    /// One of these there is now, until what is answered is dropped.
    pub fn present(&self, metric: &'static Metric, labels: &[&str]) -> Present {
        let gauge = self.gauge(metric, labels);
        gauge.increment(1.0);
        Present(gauge)
    }

    /// Everything, as Prometheus reads it.
    pub fn render(&self) -> String {
        self.recorder.as_ref().map_or_else(String::new, |recorder| recorder.handle().render())
    }

    /// Sums up what was observed since; without it, metrics that are never scraped would pile up.
    pub fn tidy(&self) {
        if let Some(recorder) = &self.recorder {
            recorder.handle().run_upkeep();
        }
    }
}

/// Counted in a gauge for as long as it lives.
pub struct Present(Gauge);

impl Drop for Present {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

fn key(metric: &'static Metric, labels: &[&str]) -> Key {
    debug_assert_eq!(metric.labels.len(), labels.len(), "{}", metric.name);
    let labels = metric.labels.iter().zip(labels);
    let labels: Vec<Label> =
        labels.map(|(name, value)| Label::new(*name, (*value).to_owned())).collect();
    Key::from_parts(metric.name, labels)
}

/// docs/metrics.md.
pub fn reference() -> String {
    let mut text = include_str!("metrics/reference.md").to_owned();
    for Metric { name, kind, labels, help } in ALL {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        let kind = format!("{kind:?}").to_lowercase();
        text += &format!("| `{name}` | {kind} | {} | {help} |\n", labels.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_their_units_and_are_there_once() {
        let mut names: Vec<_> = ALL.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        for Metric { name, kind, labels, help } in ALL {
            assert!(name.starts_with("cellgate_"), "{name}");
            assert_eq!(*kind == Kind::Counter, name.ends_with("_total"), "{name}");
            assert_eq!(*kind == Kind::Histogram, name.ends_with("_seconds"), "{name}");
            assert!(!help.is_empty() && !help.ends_with('.') && !help.contains('|'), "{name}");
            assert!(labels.iter().all(|label| label.bytes().all(|b| b.is_ascii_lowercase())));
        }
    }

    #[test]
    fn what_is_told_is_rendered_with_its_help() {
        let metrics = Metrics::recording().unwrap();
        metrics.count(&SESSIONS_ENDED, &["requested"]);
        metrics.count(&SESSIONS_ENDED, &["requested"]);
        metrics.observe(&CELL_DURATION, &["ok"], Duration::from_millis(7));
        let present = metrics.present(&SOCKETS, &[]);
        metrics.tidy();
        let text = metrics.render();
        for line in [
            "# TYPE cellgate_sessions_ended_total counter",
            "cellgate_sessions_ended_total{reason=\"requested\"} 2",
            "cellgate_cell_duration_seconds_bucket{status=\"ok\",le=\"0.005\"} 0",
            "cellgate_cell_duration_seconds_bucket{status=\"ok\",le=\"0.01\"} 1",
            "cellgate_cell_duration_seconds_count{status=\"ok\"} 1",
            "cellgate_sockets 1",
            "cellgate_socket_sent_bytes_total 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(text.contains(&format!("# HELP cellgate_sockets {}", SOCKETS.help)));
        drop(present);
        assert!(metrics.render().lines().any(|found| found == "cellgate_sockets 0"));
        assert_eq!(Metrics::default().render(), "");
    }
}

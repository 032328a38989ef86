//! What the server has done, in the text format of Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds of the buckets of seconds.
const SECONDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Upper bounds of the buckets of sizes.
const SIZES: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// How values are spread over buckets.
#[derive(Clone, Debug)]
struct Histogram {
    bounds: &'static [f64],
    /// One for each bound, and one for what is above.
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    fn add(&mut self, value: f64) {
        let at = self.bounds.partition_point(|bound| *bound < value);
        self.counts[at] += 1;
        self.sum += value;
    }

    /// `labels` ends with a comma, or is empty.
    fn write(&self, out: &mut String, name: &str, labels: &str) {
        let mut count = 0;
        for (i, own) in self.counts.iter().enumerate() {
            count += own;
            let bound = self.bounds.get(i).map_or("+Inf".to_owned(), f64::to_string);
            let _ = writeln!(out, "{name}_bucket{{{labels}le=\"{bound}\"}} {count}");
        }
        let labels = match labels.trim_end_matches(',') {
            "" => String::new(),
            labels => format!("{{{labels}}}"),
        };
        let _ = write!(out, "{name}_sum{labels} {}\n{name}_count{labels} {count}\n", self.sum);
    }
}

#[derive(Debug, Default)]
struct Requests {
    /// By route, method and status.
    counts: BTreeMap<(String, &'static str, u16), u64>,
    /// By route.
    seconds: BTreeMap<String, Histogram>,
}

/// Counts of one server.
#[derive(Debug)]
pub(super) struct Metrics {
    requests: Mutex<Requests>,
    batches: Mutex<Histogram>,
    /// Windows of streams that came.
    pub windows: AtomicU64,
    /// Of them, those that were encoded.
    pub encoded: AtomicU64,
    /// States of streams that were decoded to sentences.
    pub decoded: AtomicU64,
    /// Frames of live streams that found no room.
    pub dropped: AtomicU64,
    /// Bytes that were uploaded.
    pub uploaded: AtomicU64,
}

/// A value that is read when it is asked for: name, help, value.
pub(super) type Gauge = (&'static str, &'static str, f64);

impl Metrics {
    pub fn new() -> Self {
        Self {
            requests: Mutex::default(),
            batches: Mutex::new(Histogram::new(&SIZES)),
            windows: AtomicU64::new(0),
            encoded: AtomicU64::new(0),
            decoded: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            uploaded: AtomicU64::new(0),
        }
    }

    /// A request that was answered. `route` is the pattern of its path, so that ids make no new series.
    pub fn request(&self, route: &str, method: &'static str, status: u16, took: Duration) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.counts.entry((route.to_owned(), method, status)).or_default() += 1;
        let seconds = requests.seconds.entry(route.to_owned()).or_insert_with(|| Histogram::new(&SECONDS));
        seconds.add(took.as_secs_f64());
    }

    /// A pass of the model over so many clips or texts together.
    pub fn batch(&self, size: usize) {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).add(size as f64);
    }

    /// All of it.
    pub fn text(&self, gauges: &[Gauge]) -> String {
        let mut out = String::new();
        let head = |out: &mut String, name: &str, kind: &str, help: &str| {
            let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        };
        {
            let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
            let name = "vljepa_http_requests_total";
            head(&mut out, name, "counter", "Requests by route, method and status.");
            for ((route, method, status), count) in &requests.counts {
                let labels = format!("route=\"{route}\",method=\"{method}\",status=\"{status}\"");
                let _ = writeln!(out, "{name}{{{labels}}} {count}");
            }
            let name = "vljepa_http_request_duration_seconds";
            head(&mut out, name, "histogram", "Time from the head of a request to the head of its answer.");
            for (route, seconds) in &requests.seconds {
                seconds.write(&mut out, name, &format!("route=\"{route}\","));
            }
        }
        let name = "vljepa_batch_size";
        head(&mut out, name, "histogram", "Clips, texts or states that the model took in one pass.");
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).write(&mut out, name, "");
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (windows, encoded) = (read(&self.windows), read(&self.encoded));
        let counters = [
            ("vljepa_windows_total", "Windows of streams.", windows),
            ("vljepa_windows_encoded_total", "Windows of streams that were encoded.", encoded),
            (
                "vljepa_windows_skipped_total",
                "Windows that looked like the last encoded one.",
                windows.saturating_sub(encoded),
            ),
            ("vljepa_states_decoded_total", "States of streams that were decoded to sentences.", read(&self.decoded)),
            (
                "vljepa_frames_dropped_total",
                "Frames of live streams that came faster than they were seen.",
                read(&self.dropped),
            ),
            ("vljepa_uploaded_bytes_total", "Bytes of files that were uploaded.", read(&self.uploaded)),
        ];
        for (name, help, value) in counters {
            head(&mut out, name, "counter", help);
            let _ = writeln!(out, "{name} {value}");
        }
        for (name, help, value) in gauges {
            head(&mut out, name, "gauge", help);
            let _ = writeln!(out, "{name} {value}");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_told_as_prometheus_reads_it() {
        let metrics = Metrics::new();
        metrics.request("/api/ask", "POST", 200, Duration::from_millis(20));
        metrics.request("/api/ask", "POST", 200, Duration::from_secs(60));
        metrics.request("/api/ask", "POST", 429, Duration::from_millis(1));
        metrics.batch(3);
        metrics.windows.store(10, Ordering::Relaxed);
        metrics.encoded.store(4, Ordering::Relaxed);
        let text = metrics.text(&[("vljepa_queue_depth", "Jobs that wait.", 2.0)]);
        for line in [
            "vljepa_http_requests_total{route=\"/api/ask\",method=\"POST\",status=\"200\"} 2",
            "vljepa_http_requests_total{route=\"/api/ask\",method=\"POST\",status=\"429\"} 1",
            "vljepa_http_request_duration_seconds_bucket{route=\"/api/ask\",le=\"0.005\"} 1",
            "vljepa_http_request_duration_seconds_bucket{route=\"/api/ask\",le=\"0.025\"} 2",
            "vljepa_http_request_duration_seconds_bucket{route=\"/api/ask\",le=\"30\"} 2",
            "vljepa_http_request_duration_seconds_bucket{route=\"/api/ask\",le=\"+Inf\"} 3",
            "vljepa_http_request_duration_seconds_count{route=\"/api/ask\"} 3",
            "vljepa_batch_size_bucket{le=\"2\"} 0",
            "vljepa_batch_size_bucket{le=\"4\"} 1",
            "vljepa_batch_size_sum 3",
            "vljepa_windows_skipped_total 6",
            "# TYPE vljepa_queue_depth gauge",
            "vljepa_queue_depth 2",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
        }
        assert!(text.ends_with('\n'));
    }
}

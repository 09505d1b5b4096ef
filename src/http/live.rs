//! `/api/live`: every second's numbers as server-sent events (HTML standard, section 9.2), for the dashboard.
//!
//! The first event, `history`, has the samples of the last minutes and all of `/api/stats`; from then on `live` has one more sample and the statistics, once per
//! second. They are made once for all listeners, and only while there are some; who is slow misses some of them. The samples are taken always: docs/HTTP.md.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_lite::{Stream, stream};
use tokio::sync::{Semaphore, watch};
use tokio::time::MissedTickBehavior;

use super::api;
use crate::limits::{HTTP_LIVE_MAX, HTTP_LIVE_SOURCES_MAX};
use crate::metrics::Telemetry;
use crate::metrics::history::{History, NAMES, Sample};

/// How often a sample is taken.
const INTERVAL: Duration = Duration::from_secs(1);

/// What listeners share.
#[derive(Debug)]
pub(super) struct Live {
    telemetry: Arc<Telemetry>,
    history: Mutex<History>,
    news: watch::Sender<Bytes>,
    places: Arc<Semaphore>,
}

impl Live {
    pub(super) fn new(telemetry: Arc<Telemetry>) -> Arc<Self> {
        let history = Mutex::new(History::new(&telemetry));
        Arc::new(Self { telemetry, history, news: watch::Sender::new(Bytes::new()), places: Arc::new(Semaphore::new(HTTP_LIVE_MAX)) })
    }

    /// Takes samples for ever.
    pub(super) async fn run(self: Arc<Self>) -> Infallible {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await; // the first is at once, and there is nothing yet
        loop {
            ticks.tick().await;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let sample = self.history.lock().unwrap_or_else(PoisonError::into_inner).take(&self.telemetry, now.as_secs_f64() * 1e3);
            if self.news.receiver_count() > 0 {
                self.news.send_replace(self.event(&sample));
            }
        }
    }

    fn event(&self, sample: &Sample) -> Bytes {
        let mut text = "event: live\ndata: {\"sample\":".to_owned();
        put_sample(sample, &mut text);
        self.put_stats(&mut text);
        text.into()
    }

    fn beginning(&self) -> Bytes {
        let names = serde_json::json!(NAMES);
        let mut text =
            format!("retry: 2000\nevent: history\ndata: {{\"interval_ms\":{},\"names\":{names},\"samples\":[", INTERVAL.as_millis());
        for (n, sample) in self.history.lock().unwrap_or_else(PoisonError::into_inner).samples().enumerate() {
            text.push_str(if n == 0 { "" } else { "," });
            put_sample(sample, &mut text);
        }
        text.push(']');
        self.put_stats(&mut text);
        text.into()
    }

    fn put_stats(&self, text: &mut String) {
        write!(text, ",\"stats\":{}}}\n\n", api::stats(&self.telemetry, HTTP_LIVE_SOURCES_MAX)).expect("a string takes everything");
    }

    fn events(self: Arc<Self>) -> Option<impl Stream<Item = Result<Bytes, Infallible>>> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        let news = self.news.subscribe();
        Some(stream::unfold((self, news, place, true), |(live, mut news, place, is_first)| async move {
            let event = if is_first {
                news.mark_unchanged(); // what there is by now is in the beginning
                live.beginning()
            } else {
                news.changed().await.ok()?;
                news.borrow_and_update().clone()
            };
            Some((Ok(event), (live, news, place, false)))
        }))
    }
}

/// An array of numbers; what is no number is `null`.
fn put_sample(sample: &Sample, text: &mut String) {
    for (n, value) in sample.iter().enumerate() {
        text.push(if n == 0 { '[' } else { ',' });
        let written = if value.is_finite() { write!(text, "{}", (value * 1e4).round() / 1e4) } else { write!(text, "null") };
        written.expect("a string takes everything");
    }
    text.push(']');
}

/// Answers.
pub(super) async fn live(State(live): State<Arc<Live>>) -> Response {
    let Some(events) = live.events() else {
        return (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "5")], "too many dashboards at once\n").into_response();
    };
    ([(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")], Body::from_stream(events)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_json_without_what_json_does_not_have() {
        let mut sample = [0.0; NAMES.len()];
        (sample[0], sample[1], sample[8]) = (1_795_532_400_123.0, 0.123_456, f64::NAN);
        let mut text = String::new();
        put_sample(&sample, &mut text);
        let read: Vec<Option<f64>> = serde_json::from_str(&text).unwrap();
        assert_eq!((read.len(), read[0], read[1], read[8]), (NAMES.len(), Some(1_795_532_400_123.0), Some(0.1235), None));
    }
}

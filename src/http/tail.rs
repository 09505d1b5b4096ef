//! `/api/tail`: matching lines as they are written, as server-sent events (WHATWG HTML, section 9.2). Each listener has a thread of its own, far behind the
//! shards, which reads the store as everything downstream does: a slow listener slows nobody. Nothing runs while nobody listens.
//!
//! docs/SEARCH.md has the events.

mod feed;

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_lite::stream;
use serde::Deserialize;
use tokio::sync::{Semaphore, mpsc};

use self::feed::Setup;
use super::search::{Lines, Refusal};
use crate::limits::{HTTP_TAIL_HEARTBEAT, HTTP_TAIL_PIECES_MAX, HTTP_TAILS_MAX};
use crate::metrics::Telemetry;
use crate::search::{Matcher, query};

/// What the listeners share.
#[derive(Debug, Clone)]
pub(super) struct Tails {
    telemetry: Arc<Telemetry>,
    places: Arc<Semaphore>,
}

impl Tails {
    pub(super) fn new(telemetry: Arc<Telemetry>) -> Self {
        Self { telemetry, places: Arc::new(Semaphore::new(HTTP_TAILS_MAX)) }
    }
}

/// As they stand behind the `?`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Params {
    query: String,
    stream: Lines,
}

/// A comment, sent where there was nothing to send for a while.
const HEARTBEAT: &[u8] = b":\n\n";

/// Answers a request.
pub(super) async fn tail(State(tails): State<Tails>, params: Result<Query<Params>, QueryRejection>) -> Result<Response, Refusal> {
    let Query(params) = params?;
    let matcher = Matcher::new(&query::parse(&params.query)?).map_err(|message| Refusal::Bad { message, column: None })?;
    let store = tails.telemetry.store_reader().ok_or_else(Refusal::recovering)?;
    let totals = &tails.telemetry.tails;
    let Ok(place) = tails.places.clone().try_acquire_owned() else {
        totals.refuse();
        return Err(Refusal::NotNow(format!("{HTTP_TAILS_MAX} listen already, which is the most")));
    };
    let (sender, pieces) = mpsc::channel(HTTP_TAIL_PIECES_MAX);
    let setup = Setup { store, stream: params.stream.stream(tails.telemetry.accepted()), matcher, sender, totals: totals.clone() };
    feed::start(setup, place).map_err(Refusal::no_thread)?;
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(events(pieces))).into_response())
}

/// What comes from the feed; something when nothing does.
fn events(pieces: mpsc::Receiver<Vec<u8>>) -> impl stream::Stream<Item = Result<Vec<u8>, Infallible>> {
    stream::unfold(pieces, |mut pieces| async move {
        let piece = tokio::time::timeout(HTTP_TAIL_HEARTBEAT, pieces.recv()).await.unwrap_or_else(|_| Some(HEARTBEAT.to_vec()));
        piece.map(|piece| (Ok(piece), pieces))
    })
}

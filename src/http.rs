//! The daemon's HTTP server: one thread of the control plane with a tokio runtime of its own. It reads snapshots; nothing here can slow a shard.

pub mod api;
mod listener;
mod search;
mod tail;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::{Semaphore, oneshot};
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

use self::search::Searches;
use self::tail::Tails;
use crate::limits::{HTTP_BODY_BYTES_MAX, HTTP_CONNECTIONS_MAX, HTTP_REQUEST_TIMEOUT, HTTP_REQUESTS_MAX};
use crate::metrics::{Telemetry, prometheus};

/// The running server.
pub struct HttpServer {
    /// Where it listens.
    pub addr: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// Starts serving on `addr`.
pub fn start(addr: SocketAddr, telemetry: Arc<Telemetry>) -> anyhow::Result<HttpServer> {
    let listener = TcpListener::bind(addr).with_context(|| format!("cannot listen for HTTP on {addr}"))?;
    listener.set_nonblocking(true).context("HTTP listener")?;
    let addr = listener.local_addr().context("HTTP listener")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("HTTP runtime")?;
    let (stop, stopped) = oneshot::channel::<()>();
    let serve = move || {
        runtime.block_on(async {
            let listener = match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => listener,
                Err(error) => return tracing::error!("HTTP listener: {error}"),
            };
            // Readers keep connections open; the daemon does not wait for them.
            tokio::select! {
                never = listener::serve(listener, router(telemetry), HTTP_CONNECTIONS_MAX) => match never {},
                _ = stopped => {}
            }
        });
    };
    let thread = thread::Builder::new().name("http".to_owned()).spawn(serve).context("HTTP thread")?;
    Ok(HttpServer { addr, stop, thread })
}

impl HttpServer {
    /// Stops it.
    pub fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}

#[derive(Clone)]
struct Shared {
    telemetry: Arc<Telemetry>,
    requests: Arc<Semaphore>,
}

fn router(telemetry: Arc<Telemetry>) -> Router {
    let searches = Searches::new(telemetry.clone());
    let tails = Tails::new(telemetry.clone());
    let shared = Shared { telemetry, requests: Arc::new(Semaphore::new(HTTP_REQUESTS_MAX)) };
    Router::new()
        .route("/", get(index))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/api/stats", get(stats))
        .layer(axum::middleware::from_fn_with_state(shared.clone(), bound))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, HTTP_REQUEST_TIMEOUT))
        .with_state(shared)
        // Bounded by themselves, in number, and a search in time.
        .route("/api/search", get(search::search).with_state(searches))
        .route("/api/tail", get(tail::tail).with_state(tails))
        .layer(RequestBodyLimitLayer::new(HTTP_BODY_BYTES_MAX))
}

/// At most so many requests at once; the next one is told to come back.
async fn bound(State(shared): State<Shared>, request: axum::extract::Request, next: axum::middleware::Next) -> Response {
    match shared.requests.try_acquire() {
        Ok(_permit) => next.run(request).await,
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], "too many requests at once\n").into_response(),
    }
}

async fn index() -> &'static str {
    concat!(
        "logboom ",
        env!("CARGO_PKG_VERSION"),
        "\n\n/healthz    the process lives\n/readyz     lines are taken in, or why not\n/metrics    Prometheus\n/api/stats  the ledger and all numbers as JSON\n/api/search stored lines: ?query=timeout&since=1h, see docs/SEARCH.md\n/api/tail   lines as they are written: ?query=level:error, server-sent events\n"
    )
}

async fn ready(State(shared): State<Shared>) -> (StatusCode, String) {
    match shared.telemetry.unready() {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason + "\n"),
    }
}

async fn metrics(State(shared): State<Shared>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, prometheus::CONTENT_TYPE)], prometheus::render(&shared.telemetry))
}

async fn stats(State(shared): State<Shared>) -> impl IntoResponse {
    axum::Json(api::stats(&shared.telemetry))
}

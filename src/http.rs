//! The daemon's HTTP server: one thread of the control plane with a tokio runtime of its own. It reads snapshots; nothing here can slow a shard.

pub mod api;
mod assets;
pub mod config;
mod listener;
mod live;
mod search;
mod segments;
mod tail;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::{Semaphore, oneshot};
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

use self::live::Live;
use self::search::Searches;
use self::segments::Segments;
use self::tail::Tails;
use crate::limits::{
    HTTP_BODY_BYTES_MAX, HTTP_CONNECTIONS_MAX, HTTP_FILE_THREADS, HTTP_REQUEST_TIMEOUT, HTTP_REQUESTS_MAX, SOURCES_SHOWN_MAX,
};
use crate::metrics::{Telemetry, prometheus};

/// The running server.
pub struct HttpServer {
    /// Where it listens.
    pub addr: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// Starts serving on `addr`; `shown` is what the daemon was told.
pub fn start(addr: SocketAddr, telemetry: Arc<Telemetry>, shown: config::Shown) -> anyhow::Result<HttpServer> {
    let listener = TcpListener::bind(addr).with_context(|| format!("cannot listen for HTTP on {addr}"))?;
    listener.set_nonblocking(true).context("HTTP listener")?;
    let addr = listener.local_addr().context("HTTP listener")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(HTTP_FILE_THREADS)
        .build()
        .context("HTTP runtime")?;
    let (stop, stopped) = oneshot::channel::<()>();
    let serve = move || {
        runtime.block_on(async {
            let listener = match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => listener,
                Err(error) => return tracing::error!("HTTP listener: {error}"),
            };
            let live = Live::new(telemetry.clone());
            let router = router(Shared::new(telemetry, addr, shown), live.clone());
            // Readers keep connections open; the daemon does not wait for them.
            tokio::select! {
                never = listener::serve(listener, router, HTTP_CONNECTIONS_MAX) => match never {},
                never = live.run() => match never {},
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
    addr: SocketAddr,
    shown: Arc<config::Shown>,
    requests: Arc<Semaphore>,
}

impl Shared {
    fn new(telemetry: Arc<Telemetry>, addr: SocketAddr, shown: config::Shown) -> Self {
        Self { telemetry, addr, shown: Arc::new(shown), requests: Arc::new(Semaphore::new(HTTP_REQUESTS_MAX)) }
    }
}

fn router(shared: Shared, live: Arc<Live>) -> Router {
    let searches = Searches::new(shared.telemetry.clone());
    let segments = Segments::new(shared.telemetry.clone());
    let tails = Tails::new(shared.telemetry.clone());
    Router::new()
        .route("/", get(index))
        .route("/web/{name}", get(assets::web))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/api/stats", get(stats))
        .route("/api/config", get(configuration))
        .route("/api/segments", get(segments::list).with_state(segments.clone()))
        .layer(axum::middleware::from_fn_with_state(shared.clone(), bound))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, HTTP_REQUEST_TIMEOUT))
        .with_state(shared)
        // Bounded by themselves, in number, and in time where that is to be.
        .route("/api/search", get(search::search).with_state(searches))
        .route("/api/tail", get(tail::tail).with_state(tails))
        .route("/api/live", get(live::live).with_state(live))
        .route("/api/segments/{name}", get(segments::download).with_state(segments))
        .layer(axum::middleware::map_response(assets::headers))
        .layer(RequestBodyLimitLayer::new(HTTP_BODY_BYTES_MAX))
}

/// At most so many requests at once; the next one is told to come back.
async fn bound(State(shared): State<Shared>, request: axum::extract::Request, next: axum::middleware::Next) -> Response {
    match shared.requests.try_acquire() {
        Ok(_permit) => next.run(request).await,
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], "too many requests at once\n").into_response(),
    }
}

async fn index(headers: HeaderMap) -> Response {
    assets::page(&headers)
}

async fn ready(State(shared): State<Shared>) -> (StatusCode, String) {
    match shared.telemetry.unready() {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason + "\n"),
    }
}

async fn metrics(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    if assets::wants_page(&headers) {
        return assets::page(&headers);
    }
    let kind = [(header::CONTENT_TYPE, prometheus::CONTENT_TYPE), (header::VARY, "Accept")];
    (kind, prometheus::render(&shared.telemetry)).into_response()
}

async fn stats(State(shared): State<Shared>) -> impl IntoResponse {
    axum::Json(api::stats(&shared.telemetry, SOURCES_SHOWN_MAX))
}

async fn configuration(State(shared): State<Shared>) -> impl IntoResponse {
    axum::Json(config::config(&shared.shown, shared.addr, &shared.telemetry))
}

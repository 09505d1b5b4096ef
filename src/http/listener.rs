//! Serves HTTP connections, a bounded number at once: beyond, they wait in the kernel's queue.
//!
//! A connection keeps its place only while it is used. One that sends no whole request head, at first or after an answer, or that takes no bytes of its
//! answer, is closed after [`HTTP_IDLE_TIMEOUT`]: the first by hyper's timer, the second by the kernel (TCP_USER_TIMEOUT, tcp(7)).

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::limits::{HTTP_BUFFER_BYTES, HTTP_IDLE_TIMEOUT};

/// Serves `router` on at most `connections_max` connections at once, until it is dropped, and every connection with the runtime.
pub(super) async fn serve(mut listener: TcpListener, router: Router, connections_max: usize) -> Infallible {
    let places = Arc::new(Semaphore::new(connections_max));
    let service = TowerToHyperService::new(router);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HTTP_IDLE_TIMEOUT).max_buf_size(HTTP_BUFFER_BYTES);
    loop {
        let place = places.clone().acquire_owned().await.expect("never closed");
        let (stream, _) = Listener::accept(&mut listener).await;
        // Refused only where the connection is gone already.
        let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(HTTP_IDLE_TIMEOUT));
        let connection = http.serve_connection(TokioIo::new(stream), service.clone());
        tokio::spawn(async move {
            let _ = connection.await; // a peer that leaves or talks nonsense is its own loss
            drop(place);
        });
    }
}

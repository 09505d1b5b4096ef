//! `/api/segments`: the files that hold lines, the newest first, and each of them as it is.
//!
//! Only names that the store itself gives are known; there is no way to another file. What is read here is read by threads beside the server's own, one listing and
//! [`HTTP_DOWNLOADS_MAX`] files at once, in pieces.

mod list;

use std::io;
use std::path::Path;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path as UrlPath, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_lite::{Stream, stream};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

pub(super) use self::list::Params;
use crate::limits::{HTTP_DOWNLOAD_PIECE_BYTES, HTTP_DOWNLOADS_MAX};
use crate::metrics::Telemetry;
use crate::store::disk::{Disk, DiskFile};
use crate::store::error::StorageError;
use crate::store::name::{Codec, FileName};

/// What the requests share.
#[derive(Debug, Clone)]
pub(super) struct Segments {
    telemetry: Arc<Telemetry>,
    listings: Arc<Semaphore>,
    downloads: Arc<Semaphore>,
}

impl Segments {
    pub(super) fn new(telemetry: Arc<Telemetry>) -> Self {
        Self { telemetry, listings: Arc::new(Semaphore::new(1)), downloads: Arc::new(Semaphore::new(HTTP_DOWNLOADS_MAX)) }
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Refusal {
    Bad(String),
    NotFound,
    TooMany,
    NotReady,
    Failed(String),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, message) = match self {
            Self::Bad(message) => (StatusCode::BAD_REQUEST, message),
            Self::NotFound => (StatusCode::NOT_FOUND, "no segment has this name, or it is gone".to_owned()),
            Self::TooMany => (StatusCode::TOO_MANY_REQUESTS, "too many downloads at once".to_owned()),
            Self::NotReady => (StatusCode::SERVICE_UNAVAILABLE, "the data directory is being recovered".to_owned()),
            Self::Failed(message) => (StatusCode::INTERNAL_SERVER_ERROR, message),
        };
        (status, axum::Json(json!({ "error": message }))).into_response()
    }
}

impl From<StorageError> for Refusal {
    fn from(error: StorageError) -> Self {
        if error.is_not_found() { Self::NotFound } else { Self::Failed(error.to_string()) }
    }
}

/// Lists.
pub(super) async fn list(State(segments): State<Segments>, params: Result<Query<Params>, QueryRejection>) -> Result<Response, Refusal> {
    let Query(params) = params.map_err(|rejection| Refusal::Bad(rejection.body_text()))?;
    let page = params.page(segments.telemetry.accepted()).map_err(Refusal::Bad)?;
    let dir = segments.telemetry.data_dir().ok_or(Refusal::NotReady)?.to_owned();
    let turn = segments.listings.acquire_owned().await.map_err(|error| Refusal::Failed(error.to_string()))?;
    let listed = spawn_blocking(move || {
        let listed = list::list(&dir, &page);
        drop(turn);
        listed
    });
    Ok(axum::Json(listed.await.map_err(|error| Refusal::Failed(error.to_string()))??).into_response())
}

/// Sends one file: of an open one, as many whole lines as it has now.
pub(super) async fn download(State(segments): State<Segments>, UrlPath(name): UrlPath<String>) -> Result<Response, Refusal> {
    let content_type = match FileName::parse(&name).ok_or(Refusal::NotFound)? {
        FileName::Open(..) | FileName::Sealed(_) => "application/x-ndjson",
        FileName::Archive(_, Codec::Gzip) => "application/gzip",
        FileName::Archive(_, Codec::Zstd) => "application/zstd",
        FileName::Meta(_) | FileName::Format | FileName::Lock | FileName::Checkpoints | FileName::Temporary(_) => {
            return Err(Refusal::NotFound);
        }
    };
    let dir = segments.telemetry.data_dir().ok_or(Refusal::NotReady)?.to_owned();
    let place = segments.downloads.clone().try_acquire_owned().map_err(|_| Refusal::TooMany)?;
    let opened = name.clone();
    let open = spawn_blocking(move || open(&dir, &opened));
    let (file, len) = open.await.map_err(|error| Refusal::Failed(error.to_string()))??;
    let headers = [
        (header::CONTENT_TYPE, content_type.to_owned()),
        (header::CONTENT_LENGTH, len.to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, Body::from_stream(pieces(file, len, place))).into_response())
}

/// The file `name`, which has a place in the store's listing, and how many bytes of it are to be sent.
fn open(dir: &Path, name: &str) -> Result<(DiskFile, u64), Refusal> {
    let disk = Disk::new();
    if !disk.list(dir)?.iter().any(|entry| entry.name == name) {
        return Err(Refusal::NotFound);
    }
    let file = disk.open(&dir.join(name))?;
    let len = match FileName::parse(name) {
        Some(FileName::Open(..)) => whole_lines(&file)?,
        _ => file.len()?,
    };
    Ok((file, len))
}

/// Where the last line ends that is written whole.
fn whole_lines(file: &DiskFile) -> Result<u64, StorageError> {
    let mut end = file.len()?;
    let mut piece = vec![0; HTTP_DOWNLOAD_PIECE_BYTES];
    while end > 0 {
        let begin = end.saturating_sub(HTTP_DOWNLOAD_PIECE_BYTES as u64);
        let piece = &mut piece[..(end - begin) as usize];
        file.read_exact_at(piece, begin)?;
        if let Some(newline) = memchr::memrchr(b'\n', piece) {
            return Ok(begin + newline as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

fn pieces(file: DiskFile, len: u64, place: OwnedSemaphorePermit) -> impl Stream<Item = io::Result<Bytes>> {
    stream::unfold(Some((file, 0, place)), move |state| async move {
        let (file, at, place) = state.filter(|(_, at, _)| *at < len)?;
        let read = spawn_blocking(move || {
            let mut piece = vec![0; HTTP_DOWNLOAD_PIECE_BYTES.min((len - at) as usize)];
            let read = file.read_exact_at(&mut piece, at);
            (file, read.map(|()| piece))
        });
        match read.await {
            Ok((file, Ok(piece))) => {
                let at = at + piece.len() as u64;
                Some((Ok(piece.into()), Some((file, at, place))))
            }
            // It is shorter than it said; or the thread ended.
            Ok((_, Err(error))) => Some((Err(io::Error::other(error.to_string())), None)),
            Err(error) => Some((Err(io::Error::other(error)), None)),
        }
    })
}

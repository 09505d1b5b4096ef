//! `/api/search`: finds stored lines for a browser or a script. Each search has a thread of its own, behind the shards, and few run at once.
//!
//! Lines are sent as they are found. An answer that ends before its search is complete, other than by the number of lines that was asked for, breaks off without
//! the end that HTTP wants, so that nobody takes it for whole. docs/SEARCH.md has the parameters.

mod work;

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Semaphore;

use self::work::{Job, Piece, What};
use crate::limits::{HTTP_SEARCH_GROUPS_MAX, HTTP_SEARCH_LINES_DEFAULT, HTTP_SEARCH_LINES_MAX, HTTP_SEARCHES_MAX};
use crate::metrics::Telemetry;
use crate::record::Level;
use crate::search::count::By;
use crate::search::{self, SearchError, query, when};
use crate::store::name::Stream;
use crate::store::segment::TimeRange;

/// What the searches share.
#[derive(Debug, Clone)]
pub(super) struct Searches {
    telemetry: Arc<Telemetry>,
    places: Arc<Semaphore>,
}

impl Searches {
    pub(super) fn new(telemetry: Arc<Telemetry>) -> Self {
        Self { telemetry, places: Arc::new(Semaphore::new(HTTP_SEARCHES_MAX)) }
    }
}

/// As they stand behind the `?`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Params {
    query: String,
    since: Option<String>,
    until: Option<String>,
    limit: Option<usize>,
    order: Order,
    stream: Lines,
    count: bool,
    by: Option<String>,
    format: Format,
    split: Option<Split>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Order {
    #[default]
    Newest,
    Oldest,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Lines {
    #[default]
    Accepted,
    Logs,
    Rejected,
    Collected,
}

impl Lines {
    /// Where accepted records of the process are the stream `accepted`.
    pub(super) fn stream(self, accepted: Stream) -> Stream {
        match self {
            Self::Accepted => accepted,
            Self::Logs => Stream::Logs,
            Self::Rejected => Stream::Rejected,
            Self::Collected => Stream::Collected,
        }
    }
}

/// By what spans of time are counted as well.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Split {
    Level,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// Lines as they are stored.
    #[default]
    Raw,
    /// Each with the time, level and service that was seen in it.
    Json,
    /// Time, level, service, message.
    Csv,
}

impl Format {
    fn content_type(self) -> &'static str {
        match self {
            Self::Raw | Self::Json => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
        }
    }
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The request can't be understood; where in the query, if it is that.
    Bad { message: String, column: Option<usize> },
    /// Too many searches run.
    TooMany,
    /// Something is not there yet, or not enough of it. Later it may go.
    NotNow(String),
    /// The search failed.
    Failed(String),
}

impl Refusal {
    pub(super) fn recovering() -> Self {
        Self::NotNow("the data directory is being recovered".to_owned())
    }

    pub(super) fn no_thread(error: io::Error) -> Self {
        Self::NotNow(format!("cannot start a thread: {error}"))
    }
}

impl From<query::QueryError> for Refusal {
    fn from(query::QueryError { column, message }: query::QueryError) -> Self {
        Self::Bad { message, column: Some(column) }
    }
}

impl From<SearchError> for Refusal {
    fn from(error: SearchError) -> Self {
        match error {
            // Only the caller can ask for less.
            SearchError::Query(_) | SearchError::TooMuch => Self::Bad { message: error.to_string(), column: None },
            SearchError::Storage(_) => Self::Failed(error.to_string()),
        }
    }
}

impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Self {
        Self::Bad { message: rejection.body_text(), column: None }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let later = [(header::RETRY_AFTER, "1")];
        match self {
            Self::Bad { message, column: Some(column) } => {
                (StatusCode::BAD_REQUEST, axum::Json(json!({ "error": message, "column": column }))).into_response()
            }
            Self::Bad { message, column: None } => (StatusCode::BAD_REQUEST, axum::Json(json!({ "error": message }))).into_response(),
            Self::TooMany => {
                (StatusCode::TOO_MANY_REQUESTS, later, axum::Json(json!({ "error": "too many searches at once" }))).into_response()
            }
            Self::NotNow(message) => (StatusCode::SERVICE_UNAVAILABLE, later, axum::Json(json!({ "error": message }))).into_response(),
            Self::Failed(message) => (StatusCode::INTERNAL_SERVER_ERROR, axum::Json(json!({ "error": message }))).into_response(),
        }
    }
}

impl Params {
    /// What is to be done, `now_us` being now.
    fn job(&self, now_us: i64, accepted: Stream) -> Result<Job, Refusal> {
        let bad = |message: String| Refusal::Bad { message, column: None };
        let expr = query::parse(&self.query)?;
        let time = |name: &str, text: &Option<String>, default| match text {
            None => Ok(default),
            Some(text) => when::parse(text, now_us).map_err(|expected| bad(format!("{name}: {text:?}: {expected}"))),
        };
        let range = TimeRange { min_us: time("since", &self.since, i64::MIN)?, max_us: time("until", &self.until, i64::MAX)? };
        let what = match (&self.by, self.count) {
            (Some(by), _) => What::Counts(Some(match (By::parse(by).map_err(|expected| bad(format!("by: {expected}")))?, self.split) {
                (By::Time(span_us), Some(Split::Level)) => By::TimeAndLevel(span_us),
                (_, Some(Split::Level)) => return Err(bad("split: expected by to be minute or a span of time".to_owned())),
                (by, None) => by,
            })),
            (None, true) => What::Counts(None),
            (None, false) => {
                let limit = self.limit.unwrap_or(HTTP_SEARCH_LINES_DEFAULT);
                if !(1..=HTTP_SEARCH_LINES_MAX).contains(&limit) {
                    return Err(bad(format!("limit: {limit}: expected 1 to {HTTP_SEARCH_LINES_MAX}")));
                }
                let order = match self.order {
                    Order::Newest => search::Order::NewestFirst,
                    Order::Oldest => search::Order::OldestFirst,
                };
                What::Lines { order, limit, format: self.format }
            }
        };
        Ok(Job { expr, range, stream: self.stream.stream(accepted), what })
    }
}

/// When it begins, how many lines it has, and how many of each level.
fn span_by_level((value, levels): &(String, [u64; Level::COUNT])) -> serde_json::Value {
    let named = Level::ALL.map(|level| (level.name(), levels[level as usize]));
    let levels: serde_json::Map<_, _> =
        named.into_iter().filter(|(_, lines)| *lines > 0).map(|(name, lines)| (name.to_owned(), json!(lines))).collect();
    json!({ "value": value, "count": named.iter().map(|(_, lines)| lines).sum::<u64>(), "levels": levels })
}

/// Answers.
pub(super) async fn search(State(searches): State<Searches>, params: Result<Query<Params>, QueryRejection>) -> Result<Response, Refusal> {
    let Query(params) = params?;
    let job = params.job(when::now_us(), searches.telemetry.accepted())?;
    search::Matcher::new(&job.expr).map_err(|message| Refusal::Bad { message, column: None })?;
    let dir = searches.telemetry.data_dir().ok_or_else(Refusal::recovering)?;
    let totals = &searches.telemetry.searches;
    let Ok(place) = searches.places.clone().try_acquire_owned() else {
        totals.refuse();
        return Err(Refusal::TooMany);
    };
    let (by, format, split) = (params.by, params.format, params.split);
    let mut answer = work::start(job, dir.to_owned(), totals.begin(), place).map_err(Refusal::no_thread)?;
    match answer.next().await {
        Some(Piece::Failed(error)) => Err(error.into()),
        Some(Piece::Counts { counts, stats, is_complete }) => {
            let groups: Vec<_> = match split {
                None => counts
                    .groups(HTTP_SEARCH_GROUPS_MAX)
                    .into_iter()
                    .map(|(value, lines)| json!({ "value": value, "count": lines }))
                    .collect(),
                Some(Split::Level) => counts.times_by_level(HTTP_SEARCH_GROUPS_MAX).iter().map(span_by_level).collect(),
            };
            Ok(axum::Json(json!({
                "total": counts.total,
                "by": by,
                "groups": groups,
                "complete": is_complete,
                "blocks": stats.blocks,
                "blocks_read": stats.blocks_read,
                "damaged": stats.damaged,
            }))
            .into_response())
        }
        first => Ok(([(header::CONTENT_TYPE, format.content_type())], Body::from_stream(answer.lines(first))).into_response()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_request_is_said_to_be_none() {
        let job = |params: Params| params.job(0, Stream::Logs).map(|_| ()).unwrap_err();
        let query = job(Params { query: "done (level:loud".to_owned(), ..Params::default() });
        assert!(matches!(&query, Refusal::Bad { column: Some(13), message } if message.starts_with("no level")), "{query:?}");
        for params in [
            Params { since: Some("yesterday".to_owned()), ..Params::default() },
            Params { limit: Some(0), ..Params::default() },
            Params { limit: Some(HTTP_SEARCH_LINES_MAX + 1), ..Params::default() },
            Params { by: Some(String::new()), ..Params::default() },
            Params { by: Some("0s".to_owned()), ..Params::default() },
            Params { by: Some("-1h".to_owned()), ..Params::default() },
            Params { by: Some("service".to_owned()), split: Some(Split::Level), ..Params::default() },
        ] {
            assert!(matches!(params.job(0, Stream::Logs), Err(Refusal::Bad { column: None, .. })), "{params:?}");
        }
    }
}

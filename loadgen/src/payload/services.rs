//! What the services of the imagined shop say, and how often how loudly. Tables only. Pure.
//!
//! In a template, `{user}` and the like are replaced when a line is made; see [`super::traffic`] for what each stands for.

/// How serious a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For developers.
    Debug,
    /// All is well.
    Info,
    /// Slow, or tried again.
    Warn,
    /// Failed.
    Error,
}

impl Level {
    /// As lines spell it.
    pub fn name(self) -> &'static str {
        match self {
            Level::Debug => "DEBUG",
            Level::Info => "INFO",
            Level::Warn => "WARN",
            Level::Error => "ERROR",
        }
    }
}

/// One service.
#[derive(Debug)]
pub struct Service {
    /// Its name in a line.
    pub name: &'static str,
    /// The request that a session makes of it.
    pub request: &'static str,
    /// Its usual answer takes about this long.
    pub latency_us: u64,
    /// Of a hundred good lines, how many are for developers.
    pub debug_percent: u64,
    /// One visit in so many finds it healthy and leaves it failing for a while.
    pub failure_once_in: u64,
    /// For developers.
    pub debug: &'static [&'static str],
    /// When all is well.
    pub info: &'static [&'static str],
    /// When it is slow.
    pub warn: &'static [&'static str],
    /// When it fails.
    pub error: &'static [&'static str],
}

/// Where each service stands in [`SERVICES`].
pub const API: usize = 0;
/// See [`API`].
pub const AUTH: usize = 1;
/// See [`API`].
pub const CATALOG: usize = 2;
/// See [`API`].
pub const SEARCH: usize = 3;
/// See [`API`].
pub const CART: usize = 4;
/// See [`API`].
pub const PAYMENT: usize = 5;
/// See [`API`].
pub const INVENTORY: usize = 6;
/// See [`API`].
pub const NOTIFY: usize = 7;

/// Every service.
pub const SERVICES: [Service; 8] = [
    Service {
        name: "api",
        request: "GET /health",
        latency_us: 1_800,
        debug_percent: 10,
        failure_once_in: 4_000,
        debug: &["route matched for client {ip}", "upstream {node} chosen, {n} in flight"],
        info: &["upstream answered 200, {bytes} bytes to {ip}", "upstream answered 304 to {ip}", "200 from {node}, {bytes} bytes"],
        warn: &["upstream {node} is slow, {n} requests queued", "retrying against {node}"],
        error: &["upstream {node} answered 502 to {ip}", "upstream timed out after {n} retries", "no healthy upstream left of {n}"],
    },
    Service {
        name: "auth",
        request: "POST /login",
        latency_us: 42_000,
        debug_percent: 8,
        failure_once_in: 900,
        debug: &["token key {hex} is current", "password hash took {n} rounds"],
        info: &["login from {ip}", "session opened from {ip}, second factor ok", "token refreshed, valid {n} more minutes"],
        warn: &["login from {ip} after {n} failed attempts", "token {hex} is about to expire"],
        error: &["invalid credentials from {ip}", "token {hex} rejected: signature", "directory {node} unreachable"],
    },
    Service {
        name: "catalog",
        request: "GET /items",
        latency_us: 6_500,
        debug_percent: 15,
        failure_once_in: 2_500,
        debug: &["cache hit for item {item}", "cache miss for item {item}, reading {node}"],
        info: &["item {item} viewed", "page of {n} items from {node}", "item {item} shown with {n} offers"],
        warn: &["item {item} served stale from {node}", "{node} took over for a slow replica"],
        error: &["item {item} not found", "query on {node} aborted after {n} rows"],
    },
    Service {
        name: "search",
        request: "GET /search",
        latency_us: 18_000,
        debug_percent: 12,
        failure_once_in: 1_800,
        debug: &["query '{words}' planned on {n} partitions", "{n} postings read for '{words}'"],
        info: &["'{words}' found {n} items", "'{words}' found {n} items, {item} first", "no item for '{words}'"],
        warn: &["'{words}' cut off after {n} items", "partition on {node} answered late"],
        error: &["partition on {node} failed for '{words}'", "index {hex} is being rebuilt"],
    },
    Service {
        name: "cart",
        request: "POST /cart",
        latency_us: 7_200,
        debug_percent: 9,
        failure_once_in: 2_000,
        debug: &["cart {hex} loaded from {node}", "cart {hex} has {n} entries"],
        info: &["item {item} added, total {amount}", "item {item} removed, total {amount}", "cart holds {n} items, total {amount}"],
        warn: &["cart {hex} written twice, kept the later", "price of item {item} changed to {amount}"],
        error: &["cart {hex} could not be saved on {node}", "item {item} is gone"],
    },
    Service {
        name: "payment",
        request: "POST /pay",
        latency_us: 160_000,
        debug_percent: 5,
        failure_once_in: 500,
        debug: &["risk score {n} for {amount}", "acquirer session {hex} reused"],
        info: &["{amount} paid for order {order}", "{amount} authorized, code {hex}", "order {order} paid, {amount}"],
        warn: &["acquirer slow for order {order}", "order {order} needs a second factor"],
        error: &["card declined for order {order}, {amount}", "acquirer timed out on {hex}", "order {order} refused: {n} tries"],
    },
    Service {
        name: "inventory",
        request: "PUT /stock",
        latency_us: 3_900,
        debug_percent: 25,
        failure_once_in: 2_200,
        debug: &["shelf of item {item} locked by {hex}", "item {item} counted: {n}"],
        info: &["item {item} reserved, {n} left", "{n} of item {item} reserved on {node}"],
        warn: &["only {n} left of item {item}", "lock on item {item} waited for {n} others"],
        error: &["item {item} oversold by {n}", "reservation {hex} expired"],
    },
    Service {
        name: "notify",
        request: "POST /mail",
        latency_us: 24_000,
        debug_percent: 6,
        failure_once_in: 1_200,
        debug: &["template order-{n} rendered, {bytes} bytes", "relay {node} chosen"],
        info: &["mail for order {order} accepted by {node}", "message {hex} queued for order {order}"],
        warn: &["relay {node} asks to come back in {n} s", "mail for order {order} sent late"],
        error: &["relay {node} refused message {hex}", "no address for order {order}"],
    },
];

/// What people search for.
pub const WORDS: [&str; 24] = [
    "lamp",
    "oak table",
    "blue rug",
    "desk",
    "kettle",
    "garden chair",
    "saw",
    "paint",
    "tent",
    "boots",
    "rope",
    "axe",
    "bike light",
    "stove",
    "wool",
    "map",
    "canvas",
    "hammock",
    "chain",
    "jacket",
    "knife",
    "gloves",
    "lantern",
    "raft",
];

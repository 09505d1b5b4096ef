//! logboom takes log lines over the network, loses none of them, and leaves plain compressed files that any tool can read.
//!
//! The modules in reading order, each using only those before it (`docs/ARCHITECTURE.md` has the map, `tests/tidy.rs` holds it):
//!
//! - [`limits`]: every bound, with its reason
//! - [`record`]: lines and what they become; pure
//! - [`rules`]: filters and tags; pure
//! - [`store`]: segments from their opening to their archive, and the recovery of a data directory
//! - [`search`]: what the stored lines answer
//! - [`metrics`]: what is counted, and how it is shown
//! - [`watch`]: files that are followed, and how far each has been read
//! - [`outputs`]: CSV and SQLite, which follow the store
//! - [`config`]: what the user typed, and what it means
//! - [`host`]: the machine: preflight, cores, directory lock, signals, service manager
//! - [`shard`]: the data plane; the only place that knows the asynchronous runtime
//! - [`http`]: the control plane's server
//! - [`cli`]: one file per subcommand

pub mod cli;
pub mod config;
pub mod host;
pub mod http;
pub mod limits;
pub mod metrics;
pub mod outputs;
pub mod record;
pub mod rules;
pub mod search;
pub mod shard;
pub mod store;
pub mod watch;

//! Searching a data directory: its segments, open, sealed and archived, with or without a daemon that writes them.
//!
//! ```text
//! query --parse [pure]--> Expr --Matcher [pure]-----------------------------------\
//! directory --segments--> files and block tables --prune [pure]--> blocks --scan--> lines in order of time, or counts
//! ```
//!
//! What is found is what reading every line would find: the block tables and token filters only say where there is nothing. Each line is found once, also
//! while its segment is sealed, archived or deleted; lines that are written after the search has begun are not looked for.

mod block;
pub mod count;
mod folded;
mod matcher;
mod pattern;
mod prune;
pub mod query;
pub mod rows;
mod scan;
mod segments;
pub mod when;

pub use matcher::Matcher;
pub use scan::{Found, Order, Request, SearchError, Stats, count, lines};
pub use segments::Tables;

//! Files that are followed: which there are, what happens to them, and how far each has been read.
//!
//! ```text
//! folders, notifications -> scan -> Tracker [pure] -> task -> a shard reads, parses, stores -> report -> Tracker
//!                                                                    \-> checkpoints, before each batch
//! ```
//!
//! One thread of the control plane does the looking ([`watcher`]); the state machine that it obeys is pure ([`tracker`]), and so are the identity of a file
//! ([`content`]) and the journal of checkpoints ([`journal`]). Shards read: a file is handed to one as a [`task`](task::ReadTask), and comes back with its report.

pub mod beyond;
pub mod checkpoints;
pub mod content;
pub mod journal;
mod notices;
mod open_files;
pub mod own;
pub mod patterns;
pub mod rotated;
pub mod sources;
pub mod task;
pub mod tracker;
mod walk;
pub mod watcher;

//! The store: segments from their opening to their archive, and the recovery of a data directory.
//!
//! Pure are `name`, `utc`, `policy`, `level`, `filter`, `meta`, `guard::FreeSpace`, `retention::plan` and `recover::plan`; the others do what these decide.

pub mod catalog;
pub mod codec;
pub mod cursor;
pub mod cut;
pub mod disk;
pub mod durable;
pub mod error;
pub mod filter;
pub mod guard;
pub mod housekeeping;
pub mod level;
pub mod marks;
pub mod meta;
pub mod name;
pub mod open;
pub mod permits;
pub mod policy;
pub mod pool;
pub mod recover;
pub mod retention;
pub mod segment;
pub mod unread;
pub mod utc;

//! The store: segments from sealing to archive, and the recovery of a data directory.
pub mod codec;
pub mod cut;
pub mod disk;
pub mod durable;
pub mod error;
pub mod level;
pub mod meta;
pub mod name;
pub mod open;
pub mod permits;
pub mod policy;
pub mod pool;
pub mod segment;
pub mod utc;

//! logboom
pub mod limits;
pub mod store;

//! logboom takes log lines over the network, loses none of them, and leaves plain compressed files that any tool can read.
//!
//! The modules in reading order, each using only those before it:
//!
//! - [`limits`]: every bound, with its reason
//! - [`record`]: lines and what they become; pure
//! - [`store`]: segments from their opening to their archive

pub mod limits;
pub mod record;
pub mod store;

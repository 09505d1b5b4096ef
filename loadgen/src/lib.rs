//! loadgen drives a log pipeline with realistic traffic and proves afterwards that nothing was lost.
//!
//! It knows the daemon only by what is documented (names and shapes of files) and shares no code with it, so that the two can't be wrong in the same way.
//! In reading order: [`cli`] reads flags, [`payload`] makes lines from a seed, [`schedule`] says when they are due, [`relp`] frames them for a server that acknowledges, [`run`] sends them and writes the
//! [`manifest`] and the report, [`sink`] reads and discards them to measure the generator itself, [`verify`] makes the lines again and looks for each in the
//! files. [`host`] and [`stop`] are the machine and its signals.

pub mod cli;
pub mod host;
pub mod manifest;
pub mod payload;
pub mod relp;
pub mod run;
pub mod schedule;
pub mod sink;
pub mod stop;
pub mod verify;

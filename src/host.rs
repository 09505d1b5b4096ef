//! What the daemon asks of the machine it runs on, and what it tells its service manager.
//!
//! [`preflight`] says before anything starts what would not work, with the remedy; [`ports`] finds and holds the ports that all shards share; [`lock`] keeps a
//! second process out of a data directory; [`signals`] and [`systemd`] are the two ways in which the outside ends or watches it. Nothing here knows of lines or
//! segments, and nothing here runs while lines flow, except the thread that feeds the watchdog.

pub mod cores;
pub mod lock;
pub mod ports;
pub mod preflight;
mod proc;
pub mod signals;
pub mod systemd;

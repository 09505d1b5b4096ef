//! `logboom check`: what `serve` would run with, without running it.

use super::daemon::{budget, preflight};
use super::serve::{ServeArgs, load};
use super::{Failure, Outcome};
use crate::host::lock::DirectoryLock;
use crate::host::preflight::MadeDirectories;
use crate::limits::MIB;
use crate::metrics::stdout;
use crate::store::guard;

/// Prints every setting with where it came from, and the memory budget; refuses what `serve` would refuse.
pub fn check(args: &ServeArgs) -> Result<Outcome, Failure> {
    let config = load(args)?;
    let mut text = String::from("settings\n");
    for setting in &config.resolved {
        text += &format!("  {:<26} {:<28} {}\n", setting.key, setting.value, setting.source);
    }
    let budget = budget(&config);
    text += "\nmemory budget, bytes at most\n";
    for (name, bytes) in budget.parts.iter().copied().chain([("total", budget.total())]) {
        text += &format!("  {name:<34} {bytes:>13} {:>11.1} MiB\n", bytes as f64 / MIB as f64);
    }
    stdout::print(&text);
    DirectoryLock::look(&config.data_dir).map_err(Failure::refused)?;
    let mut made = MadeDirectories::default();
    let looked = preflight(&config, &mut made);
    let paused = guard::reason_to_pause(&config.data_dir, config.min_free);
    made.remove();
    looked?;
    stdout::print("\npreflight: nothing stands in the way\n");
    if let Some(reason) = paused {
        stdout::print(&format!("but intake would pause at once: {reason}\n"));
    }
    Ok(Outcome::Clean)
}

//! `logboom check`: what `serve` would run with, without running it.

use super::daemon::{budget, preflight};
use super::serve::{ServeArgs, load};
use super::{Failure, Outcome};
use crate::host::lock::DirectoryLock;
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
    for (name, bytes) in &budget.parts {
        text += &format!("  {name:<34} {bytes:>13}\n");
    }
    text += &format!("  {:<34} {:>13}\n", "total", budget.total());
    stdout::print(&text);
    DirectoryLock::look(&config.data_dir).map_err(Failure::refused)?;
    // The preflight tries the directory by writing, and creates what is missing of it.
    let missing: Vec<_> = config.data_dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).collect();
    let looked = preflight(&config);
    let paused = guard::reason_to_pause(&config.data_dir, config.min_free);
    for dir in missing {
        let _ = std::fs::remove_dir(dir); // unless somebody uses it by now
    }
    looked?;
    stdout::print("\npreflight: nothing stands in the way\n");
    if let Some(reason) = paused {
        stdout::print(&format!("but intake would pause at once: {reason}\n"));
    }
    Ok(Outcome::Clean)
}

//! `logboom serve`: the daemon, which takes lines over the network, and follows files if it is told to.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, Outcome, daemon};
use crate::config::{Config, Role, Settings};
use crate::store::disk::Disk;

/// Flags of `serve` and `check`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Read settings from this TOML file; flags win over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

/// Resolves the configuration on this machine.
pub fn load(args: &ServeArgs) -> Result<Config, Failure> {
    daemon::load(Role::Serve, args.config.as_deref(), &args.settings)
}

/// Runs the daemon to its end, with the store on `disk`.
pub fn serve(args: &ServeArgs, disk: Disk) -> Result<Outcome, Failure> {
    daemon::run(&load(args)?, disk)
}

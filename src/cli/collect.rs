//! `logboom collect`: follows files, and stores their lines. The daemon without its network intake.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use super::{Failure, Outcome, daemon};
use crate::config::{Role, Settings};
use crate::outputs::Kind;
use crate::store::disk::Disk;

/// Flags of `collect`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct CollectArgs {
    /// Read settings from this TOML file, the same as that of serve; flags win over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where lines are stored, as collected.jsonl and archives, and outputs beside them
    #[arg(long, value_name = "DIR", default_value = "collected_logs")]
    output_dir: PathBuf,
    /// What to write: jsonl is always written, csv as collected.csv, sqlite as collected.sqlite
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "jsonl", value_parser = kind)]
    output_type: Vec<OutputType>,
    /// Read everything to its end, and exit
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    settings: FileSettings,
}

const AFTER_HELP: &str = "\
logboom collect --watch 'logs/*.log' --watch /var/log/app/
  Files are followed through rotation, and go on where they were after a restart. HTTP is off unless --http says where.
  What is stored is found by logboom search --data-dir collected_logs. docs/COLLECT.md says it all.";

/// Of these there is nothing to say where nothing comes over the network, or another flag says it.
const OF_SERVE: [&str; 7] = ["listen", "max_connections", "idle_timeout", "metrics_interval", "ack", "data_dir", "output"];

/// The settings of `serve`, without those of the network.
#[derive(Debug)]
struct FileSettings(Settings);

impl Args for FileSettings {
    fn augment_args(command: Command) -> Command {
        OF_SERVE.into_iter().fold(Settings::augment_args(command), refuse)
    }

    fn augment_args_for_update(command: Command) -> Command {
        OF_SERVE.into_iter().fold(Settings::augment_args_for_update(command), refuse)
    }
}

fn refuse(command: Command, name: &'static str) -> Command {
    let refused = |_: &str| Err::<crate::config::Word, _>("collect takes lines from files alone, and has --output-dir and --output-type");
    command.mut_arg(name, |arg: Arg| arg.hide(true).value_parser(refused))
}

impl FromArgMatches for FileSettings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Settings::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

/// One of `--output-type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OutputType {
    /// The store itself.
    Jsonl,
    Beside(Kind),
}

fn kind(text: &str) -> Result<OutputType, String> {
    if text == "jsonl" {
        return Ok(OutputType::Jsonl);
    }
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == text);
    kind.map(OutputType::Beside).ok_or_else(|| "expected jsonl, csv or sqlite, or several with commas between".to_owned())
}

/// Collects until a signal, or once, with the store on `disk`.
pub fn collect(args: &CollectArgs, disk: Disk) -> Result<Outcome, Failure> {
    let beside = |kind: &Kind| args.output_type.contains(&OutputType::Beside(*kind));
    let kinds = Kind::ALL.into_iter().filter(beside).collect();
    let role = Role::Collect { dir: args.output_dir.clone(), kinds, is_once: args.once };
    daemon::run(&daemon::load(role, args.config.as_deref(), &args.settings.0)?, disk)
}

//! `loadgen verify`: makes the lines of a run again and looks for each in a data directory.
//!
//! One thread per shard reads the shard's files in the order in which they were written, open segment last. The state is bounded: one bit per line of the run, one
//! number per client and shard.

pub mod counts;
pub mod ledger;
pub mod names;
pub mod reader;
pub mod segments;

use std::io::{Write as _, stdout};
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use anyhow::{Context, anyhow, ensure};
use serde::Serialize;

use crate::cli::{Duplicates, EXIT_WRONG, ReportForm, Require, VerifyArgs};
use crate::manifest::{ClientPart, Manifest};
use crate::payload::{Judgement, Payload};
use counts::{Counts, Examples};
use ledger::{Ledger, Orders, Sighting};
use segments::{Shard, Snapshot};

/// What was found.
#[derive(Debug, Serialize)]
pub struct Verdict {
    /// The run.
    pub run: String,
    /// No difference.
    pub good: bool,
    /// Lines that must be there.
    pub required: u64,
    /// Why: they were `sent`, `confirmed` or `acknowledged`.
    pub required_because: &'static str,
    /// Lines that the run sent, whether required or not.
    pub sent: u64,
    /// Lines that the target refused: never required.
    pub refused: u64,
    /// Lines that must be there and are nowhere.
    pub missing: u64,
    /// Header lines that must be there (CSV: one per connection, unless lines are stored by column). Those of other runs look the same, so more are no difference.
    pub headers_required: u64,
    /// Everything that was counted while reading.
    #[serde(flatten)]
    pub counts: Counts,
    /// Files that could not be read to their end.
    pub damaged: Vec<String>,
    /// The first differences of each kind.
    pub examples: Vec<String>,
    /// Files that were read.
    pub files: u64,
    /// How long it took.
    pub seconds: f64,
    /// Lines read per second, those of other runs included.
    pub rate: f64,
}

/// What one shard's files hold.
#[derive(Debug, Default)]
struct Found {
    counts: Counts,
    damaged: Vec<String>,
    examples: Examples,
    files: u64,
}

/// Compares a directory with a manifest; exits with 1 where they differ.
pub fn verify(args: VerifyArgs) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let manifest = Manifest::read(&args.manifest)?;
    let snapshot = Snapshot::take(&args.data_dir, &args.stream)?;
    let require = required(&manifest, args.require)?;
    let payload = Payload::of_size(manifest.seed, manifest.format, manifest.line_bytes);
    let ledger = Ledger::new(&manifest);

    let found: Vec<Found> = thread::scope(|scope| {
        let (payload, ledger) = (&payload, &ledger);
        let readers: Vec<_> = snapshot.shards.into_iter().map(|shard| scope.spawn(move || read_shard(shard, payload, ledger))).collect();
        readers.into_iter().map(|reader| reader.join().map_err(|_| anyhow!("a reader's thread panicked"))?).collect::<anyhow::Result<_>>()
    })?;

    let verdict = Verdict::new(&manifest, require, args.duplicates, &ledger, found, begun);
    let text = match args.report {
        ReportForm::Text => verdict.to_string(),
        ReportForm::Json => serde_json::to_string_pretty(&verdict).context("the report as JSON")?,
    };
    writeln!(stdout(), "{}", text.trim_end()).context("write the report to stdout")?;
    Ok(if verdict.good { ExitCode::SUCCESS } else { ExitCode::from(EXIT_WRONG) })
}

/// Which lines must be there: what was asked for, or what the run can vouch for.
fn required(manifest: &Manifest, asked: Option<Require>) -> anyhow::Result<Require> {
    let acknowledges = manifest.clients.iter().any(|part| part.acknowledged.is_some());
    let require = asked.unwrap_or(if acknowledges { Require::Acknowledged } else { Require::Sent });
    ensure!(acknowledges || require != Require::Acknowledged, "--require acknowledged needs the manifest of a run to relp://");
    Ok(require)
}

fn read_shard(shard: Shard, payload: &Payload, ledger: &Ledger) -> anyhow::Result<Found> {
    let mut found = Found::default();
    let mut orders = Orders::new(ledger);
    for segment in shard.segments {
        let opened = segment.open()?;
        let name = opened.name.clone();
        found.files += 1;
        let end = reader::for_each_line(opened, |line| found.count(line, &name, payload, ledger, &mut orders));
        match end {
            Ok(reader::End::Whole) => {}
            Ok(reader::End::Torn) => found.counts.torn += 1,
            Err(error) => found.damaged.push(format!("{name}: {error}")),
        }
    }
    Ok(found)
}

impl Found {
    fn count(&mut self, line: &[u8], file: &str, payload: &Payload, ledger: &Ledger, orders: &mut Orders) {
        let judgement = payload.judge(line);
        let (id, intact) = match judgement {
            Judgement::Intact(id) => (id, true),
            Judgement::ByColumn(id) => {
                self.counts.by_column += 1;
                (id, true)
            }
            Judgement::Altered(id) => (id, false),
            Judgement::Garbled => {
                self.counts.altered += 1;
                return self.examples.add("altered", || format!("{file}: {}", shown(line)));
            }
            Judgement::Header => return self.counts.headers += 1,
            Judgement::Other => return self.counts.other += 1,
        };
        let place = || format!("{file}: client {}, line {}", id.client, id.seq);
        let sighting = ledger.see(id);
        if sighting == Sighting::Unexpected {
            self.counts.unexpected += 1;
            return self.examples.add("unexpected", place);
        }
        if !intact {
            self.counts.altered += 1;
            self.examples.add("altered", || format!("{}: {}", place(), shown(line)));
        }
        if sighting != Sighting::First {
            self.counts.duplicate += 1;
            let explained = sighting == Sighting::AgainResent;
            self.counts.duplicate_explained += u64::from(explained);
            return self.examples.add(if explained { "explained duplicate" } else { "duplicate" }, place);
        }
        self.counts.found += 1;
        if orders.is_behind(id) {
            self.counts.reordered += 1;
            self.examples.add("reordered", place);
        }
    }
}

/// A line as an example shows it.
fn shown(line: &[u8]) -> String {
    const SHOWN_BYTES: usize = 400;
    String::from_utf8_lossy(&line[..line.len().min(SHOWN_BYTES)]).into_owned()
}

impl Verdict {
    fn new(manifest: &Manifest, require: Require, accepted: Duplicates, ledger: &Ledger, found: Vec<Found>, begun: Instant) -> Self {
        let (mut counts, mut damaged, mut examples, mut files) = (Counts::default(), Vec::new(), Examples::default(), 0);
        for part in found {
            counts.add(&part.counts);
            damaged.extend(part.damaged);
            examples.merge(part.examples);
            files += part.files;
        }
        let (mut required, mut missing, mut headers_required) = (0, 0, 0);
        for (client, part) in (0..).zip(&manifest.clients) {
            let lines = match require {
                Require::Sent => part.sent,
                Require::Confirmed => part.confirmed,
                Require::Acknowledged => part.acknowledged.unwrap_or(0),
            };
            headers_required += u64::from(part.header && 0 < lines);
            for owed in part.owed(lines) {
                required += owed.end - owed.start;
                missing += ledger.missing(client, owed, |first, last| {
                    examples.add("missing", || format!("client {client}, lines {first} to {last}"));
                });
            }
        }
        if counts.by_column > 0 {
            headers_required = 0;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let read = counts.found + counts.duplicate + counts.unexpected + counts.headers + counts.other;
        Self {
            run: manifest.run.clone(),
            good: missing == 0 && headers_required <= counts.headers && damaged.is_empty() && counts.is_clean(accepted),
            required,
            required_because: require.name(),
            sent: manifest.clients.iter().map(|part| part.sent).sum(),
            refused: manifest.clients.iter().map(ClientPart::refused_lines).sum(),
            missing,
            headers_required,
            counts,
            damaged,
            examples: examples.into_lines(),
            files,
            seconds,
            rate: read as f64 / seconds,
        }
    }
}

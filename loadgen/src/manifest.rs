//! What a run really sent: written by `run`, read by `verify`.

use std::fs;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use crate::payload::Format;
use crate::payload::slots::{CLIENTS_MAX, LINES_MAX};

/// The version of the file's shape.
const VERSION: u32 = 1;
/// How often a client reconnects at most, and so how many ranges of lines it can have sent again.
pub const RECONNECTS_MAX: u64 = 100_000;
/// How many separate ranges of lines a target may refuse before a client gives up.
pub const REFUSED_MAX: usize = 1000;

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of this shape.
    pub version: u32,
    /// The run's name in every line; follows from the seed.
    pub run: String,
    /// What the lines are made from.
    pub seed: u64,
    /// How they are written.
    pub format: Format,
    /// How long JSON lines are, about, if not as traffic has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line_bytes: Option<u32>,
    /// Where they went.
    pub target: String,
    /// When the run began, RFC 3339.
    pub started: String,
    /// Each client's part.
    pub clients: Vec<ClientPart>,
}

/// What one client did. `confirmed <= sent <= attempted`, and `acknowledged <= sent`; each counts a prefix of the client's lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientPart {
    /// Lines of which a byte may have been handed to the kernel.
    pub attempted: u64,
    /// Lines that the kernel took whole.
    pub sent: u64,
    /// Lines that the target confirmed, by closing the connection only after everything that was sent (tcp), or that are in the file (file), or that are
    /// acknowledged (relp).
    pub confirmed: u64,
    /// Lines that the target answered: it acknowledged all of them but those in `refused`. Only relp has answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<u64>,
    /// Lines that it answered with an error instead, in ascending ranges.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Range<u64>>,
    /// Lines that were sent again, one range for each session that did; neither their starts nor their ends ever fall.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resent: Vec<Range<u64>>,
    /// Sessions after the first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reconnects: u64,
    /// Whether the format's header line went first.
    pub header: bool,
    /// What ended it early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

fn lines_of(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}

impl ClientPart {
    /// Line `seq`, the last that was answered, was refused.
    pub fn note_refused(&mut self, seq: u64) {
        match self.refused.last_mut() {
            Some(last) if last.end == seq => last.end += 1,
            _ => self.refused.push(seq..seq + 1),
        }
    }

    /// How many were refused.
    pub fn refused_lines(&self) -> u64 {
        lines_of(&self.refused)
    }

    /// How many were sent again, each as often as it was.
    pub fn resent_lines(&self) -> u64 {
        lines_of(&self.resent)
    }

    /// The first `lines` lines without those that were refused.
    pub fn owed(&self, lines: u64) -> Vec<Range<u64>> {
        let mut owed = Vec::with_capacity(self.refused.len() + 1);
        let mut start = 0;
        for refused in &self.refused {
            owed.push(start..refused.start.min(lines));
            start = refused.end;
        }
        owed.push(start..lines);
        owed.retain(|range| range.start < range.end);
        owed
    }

    fn check(&self) -> anyhow::Result<()> {
        let Self { attempted, sent, confirmed, acknowledged, refused, resent, .. } = self;
        let answered = acknowledged.unwrap_or(0);
        ensure!(
            confirmed <= sent && sent <= attempted && *attempted <= LINES_MAX,
            "confirmed {confirmed}, sent {sent}, attempted {attempted}"
        );
        ensure!(answered <= *sent, "acknowledged {answered}, sent {sent}");
        let in_order = |pair: &[Range<u64>]| pair[0].end < pair[1].start;
        ensure!(is_proper(refused, answered) && refused.windows(2).all(in_order), "refused {refused:?}");
        let rising = |pair: &[Range<u64>]| pair[0].start <= pair[1].start && pair[0].end <= pair[1].end;
        ensure!(is_proper(resent, *sent) && resent.windows(2).all(rising), "resent {resent:?}");
        Ok(())
    }
}

/// Whether no range is empty, and none reaches beyond `lines`.
fn is_proper(ranges: &[Range<u64>], lines: u64) -> bool {
    ranges.iter().all(|range| range.start < range.end && range.end <= lines)
}

impl Manifest {
    /// A manifest of this version.
    pub fn new(run: String, seed: u64, format: Format, target: String, started: String, clients: Vec<ClientPart>) -> Self {
        Self { version: VERSION, run, seed, format, line_bytes: None, target, started, clients }
    }

    /// Writes it whole or not at all.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let mut name = path.file_name().with_context(|| format!("--manifest {}: not a file name", path.display()))?.to_owned();
        name.push(".tmp");
        let temporary = path.with_file_name(name);
        let mut text = serde_json::to_string_pretty(self).context("the manifest as JSON")?;
        text.push('\n');
        fs::write(&temporary, text).with_context(|| format!("write {}", temporary.display()))?;
        fs::rename(&temporary, path).with_context(|| format!("rename {} to {}", temporary.display(), path.display()))
    }

    /// Reads and checks one.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read(path).with_context(|| format!("read {}", path.display()))?;
        let manifest: Self = serde_json::from_slice(&text).with_context(|| format!("{} is not a manifest", path.display()))?;
        manifest.check().with_context(|| format!("{} is not a manifest of this version", path.display()))?;
        Ok(manifest)
    }

    fn check(&self) -> anyhow::Result<()> {
        ensure!(self.version == VERSION, "version {}, expected {VERSION}", self.version);
        ensure!(self.clients.len() <= CLIENTS_MAX as usize, "{} clients, at most {CLIENTS_MAX}", self.clients.len());
        ensure!(self.run == crate::payload::run_name(self.seed), "run {} does not follow from seed {}", self.run, self.seed);
        for (client, part) in self.clients.iter().enumerate() {
            part.check().with_context(|| format!("client {client}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let part = ClientPart {
            attempted: 300,
            sent: 250,
            acknowledged: Some(200),
            refused: vec![10..12, 50..51],
            resent: vec![100..120, 100..130],
            header: true,
            error: Some("reset".to_owned()),
            ..ClientPart::default()
        };
        Manifest::new(crate::payload::run_name(9), 9, Format::Csv, "tcp://h:1".to_owned(), "now".to_owned(), vec![part])
    }

    #[test]
    fn it_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.json");
        manifest().write(&path).unwrap();
        assert_eq!(Manifest::read(&path).unwrap(), manifest());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn nonsense_is_refused() {
        let wrong: [fn(&mut Manifest); 9] = [
            |manifest| manifest.version = 2,
            |manifest| manifest.seed = 10,
            |manifest| manifest.clients[0].sent = 301,
            |manifest| manifest.clients[0].acknowledged = Some(251),
            |manifest| manifest.clients[0].refused[1] = 12..13,
            |manifest| manifest.clients[0].refused[1] = 199..201,
            |manifest| manifest.clients[0].resent[1] = 130..130,
            |manifest| manifest.clients[0].resent[1] = 100..119,
            |manifest| manifest.clients[0].resent[1] = 100..251,
        ];
        assert!(manifest().check().is_ok());
        for spoil in wrong {
            let mut manifest = manifest();
            spoil(&mut manifest);
            assert!(manifest.check().is_err(), "{manifest:?}");
        }
    }

    #[test]
    fn refused_lines_are_not_owed() {
        let mut part = ClientPart::default();
        for seq in [0, 3, 4, 9] {
            part.note_refused(seq);
        }
        assert_eq!(part.refused_lines(), 4);
        let table: [(u64, &[(u64, u64)]); 6] =
            [(0, &[]), (1, &[]), (4, &[(1, 3)]), (5, &[(1, 3)]), (6, &[(1, 3), (5, 6)]), (12, &[(1, 3), (5, 9), (10, 12)])];
        for (lines, owed) in table {
            let ranges: Vec<(u64, u64)> = part.owed(lines).into_iter().map(|range| (range.start, range.end)).collect();
            assert_eq!(ranges, owed, "{lines}");
        }
    }
}

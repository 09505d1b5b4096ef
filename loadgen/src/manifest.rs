//! What a run really sent: written by `run`, read by `verify`.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use crate::payload::Format;
use crate::payload::slots::{CLIENTS_MAX, LINES_MAX};

/// The version of the file's shape.
const VERSION: u32 = 1;

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
    /// Where they went.
    pub target: String,
    /// When the run began, RFC 3339.
    pub started: String,
    /// Each client's part.
    pub clients: Vec<ClientPart>,
}

/// What one client did. `confirmed <= sent <= attempted`; each counts a prefix of the client's lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientPart {
    /// Lines of which a byte may have been handed to the kernel.
    pub attempted: u64,
    /// Lines that the kernel took whole.
    pub sent: u64,
    /// Lines that the target confirmed, by closing the connection only after everything that was sent (tcp), or that are in the file (file).
    pub confirmed: u64,
    /// Whether the format's header line went first.
    pub header: bool,
    /// What ended it early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Manifest {
    /// A manifest of this version.
    pub fn new(run: String, seed: u64, format: Format, target: String, started: String, clients: Vec<ClientPart>) -> Self {
        Self { version: VERSION, run, seed, format, target, started, clients }
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
            let ordered = part.confirmed <= part.sent && part.sent <= part.attempted && part.attempted <= LINES_MAX;
            ensure!(ordered, "client {client}: confirmed {}, sent {}, attempted {}", part.confirmed, part.sent, part.attempted);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let part = ClientPart { attempted: 300, sent: 250, confirmed: 0, header: true, error: Some("reset".to_owned()) };
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
        let mut wrong = [manifest(), manifest(), manifest()];
        wrong[0].version = 2;
        wrong[1].seed = 10;
        wrong[2].clients[0].sent = 301;
        for manifest in wrong {
            assert!(manifest.check().is_err(), "{manifest:?}");
        }
    }
}

//! What an output is, as it is typed: `csv:PATH` or `sqlite:PATH`.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::csv::Names;
use crate::store::name::FileName;

/// The kinds of outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// CSV files (RFC 4180), rotated.
    Csv,
    /// An SQLite database.
    Sqlite,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 2] = [Kind::Csv, Kind::Sqlite];

    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Csv => "csv",
            Kind::Sqlite => "sqlite",
        }
    }

    /// What is behind the path in the names of the files that belong to it.
    fn suffixes(self) -> &'static [&'static str] {
        match self {
            Kind::Csv => &["", ".cursor", ".cursor.tmp"],
            Kind::Sqlite => &["", "-wal", "-shm", "-journal"],
        }
    }
}

/// One output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its kind.
    pub kind: Kind,
    /// Its file.
    pub path: PathBuf,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.name(), self.path.display())
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Target, String> {
        const EXPECTED: &str = "expected csv:PATH or sqlite:PATH";
        let (kind, path) = text.split_once(':').ok_or(EXPECTED)?;
        let kind = Kind::ALL.into_iter().find(|known| known.name() == kind).ok_or(EXPECTED)?;
        let path = PathBuf::from(path);
        if path.file_name().is_none() || text.ends_with('/') || path.is_dir() {
            return Err(format!("{EXPECTED}, the path of a file"));
        }
        Ok(Target { kind, path })
    }
}

impl Target {
    /// The collector's output of `kind` beside its store in `dir`: `collected.csv`, `collected.sqlite`.
    pub fn collected(kind: Kind, dir: &Path) -> Target {
        Target { kind, path: dir.join(format!("collected.{}", kind.name())) }
    }

    /// Its folder.
    pub fn folder(&self) -> PathBuf {
        Names::new(&self.path).folder().to_owned()
    }

    /// Whether the file `name` of its folder is its own.
    pub fn owns(&self, name: &Path) -> bool {
        let name = name.to_string_lossy();
        let beside = self
            .path
            .file_name()
            .and_then(|open| name.strip_prefix(&*open.to_string_lossy()).map(|rest| self.kind.suffixes().contains(&rest)));
        beside == Some(true) || self.kind == Kind::Csv && Names::new(&self.path).is_sealed(&name)
    }

    /// The files that are its own, by paths that tell whether two are the same. Of sealed ones the first stands for all.
    fn files(&self) -> impl Iterator<Item = PathBuf> {
        let path = comparable(&self.path);
        let sealed = (self.kind == Kind::Csv).then(|| path.with_file_name(Names::new(&path).sealed(0, 1)));
        let beside = self.kind.suffixes().iter().map(move |suffix| {
            let mut name = OsString::from(&path);
            name.push(suffix);
            PathBuf::from(name)
        });
        beside.chain(sealed)
    }
}

/// Absolute, with the links of the folder resolved where it exists.
fn comparable(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let (Some(folder), Some(name)) = (absolute.parent(), absolute.file_name()) else { return absolute };
    folder.canonicalize().map_or_else(|_| absolute.clone(), |folder| folder.join(name))
}

/// Why the output `target` can't be beside `others` and the store in `data_dir`, if it can't.
pub fn clash(target: &Target, others: &[Target], data_dir: &Path) -> Option<String> {
    let data_dir = comparable(&data_dir.join("x"));
    for file in target.files() {
        if let Some(other) = others.iter().find(|other| other.files().any(|other| other == file)) {
            return Some(format!("{} belongs to {other} as well; expected a file of its own", file.display()));
        }
        let name = file.file_name().and_then(|name| name.to_str());
        if file.parent() == data_dir.parent() && name.is_some_and(|name| FileName::parse(name).is_some()) {
            return Some(format!("{} is a name of the store's own; expected another name or folder", file.display()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Target {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_typed() {
        for text in ["csv:logs.csv", "sqlite:/var/lib/x/logs.db", "csv:a:b"] {
            assert_eq!(target(text).to_string(), text);
        }
        for text in ["logs.csv", "parquet:x", "csv:", "csv:/", "sqlite:x/", "csv:/tmp", "CSV:x", ":x"] {
            assert!(text.parse::<Target>().unwrap_err().contains("csv:PATH"), "{text}");
        }
    }

    #[test]
    fn what_is_its_own() {
        let (csv, sqlite) = (target("csv:out/all.csv"), target("sqlite:x.db"));
        assert_eq!((csv.folder(), sqlite.folder()), (PathBuf::from("out"), PathBuf::from(".")));
        for (target, name, is_own) in [
            (&csv, "all.csv", true),
            (&csv, "all.csv.cursor.tmp", true),
            (&csv, "all_20261124_150000_000042.csv", true),
            (&csv, "all_20261124_150000_1000042.csv", true),
            (&csv, "all.csv.1", false),
            (&csv, "all_of_them.csv", false),
            (&csv, "all_20261124_150000_000042.csv.gz", false),
            (&sqlite, "x.db-wal", true),
            (&sqlite, "x_20261124_150000_000042.db", false),
        ] {
            assert_eq!(target.owns(Path::new(name)), is_own, "{target} {name}");
        }
    }

    #[test]
    fn no_file_belongs_to_two() {
        let dir = tempfile::tempdir().unwrap();
        let (data, link) = (dir.path().join("data"), dir.path().join("link"));
        std::fs::create_dir(&data).unwrap();
        std::os::unix::fs::symlink(&data, &link).unwrap();
        let of = |kind: &str, path: &Path, name: &str| target(&format!("{kind}:{}", path.join(name).display()));
        let others = [of("csv", &data, "x.csv"), of("sqlite", &data, "x.db")];
        for (target, refused) in [
            (of("csv", &data, "y.csv"), false),
            (of("csv", &data, "x.csv"), true),
            (of("sqlite", &link, "x.csv"), true),
            (of("sqlite", &data, "x.csv.cursor"), true),
            (of("csv", &data, "x.db-wal"), true),
            (of("csv", &data, "logs.jsonl"), true),
            (of("csv", &link, "logs_20261124_150000_000042.meta"), true),
            (of("sqlite", &data, "logboom.lock"), true),
            (of("csv", &data, "logs.meta"), true), // sealed, it would look like a block table
            (of("sqlite", &data, "logs.meta"), false),
            (of("csv", dir.path(), "logs.jsonl"), false),
        ] {
            assert_eq!(clash(&target, &others, &data).is_some(), refused, "{target}");
        }
    }
}

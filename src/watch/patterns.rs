//! What is to be followed, as it was typed: files, folders, globs; and what there is of it now.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use glob::{MatchOptions, Pattern as Glob};

use super::content::FileKey;
use super::task::Encoding;
use super::tracker::Found;
use crate::limits::WATCH_PATH_BYTES_MAX;

/// One of the things to follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// A file, or the files in a folder: whichever it is when it is looked at.
    Path(PathBuf),
    /// What a glob matches: `*`, `?`, `[...]` within a name, `**` over folders.
    Glob(String),
}

/// Whether archives are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Archives {
    /// Names that end with `.gz`, once.
    Gzip,
    /// They are passed over.
    Skipped,
}

/// What there is.
#[derive(Debug, Default)]
pub struct Scan {
    /// Files; those that are asked for come first, each kind by name.
    pub found: Vec<Found>,
    /// Folders in which more may appear.
    pub folders: BTreeSet<PathBuf>,
    /// What could not be looked at.
    pub errors: Vec<(PathBuf, io::Error)>,
}

/// `*` matches hidden files too; a folder's end is never matched by it.
const OPTIONS: MatchOptions = MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// Names that tell that a file is compressed. Only the first can be read.
const COMPRESSED: [&str; 5] = ["gz", "zst", "bz2", "xz", "lz4"];

impl std::str::FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() || WATCH_PATH_BYTES_MAX < text.len() {
            return Err(format!("expected a file, a folder or a glob of 1 to {WATCH_PATH_BYTES_MAX} bytes"));
        }
        if !text.contains(['*', '?', '[']) || Path::new(text).exists() {
            return Ok(Self::Path(PathBuf::from(text)));
        }
        Glob::new(text).map_err(|error| format!("expected a glob: {} at character {}", error.msg, error.pos + 1))?;
        Ok(Self::Glob(text.to_owned()))
    }
}

impl Pattern {
    /// The same from the root: notifications tell paths from there.
    pub fn absolute(&self) -> io::Result<Self> {
        match self {
            Self::Path(path) => std::path::absolute(path).map(Self::Path),
            Self::Glob(text) if text.starts_with('/') => Ok(self.clone()),
            Self::Glob(text) => {
                let folder = std::env::current_dir()?;
                Ok(Self::Glob(format!("{}/{text}", Glob::escape(&folder.to_string_lossy()))))
            }
        }
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Glob(text) => f.write_str(text),
        }
    }
}

/// Looks at what there is of `patterns`; nothing in the folder `outside`, which is the store's own.
pub fn scan(patterns: &[Pattern], archives: Archives, outside: &Path) -> Scan {
    let mut scan = Scan::default();
    let mut matched = BTreeSet::new();
    for pattern in patterns {
        match pattern {
            Pattern::Path(path) => scan.path(path, &mut matched),
            Pattern::Glob(text) => scan.glob(text, &mut matched),
        }
    }
    let mut others = BTreeSet::new();
    for folder in scan.folders.clone() {
        let names = files_in(&folder, &mut scan.errors);
        others.extend(names.into_iter().filter(|name| !matched.contains(name)));
    }
    let outside = outside.canonicalize().ok();
    let mut is_own: HashMap<PathBuf, bool> = HashMap::new();
    let mut is_outside = |path: &Path| {
        let Some(folder) = path.parent().filter(|_| outside.is_some()) else { return false };
        if let Some(is_own) = is_own.get(folder) {
            return *is_own;
        }
        let is_it = folder.canonicalize().ok() == outside;
        is_own.insert(folder.to_owned(), is_it);
        is_it
    };
    scan.folders.retain(|folder| outside.is_none() || folder.canonicalize().ok() != outside);
    for (paths, is_matched) in [(matched, true), (others, false)] {
        for path in paths {
            let Some(encoding) = encoding(&path, archives).filter(|_| !is_outside(&path)) else { continue };
            scan.stat(&path, encoding, is_matched);
        }
    }
    scan
}

/// What is known of one file.
pub fn look(path: &Path, archives: Archives, is_matched: bool) -> io::Result<Option<Found>> {
    let Some(encoding) = encoding(path, archives) else { return Ok(None) };
    let meta = fs::metadata(path)?;
    Ok(meta.is_file().then(|| found(path, &meta, encoding, is_matched)))
}

fn found(path: &Path, meta: &fs::Metadata, encoding: Encoding, is_matched: bool) -> Found {
    let key = FileKey { dev: meta.dev(), ino: meta.ino() };
    let modified_ns = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
    Found { path: Arc::from(path), key, size: meta.len(), modified_ns, encoding, is_matched }
}

/// How the file is to be read, if it is.
fn encoding(path: &Path, archives: Archives) -> Option<Encoding> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match (COMPRESSED.contains(&extension), extension, archives) {
        (false, ..) => Some(Encoding::Plain),
        (true, "gz", Archives::Gzip) => Some(Encoding::Gzip),
        _ => None,
    }
}

/// The files of `folder`, and what looks like one.
fn files_in(folder: &Path, errors: &mut Vec<(PathBuf, io::Error)>) -> Vec<PathBuf> {
    let mut names = Vec::new();
    let listed = fs::read_dir(folder).map(|entries| {
        for entry in entries.flatten() {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if !is_folder {
                names.push(entry.path());
            }
        }
    });
    if let Err(error) = listed.or_else(missing) {
        errors.push((folder.to_owned(), error));
    }
    names
}

/// What is missing may come.
fn missing(error: io::Error) -> io::Result<()> {
    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) { Ok(()) } else { Err(error) }
}

/// The nearest folder that exists on the way to `path`: there it will appear.
fn nearest_folder(path: &Path) -> Option<PathBuf> {
    path.ancestors()
        .skip(1)
        .map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
        .find(|folder| folder.is_dir())
        .map(Path::to_owned)
}

impl Scan {
    fn path(&mut self, path: &Path, matched: &mut BTreeSet<PathBuf>) {
        if path.is_dir() {
            matched.extend(files_in(path, &mut self.errors));
            self.folders.insert(path.to_owned());
        } else {
            self.folders.extend(nearest_folder(path));
            matched.insert(path.to_owned());
        }
    }

    fn glob(&mut self, text: &str, matched: &mut BTreeSet<PathBuf>) {
        // Up to the first part that is a pattern.
        let literal: PathBuf =
            Path::new(text).components().take_while(|part| !part.as_os_str().to_string_lossy().contains(['*', '?', '['])).collect();
        self.folders.extend(nearest_folder(&literal.join("x")));
        let Ok(paths) = glob::glob_with(text, OPTIONS) else { return };
        for path in paths {
            match path {
                Ok(path) if path.is_dir() => {
                    // `logs/**` and `logs/*` match folders as well as files.
                    if text.ends_with("**") {
                        self.folders.insert(path);
                    }
                }
                Ok(path) => {
                    self.folders.extend(nearest_folder(&path));
                    matched.insert(path);
                }
                Err(error) => {
                    let path = error.path().to_owned();
                    self.errors.push((path, error.into()));
                }
            }
        }
    }

    fn stat(&mut self, path: &Path, encoding: Encoding, is_matched: bool) {
        match fs::metadata(path) {
            Ok(meta) if meta.is_file() => {
                self.found.push(found(path, &meta, encoding, is_matched));
            }
            Ok(_) => {}
            Err(error) if is_matched => self.errors.extend(missing(error).err().map(|error| (path.to_owned(), error))),
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(scan: &Scan, dir: &Path, is_matched: bool) -> Vec<String> {
        let of = |found: &&Found| found.is_matched == is_matched;
        let name = |found: &Found| found.path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
        scan.found.iter().filter(of).map(name).collect()
    }

    #[test]
    fn files_folders_and_globs() {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path(), dir.path().join("collected_logs"));
        for folder in ["logs/deep", "collected_logs"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for file in ["logs/a.log", "logs/a.log.1", "logs/b.log.gz", "logs/c.txt", "logs/deep/d.log", "collected_logs/x.log", "lone"] {
            fs::write(root.join(file), file).unwrap();
        }
        std::os::unix::fs::symlink("a.log", root.join("logs/link.log")).unwrap();
        let scan_of = |text: &str, archives| {
            let pattern: Pattern = root.join(text).to_str().unwrap().parse().unwrap();
            scan(&[pattern], archives, &outside)
        };
        let globbed = scan_of("logs/*.log", Archives::Skipped);
        assert_eq!(names(&globbed, root, true), ["logs/a.log", "logs/link.log"]);
        assert_eq!(names(&globbed, root, false), ["logs/a.log.1", "logs/c.txt"]);
        assert_eq!(globbed.found[0].key, globbed.found[1].key, "the link's target counts");
        assert_eq!(globbed.folders, BTreeSet::from([root.join("logs")]));
        let folder = scan_of("logs", Archives::Gzip);
        assert_eq!(names(&folder, root, true), ["logs/a.log", "logs/a.log.1", "logs/b.log.gz", "logs/c.txt", "logs/link.log"]);
        assert_eq!(folder.found[2].encoding, Encoding::Gzip);
        assert_eq!(names(&scan_of("**/*.log", Archives::Skipped), root, true), ["logs/a.log", "logs/deep/d.log", "logs/link.log"]);
        assert_eq!(names(&scan_of("lone", Archives::Skipped), root, true), ["lone"]);
        let late = scan_of("later/still/*.log", Archives::Skipped);
        assert_eq!((late.found.iter().filter(|found| found.is_matched).count(), late.errors.len()), (0, 0));
        assert_eq!(late.folders, BTreeSet::from([root.to_owned()]));
    }

    #[test]
    fn what_is_no_pattern() {
        assert!("".parse::<Pattern>().is_err());
        let refused = "logs/[a".parse::<Pattern>().unwrap_err();
        assert!(refused.contains("at character 6"), "{refused}");
        let pattern: Pattern = "logs/*.log".parse().unwrap();
        assert_eq!(pattern.to_string(), "logs/*.log");
        let absolute = pattern.absolute().unwrap().to_string();
        assert!(absolute.starts_with('/') && absolute.ends_with("/logs/*.log"), "{absolute}");
    }
}

//! What is to be followed, as it was typed: files, folders, globs; and what there is of it now.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use glob::Pattern as Glob;

use super::content::FileKey;
use super::own::{OwnFiles, OwnFolder};
use super::task::Encoding;
use super::tracker::Found;
use super::walk::{self, Folders, missing};
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
    /// What was asked for by name and is not there, or no name is like.
    pub missing: Vec<String>,
    /// What could not be looked at.
    pub errors: Vec<(PathBuf, io::Error)>,
}

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

impl Pattern {
    /// Whether nothing but files of the folder `dir` is ever found.
    pub fn is_only_in(&self, dir: &Path) -> bool {
        let real = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned());
        let folder = match self {
            Self::Path(path) if path.is_dir() => path.clone(),
            Self::Path(path) => std::path::absolute(path).ok().and_then(|path| path.parent().map(Path::to_owned)).unwrap_or_default(),
            Self::Glob(text) => match walk::fixed(text) {
                (folder, true) => Path::new(".").join(folder),
                (_, false) => return false,
            },
        };
        real(&folder) == real(dir) || matches!(self, Self::Path(path) if real(path) == real(dir))
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

/// Looks at what there is of `patterns`; at none of the files that are this process's `own`.
pub fn scan(patterns: &[Pattern], archives: Archives, own: &[OwnFolder]) -> Scan {
    let mut scan = Scan::default();
    let (mut own, mut listed, mut matched) = (OwnFiles::new(own), Folders::default(), BTreeSet::new());
    for pattern in patterns {
        let is_there = match pattern {
            Pattern::Path(path) => scan.path(path, &mut listed, &mut matched),
            Pattern::Glob(text) => scan.glob(text, &mut listed, &mut matched),
        };
        if !is_there {
            scan.missing.push(pattern.to_string());
        }
    }
    let mut others = BTreeSet::new();
    for folder in &scan.folders {
        let names = listed.list(folder);
        others.extend(names.iter().filter(|name| name.is_file() && !matched.contains(&name.path)).map(|name| name.path.clone()));
    }
    scan.errors = listed.errors;
    for (paths, is_matched) in [(matched, true), (others, false)] {
        for path in paths {
            if let Some(encoding) = encoding(&path, archives) {
                scan.stat(&path, encoding, is_matched, &mut own);
            }
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

/// The nearest folder that exists on the way to `path`: there it will appear.
fn nearest_folder(path: &Path) -> Option<PathBuf> {
    path.ancestors()
        .skip(1)
        .map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
        .find(|folder| folder.is_dir())
        .map(Path::to_owned)
}

impl Scan {
    fn path(&mut self, path: &Path, listed: &mut Folders, matched: &mut BTreeSet<PathBuf>) -> bool {
        if path.is_dir() {
            matched.extend(listed.list(path).iter().filter(|name| name.is_file()).map(|name| name.path.clone()));
            self.folders.insert(path.to_owned());
        } else {
            self.folders.extend(nearest_folder(path));
            matched.insert(path.to_owned());
        }
        path.try_exists().unwrap_or(true) // an error is told besides
    }

    fn glob(&mut self, text: &str, listed: &mut Folders, matched: &mut BTreeSet<PathBuf>) -> bool {
        let mut is_there = false;
        self.folders.extend(nearest_folder(&walk::fixed(text).0.join("x")));
        walk::walk(text, listed, &mut |path| {
            self.folders.extend(path.parent().map(Path::to_owned));
            matched.insert(path.to_owned());
            is_there = true;
        });
        is_there
    }

    fn stat(&mut self, path: &Path, encoding: Encoding, is_matched: bool, own: &mut OwnFiles<'_>) {
        match file(path, own) {
            Ok(Some(meta)) => self.found.push(found(path, &meta, encoding, is_matched)),
            Ok(None) => {}
            Err(error) if is_matched => self.errors.extend(missing(error).map(|error| (path.to_owned(), error))),
            Err(_) => {}
        }
    }
}

/// What is known of the file that `path` leads to; none if it is no file to follow.
fn file(path: &Path, own: &mut OwnFiles<'_>) -> io::Result<Option<fs::Metadata>> {
    let mut meta = fs::symlink_metadata(path)?;
    let is_own = if meta.is_symlink() {
        meta = fs::metadata(path)?;
        own.is_at(&path.canonicalize()?)
    } else {
        own.is_at(path)
    };
    Ok((meta.is_file() && !is_own && !own.is_also(&meta)).then_some(meta))
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
            scan(&[pattern], archives, &[OwnFolder::whole(outside.clone())])
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
    fn what_the_process_writes_is_not_followed_by_any_name() {
        let dir = tempfile::tempdir().unwrap();
        let (root, store, logs) = (dir.path(), dir.path().join("store"), dir.path().join("logs"));
        for folder in [&store, &logs] {
            fs::create_dir_all(folder).unwrap();
        }
        for file in ["store/collected.jsonl", "logs/all.csv", "logs/all.csv.cursor", "logs/app.log"] {
            fs::write(root.join(file), file).unwrap();
        }
        let link = |from: &str, to: &str| std::os::unix::fs::symlink(from, root.join(to)).unwrap();
        link("../store/collected.jsonl", "logs/link.log");
        link("../store", "logs/folder");
        link("all.csv", "logs/csv.log");
        fs::hard_link(store.join("collected.jsonl"), logs.join("hard.log")).unwrap();
        fs::hard_link(logs.join("app.log"), logs.join("app2.log")).unwrap();
        let own = [
            OwnFolder::whole(store.clone()),
            OwnFolder { path: logs.clone(), is_own: Box::new(|name| name.to_string_lossy().starts_with("all.csv")) },
        ];
        for text in ["logs", "logs/**", "logs/*/*", "**/*", "store"] {
            let scan = scan(&[root.join(text).to_str().unwrap().parse().unwrap()], Archives::Skipped, &own);
            let expected: &[&str] = if ["store", "logs/*/*"].contains(&text) { &[] } else { &["logs/app.log", "logs/app2.log"] };
            assert_eq!(names(&scan, root, true), expected, "{text}");
        }
        let is_refused = |text: &str| root.join(text).to_str().unwrap().parse::<Pattern>().unwrap().is_only_in(&store);
        for text in ["store", "store/", "store/*.log", "store/app.log", "logs/folder"] {
            assert!(is_refused(text), "{text}");
        }
        for text in ["logs", "store/**/*.log", "store/*/x", "logs/*.log", "*/*.log", "later/*.log"] {
            assert!(!is_refused(text), "{text}");
        }
        assert!("later/*.log".parse::<Pattern>().unwrap().is_only_in(Path::new("later")));
        assert!(".".parse::<Pattern>().unwrap().is_only_in(Path::new(".")));
    }

    #[test]
    fn links_that_lead_in_circles_are_walked_once() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("logs/deep")).unwrap();
        for file in ["logs/a.log", "logs/deep/b.log", "elsewhere.log"] {
            fs::write(root.join(file), file).unwrap();
        }
        for link in ["logs/x", "logs/y", "logs/deep/z"] {
            std::os::unix::fs::symlink(root, root.join(link)).unwrap();
        }
        let matched = |text: &str| {
            let scan = scan(&[root.join(text).to_str().unwrap().parse().unwrap()], Archives::Skipped, &[]);
            assert_eq!(scan.errors.len(), 0);
            names(&scan, root, true)
        };
        assert_eq!(matched("logs/**/*.log"), ["logs/a.log", "logs/deep/b.log"]);
        assert_eq!(matched("logs/**"), ["logs/a.log", "logs/deep/b.log"]);
        assert_eq!(matched("logs/*/*.log"), ["logs/deep/b.log", "logs/x/elsewhere.log", "logs/y/elsewhere.log"]);
    }

    #[test]
    fn names_that_are_no_text_are_matched() {
        use std::os::unix::ffi::OsStrExt as _;
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(std::ffi::OsStr::from_bytes(b"a\xff.log")), "x").unwrap();
        let scan = scan(&[dir.path().join("*.log").to_str().unwrap().parse().unwrap()], Archives::Skipped, &[]);
        assert_eq!(scan.found.len(), 1);
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

//! What this process writes itself, and never follows: it would come back for ever.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::content::FileKey;

/// A folder in which some files, or all, are its own.
pub struct OwnFolder {
    /// The folder.
    pub path: PathBuf,
    /// By name.
    pub is_own: Box<dyn Fn(&Path) -> bool + Send>,
}

impl OwnFolder {
    /// All files of `path`.
    pub fn whole(path: PathBuf) -> Self {
        Self { path, is_own: Box::new(|_| true) }
    }
}

impl fmt::Debug for OwnFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}

/// The same during one look, in which folders stay where they are.
pub(super) struct OwnFiles<'a> {
    folders: Vec<(PathBuf, &'a OwnFolder)>,
    canonical: HashMap<PathBuf, Option<PathBuf>>,
    keys: Option<HashSet<FileKey>>,
}

impl<'a> OwnFiles<'a> {
    pub(super) fn new(folders: &'a [OwnFolder]) -> Self {
        let canonical = |own: &'a OwnFolder| Some((own.path.canonicalize().ok()?, own));
        Self { folders: folders.iter().filter_map(canonical).collect(), canonical: HashMap::new(), keys: None }
    }

    /// Whether the file at `path`, which is no link, is one of them.
    pub(super) fn is_at(&mut self, path: &Path) -> bool {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return false };
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let canonical = self.canonical.entry(folder.to_owned()).or_insert_with(|| folder.canonicalize().ok());
        let Some(folder) = canonical else { return false };
        self.folders.iter().any(|(own, files)| own == folder && (files.is_own)(Path::new(name)))
    }

    /// Whether the file `meta` is one of them by another name.
    pub(super) fn is_also(&mut self, meta: &fs::Metadata) -> bool {
        if meta.nlink() < 2 {
            return false;
        }
        let folders = &self.folders;
        self.keys.get_or_insert_with(|| folders.iter().flat_map(keys).collect()).contains(&FileKey { dev: meta.dev(), ino: meta.ino() })
    }
}

fn keys((folder, own): &(PathBuf, &OwnFolder)) -> Vec<FileKey> {
    let Ok((meta, entries)) = fs::metadata(folder).and_then(|meta| Ok((meta, fs::read_dir(folder)?))) else { return Vec::new() };
    let names = entries.flatten().filter(|entry| (own.is_own)(Path::new(&entry.file_name())));
    names.map(|entry| FileKey { dev: meta.dev(), ino: entry.ino() }).collect()
}

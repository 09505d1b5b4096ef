//! Which names there are: folders are listed once per look, and a glob walks through them. Bounded.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use glob::{MatchOptions, Pattern as Glob};

use crate::limits::WATCH_NAMES_MAX;

/// `*` matches hidden files too.
const OPTIONS: MatchOptions = MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// What stands between two slashes of a glob.
#[derive(Debug)]
enum Part {
    /// `**`: folders, however deep, or none.
    Folders,
    /// A name with `*`, `?` or `[...]` in it.
    Like(Glob),
    /// A name.
    Name(String),
}

/// One name of a folder.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) path: PathBuf,
    /// A folder itself, not a link to one.
    is_folder: bool,
    is_link: bool,
}

impl Listed {
    /// What may be a file. A link is followed later.
    pub(super) fn is_file(&self) -> bool {
        !self.is_folder
    }

    fn leads_to_folder(&self) -> bool {
        self.is_folder || self.is_link && self.path.is_dir()
    }
}

/// Folders as one look finds them.
#[derive(Debug, Default)]
pub(super) struct Folders {
    listed: HashMap<PathBuf, Rc<[Listed]>>,
    names: usize,
    /// What could not be listed, wholly or at all.
    pub(super) errors: Vec<(PathBuf, io::Error)>,
}

impl Folders {
    /// What is in `folder`: nothing, if it is missing, or can't be listed.
    pub(super) fn list(&mut self, folder: &Path) -> Rc<[Listed]> {
        if let Some(listed) = self.listed.get(folder) {
            return listed.clone();
        }
        let left = WATCH_NAMES_MAX - self.names;
        let (listed, error) = list(folder, left);
        self.names += listed.len();
        self.errors.extend(error.and_then(missing).map(|error| (folder.to_owned(), error)));
        let listed: Rc<[Listed]> = listed.into();
        self.listed.insert(folder.to_owned(), listed.clone());
        listed
    }
}

fn list(folder: &Path, most: usize) -> (Vec<Listed>, Option<io::Error>) {
    let mut listed = Vec::new();
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return (listed, Some(error)),
    };
    for entry in entries {
        let entry = match entry {
            Ok(entry) if listed.len() < most => entry,
            Ok(_) => {
                let what = format!("there are more than {WATCH_NAMES_MAX} names where files are looked for: watch less");
                return (listed, Some(io::Error::other(what)));
            }
            Err(error) => return (listed, Some(error)),
        };
        let kind = entry.file_type().ok();
        let (is_folder, is_link) = (kind.is_some_and(|kind| kind.is_dir()), kind.is_some_and(|kind| kind.is_symlink()));
        listed.push(Listed { path: entry.path(), is_folder, is_link });
    }
    (listed, None)
}

/// What is missing may come.
pub(super) fn missing(error: io::Error) -> Option<io::Error> {
    let is_missing = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
    (!is_missing).then_some(error)
}

/// The folder up to which a glob is a path, and whether names in that folder are all that it matches.
pub(super) fn fixed(text: &str) -> (PathBuf, bool) {
    let parts = parts(text);
    let names = parts.iter().map_while(|part| if let Part::Name(name) = part { Some(name) } else { None });
    let root = if text.starts_with('/') { "/" } else { "" };
    let fixed: PathBuf = std::iter::once(root).chain(names.map(String::as_str)).collect();
    let is_all = matches!(&parts[..], [before @ .., Part::Like(_)] if before.iter().all(|part| matches!(part, Part::Name(_))));
    (fixed, is_all)
}

/// Calls `met` with each file that the glob `text` names, and what may be one.
pub(super) fn walk(text: &str, folders: &mut Folders, met: &mut dyn FnMut(&Path)) {
    let root = if text.starts_with('/') { "/" } else { "." };
    step(Path::new(root), &parts(text), folders, met);
}

fn parts(text: &str) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for part in text.split('/').filter(|part| !part.is_empty()) {
        parts.extend(match (part, parts.last()) {
            ("**", Some(Part::Folders)) => None,
            ("**", _) => Some(Part::Folders),
            _ if part.contains(['*', '?', '[']) => Glob::new(part).ok().map(Part::Like),
            _ => Some(Part::Name(part.to_owned())),
        });
    }
    parts
}

/// Below `folder`. `**` goes through no link, so it comes by each folder once.
fn step(folder: &Path, parts: &[Part], folders: &mut Folders, met: &mut dyn FnMut(&Path)) {
    match parts {
        [] => {}
        [Part::Name(name)] => {
            let path = folder.join(name);
            if path.symlink_metadata().is_ok() {
                met(&path);
            }
        }
        [Part::Name(name), rest @ ..] => step(&folder.join(name), rest, folders, met),
        [Part::Like(like)] => {
            folders.list(folder).iter().filter(|name| name.is_file() && is_like(like, name)).for_each(|name| met(&name.path))
        }
        [Part::Like(like), rest @ ..] => {
            for name in folders.list(folder).iter().filter(|name| is_like(like, name) && name.leads_to_folder()) {
                step(&name.path, rest, folders, met);
            }
        }
        [Part::Folders, rest @ ..] => {
            let listed = folders.list(folder);
            if rest.is_empty() {
                listed.iter().filter(|name| name.is_file()).for_each(|name| met(&name.path));
            }
            step(folder, rest, folders, met);
            listed.iter().filter(|name| name.is_folder).for_each(|name| step(&name.path, parts, folders, met));
        }
    }
}

fn is_like(like: &Glob, name: &Listed) -> bool {
    name.path.file_name().is_some_and(|name| like.matches_with(&name.to_string_lossy(), OPTIONS))
}

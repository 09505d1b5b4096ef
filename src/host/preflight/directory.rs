//! Whether the data directory can be written, by writing.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::Problem;

/// What the probe writes: one block, so that it needs one.
const PROBE_BYTES: usize = 4096;

/// Directories that were made to look whether they can be used.
#[derive(Debug, Default)]
pub struct MadeDirectories(Vec<PathBuf>);

impl MadeDirectories {
    /// Makes `dir`, and before it what is missing of its parents.
    fn make(&mut self, dir: &Path) -> io::Result<()> {
        let paths: Vec<&Path> = dir.ancestors().filter(|path| !path.as_os_str().is_empty()).collect();
        for path in paths.into_iter().rev() {
            match fs::create_dir(path) {
                Ok(()) => self.0.push(path.to_owned()),
                Err(_) if path.is_dir() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Removes those of them that are empty.
    pub fn remove(self) {
        for dir in self.0.into_iter().rev() {
            let _ = fs::remove_dir(dir); // unless somebody uses it by now
        }
    }
}

/// Makes `dir` if it is missing, and a file in it, and removes the file.
pub(super) fn usable(dir: &Path, made: &mut MadeDirectories) -> Result<(), Problem> {
    if dir.exists() && !dir.is_dir() {
        return Err(Problem::NotADirectory { path: dir.to_owned() });
    }
    made.make(dir).map_err(|error| explain(dir, error, Step::Create))?;
    probe(dir).map_err(|error| explain(dir, error, Step::Write))?;
    let space = rustix::fs::statvfs(dir).map_err(|error| explain(dir, error.into(), Step::Write))?;
    if space.f_blocks != 0 && space.f_bavail == 0 {
        return Err(Problem::DirectoryFull { path: dir.to_owned(), reason: "no free space".to_owned() });
    }
    Ok(())
}

/// Runs before the directory is locked, so another process may be at work in it, or at the same probe: the name is this process's own and of this moment (in
/// containers, process numbers repeat), and no name of the store. The file loses it before it is written, so a stop in between leaves nothing; O_TMPFILE would
/// do the same, but not on every file system. Should the process end right between the two calls, an empty file stays that nobody minds.
fn probe(dir: &Path) -> io::Result<()> {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let path = dir.join(format!("logboom.probe.{}.{nanos}", std::process::id()));
    let mut file = File::create_new(&path)?;
    fs::remove_file(&path)?;
    file.write_all(&[0; PROBE_BYTES])?;
    file.sync_data() // some file systems allocate late and say only now that there is no room
}

#[derive(Clone, Copy)]
enum Step {
    Create,
    Write,
}

fn explain(dir: &Path, error: io::Error, step: Step) -> Problem {
    let path = dir.to_owned();
    let user = || format!("logboom's user (uid {})", rustix::process::geteuid().as_raw());
    match (error.kind(), step) {
        (io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded, _) => Problem::DirectoryFull { path, reason: error.to_string() },
        (_, Step::Create) => Problem::DirectoryMissing { path, error, user: user() },
        (_, Step::Write) => Problem::DirectoryUnwritable { path, error, user: user() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::name::FileName;
    use rustix::io::Errno;

    fn usable(dir: &Path) -> Result<(), Problem> {
        super::usable(dir, &mut MadeDirectories::default())
    }

    #[test]
    fn only_what_was_made_is_removed_again() {
        let dir = tempfile::tempdir().unwrap();
        let there = |name: &str| dir.path().join(name).exists();
        fs::create_dir(dir.path().join("b")).unwrap();
        for data in ["a/../b", "a/../c/d", "b/e", "b"] {
            let mut made = MadeDirectories::default();
            super::usable(&dir.path().join(data), &mut made).unwrap();
            assert!(there(data));
            made.remove();
            assert!(there("b") && !there("a") && !there("c") && !there("b/e"), "{data}");
        }
        let mut made = MadeDirectories::default();
        super::usable(&dir.path().join("f/g"), &mut made).unwrap();
        fs::write(dir.path().join("f/kept"), "").unwrap();
        made.remove();
        assert!(there("f/kept") && !there("f/g"));
    }

    #[test]
    fn the_probe_leaves_nothing_behind_and_what_others_write_alone() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("new/data");
        fs::create_dir_all(&data).unwrap();
        // Another process is at its first start: it writes the format's version, under the name that it has until it is complete.
        let others = FileName::Format.temporary().in_dir(&data);
        fs::write(&others, "half").unwrap();
        usable(&data).unwrap();
        assert_eq!(fs::read_to_string(&others).unwrap(), "half");
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_directory_or_below_a_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a-file");
        fs::write(&file, "kept").unwrap();
        assert!(matches!(usable(&file), Err(Problem::NotADirectory { .. })));
        assert!(matches!(usable(&file.join("below")), Err(Problem::DirectoryMissing { .. })));
        assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
    }

    #[test]
    fn a_directory_where_nothing_can_be_created_is_refused() {
        // Nobody creates files there, not even root.
        let said = usable(Path::new("/proc/self")).unwrap_err().to_string();
        assert!(said.contains("/proc/self: not writable"), "{said}");
        let said = usable(Path::new("/proc/logboom")).unwrap_err().to_string();
        assert!(said.contains("/proc/logboom: cannot be created"), "{said}");
    }

    #[test]
    fn full_and_unwritable_are_told_apart() {
        for (errno, step, words) in [
            (Errno::NOSPC, Step::Write, "full: No space left"),
            (Errno::NOSPC, Step::Create, "full: No space left"),
            (Errno::DQUOT, Step::Write, "full: "),
            (Errno::ROFS, Step::Write, "not writable: Read-only file system"),
            (Errno::ACCESS, Step::Write, "not writable: Permission denied"),
            (Errno::ACCESS, Step::Create, "cannot be created: Permission denied"),
        ] {
            let said = explain(Path::new("data"), errno.into(), step).to_string();
            assert!(said.starts_with("preflight: data: ") && said.contains(words) && said.contains("--data-dir"), "{said}");
        }
    }
}

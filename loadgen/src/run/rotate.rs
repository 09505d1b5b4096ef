//! Rotates the file of a run as logrotate does: beside the clients, and without asking them.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use super::Clock;
use crate::cli::Rotate;

/// How the file of a run is rotated.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// The file; older ones are `PATH.1` and so on.
    pub path: PathBuf,
    /// What a rotation does.
    pub how: Rotate,
    /// From one to the next.
    pub every: Duration,
    /// How many older ones there may be.
    pub keep: u32,
}

impl Rotation {
    fn older(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }

    /// Gives every older file the next number; the oldest is deleted. Then there is no `PATH.1`.
    fn shift(&self) -> anyhow::Result<()> {
        remove(&self.older(self.keep))?;
        for number in (1..self.keep).rev() {
            let (from, to) = (self.older(number), self.older(number + 1));
            found(fs::rename(&from, &to)).with_context(|| format!("rename {} to {}", from.display(), to.display()))?;
        }
        Ok(())
    }

    fn rotate(&self, renames: &AtomicU64) -> anyhow::Result<()> {
        self.shift()?;
        let (path, older) = (&self.path, self.older(1));
        match self.how {
            Rotate::Rename => {
                fs::rename(path, &older).with_context(|| format!("rename {} to {}", path.display(), older.display()))?;
                OpenOptions::new().create(true).append(true).open(path).with_context(|| format!("create {}", path.display()))?;
                renames.fetch_add(1, Ordering::Release);
            }
            Rotate::Copytruncate => {
                let mut from = File::options().read(true).write(true).open(path).with_context(|| format!("open {}", path.display()))?;
                let mut to = File::create(&older).with_context(|| format!("create {}", older.display()))?;
                io::copy(&mut from, &mut to).with_context(|| format!("copy {} to {}", path.display(), older.display()))?;
                // What was written since the copy found the end is lost here, as it is with logrotate.
                from.set_len(0).with_context(|| format!("truncate {}", path.display()))?;
            }
        }
        Ok(())
    }
}

fn remove(path: &Path) -> anyhow::Result<()> {
    found(fs::remove_file(path)).with_context(|| format!("remove {}", path.display()))
}

/// What is not there need not be moved.
fn found(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// The thread that rotates.
pub struct Rotator {
    thread: JoinHandle<anyhow::Result<u64>>,
    /// Hung up to end it.
    end: mpsc::Sender<()>,
}

impl Rotator {
    /// Rotates from now on. `renames` counts how often clients have to open the file again.
    pub fn start(rotation: Rotation, clock: Clock, renames: Arc<AtomicU64>) -> anyhow::Result<Self> {
        let (end, ended) = mpsc::channel();
        let work = move || {
            let (mut done, mut due) = (0, clock.start + rotation.every);
            loop {
                let now = Instant::now();
                match ended.recv_timeout(due.saturating_duration_since(now)) {
                    Err(RecvTimeoutError::Timeout) => rotation.rotate(&renames)?,
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(done),
                }
                done += 1;
                due = now.max(due) + rotation.every;
            }
        };
        let thread = thread::Builder::new().spawn(work).context("start the thread that rotates")?;
        Ok(Self { thread, end })
    }

    /// Ends it. How often it rotated, or why it could not.
    pub fn finish(self) -> anyhow::Result<u64> {
        drop(self.end);
        self.thread.join().map_err(|_| anyhow!("the thread that rotates panicked"))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(dir: &Path) -> Vec<(String, String)> {
        let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let mut texts: Vec<_> =
            names.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap())).collect();
        texts.sort();
        texts
    }

    #[test]
    fn older_files_are_kept_up_to_a_number() {
        for how in [Rotate::Rename, Rotate::Copytruncate] {
            let dir = tempfile::tempdir().unwrap();
            let rotation = Rotation { path: dir.path().join("x"), how, every: Duration::from_secs(1), keep: 2 };
            let renames = AtomicU64::new(0);
            for text in ["1", "2", "3", "4"] {
                fs::write(&rotation.path, text).unwrap();
                rotation.rotate(&renames).unwrap();
            }
            let expected = [("x", ""), ("x.1", "4"), ("x.2", "3")].map(|(name, text)| (name.to_owned(), text.to_owned()));
            assert_eq!(texts(dir.path()), expected, "{how:?}");
            assert_eq!(renames.into_inner(), if how == Rotate::Rename { 4 } else { 0 });
        }
    }

    #[test]
    fn what_is_renamed_stays_open_and_what_is_truncated_is_appended_to() {
        for (how, here, older) in [(Rotate::Rename, "", "ab"), (Rotate::Copytruncate, "b", "a")] {
            let dir = tempfile::tempdir().unwrap();
            let rotation = Rotation { path: dir.path().join("x"), how, every: Duration::from_secs(1), keep: 1 };
            let mut writer = OpenOptions::new().create(true).append(true).open(&rotation.path).unwrap();
            io::Write::write_all(&mut writer, b"a").unwrap();
            rotation.rotate(&AtomicU64::new(0)).unwrap();
            io::Write::write_all(&mut writer, b"b").unwrap();
            assert_eq!(texts(dir.path()), [("x".to_owned(), here.to_owned()), ("x.1".to_owned(), older.to_owned())], "{how:?}");
        }
    }
}

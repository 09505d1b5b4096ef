//! Scripts: which call of which operation goes wrong, and how.
//!
//! One rule per line: `OPERATION NAME FROM FAULT`.
//!
//! - `OPERATION` is one of the store's, `-` for spaces (`write`, `fsync-directory`), or `any` for all that change the disk.
//! - `NAME` is a part of the file's name; `*` is any.
//! - `FROM` counts the calls that the rule fits, from 1.
//! - `FAULT`: `abort` (right after the call), `tear` (the same, and a write is cut in half), `short` (a write of half the bytes), `slow MILLISECONDS`,
//!   `error ERRNO` (this call), `error ERRNO while PATH` (this call and all that follow, as long as the file PATH exists).

use std::cell::Cell;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use logboom::store::disk::{Done, Op};
use rustix::io::Errno;

/// Every operation.
pub const OPS: [Op; 11] =
    [Op::Open, Op::Create, Op::Read, Op::Write, Op::Truncate, Op::Fdatasync, Op::Rename, Op::SyncDir, Op::Remove, Op::Stat, Op::List];

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The process aborts right after the call.
    Abort,
    /// The same, and if the call is a write, it writes half.
    Tear,
    /// A write of half the bytes.
    Short,
    /// The call takes so much longer.
    Slow(Duration),
    /// The call fails; with a path, so do all that follow, as long as that file exists.
    Error(Errno, Option<PathBuf>),
}

/// One line of a script.
#[derive(Debug)]
pub struct Rule {
    op: Option<Op>,
    name: String,
    from: u64,
    fault: Fault,
    calls: AtomicU64,
}

/// Rules, each of which counts for itself.
#[derive(Debug, Default)]
pub struct Script(Vec<Rule>);

thread_local! {
    /// The call that this thread is making is its last one.
    static IS_LAST: Cell<bool> = const { Cell::new(false) };
}

impl Script {
    /// To be called before an operation; returns how many of `len` bytes a write may write.
    pub fn before(&self, op: Op, path: &Path, len: usize) -> io::Result<usize> {
        if IS_LAST.get() {
            std::process::abort(); // the last call has failed
        }
        self.0.iter().try_fold(len, |len, rule| rule.before(op, path, len))
    }
}

/// To be called after an operation that has succeeded.
pub fn after(_: &Done<'_>) {
    if IS_LAST.get() {
        std::process::abort();
    }
}

impl Rule {
    fn before(&self, op: Op, path: &Path, len: usize) -> io::Result<usize> {
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let fits = self.op.map_or(op.changes(), |own| own == op) && (self.name == "*" || name.contains(&self.name));
        if !fits {
            return Ok(len);
        }
        let call = 1 + self.calls.fetch_add(1, Ordering::SeqCst);
        let half = len.div_ceil(2);
        match &self.fault {
            Fault::Error(errno, Some(path)) if self.from <= call && path.exists() => {
                if call == self.from {
                    self.say(op, &name);
                }
                Err((*errno).into())
            }
            Fault::Error(_, Some(_)) => Ok(len),
            _ if call != self.from => Ok(len),
            fault => {
                self.say(op, &name);
                match fault {
                    Fault::Abort => IS_LAST.set(true),
                    Fault::Tear => {
                        IS_LAST.set(true);
                        return Ok(half);
                    }
                    Fault::Short => return Ok(half),
                    Fault::Slow(time) => std::thread::sleep(*time),
                    Fault::Error(errno, _) => return Err((*errno).into()),
                }
                Ok(len)
            }
        }
    }

    /// Tests look for it: a rule that never fits tests nothing.
    fn say(&self, op: Op, name: &str) {
        eprintln!("faults: {} happens at {op} {name}", word(&self.fault));
    }
}

fn word(fault: &Fault) -> &'static str {
    match fault {
        Fault::Abort => "abort",
        Fault::Tear => "tear",
        Fault::Short => "short",
        Fault::Slow(_) => "slow",
        Fault::Error(..) => "error",
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word(self))?;
        match self {
            Fault::Slow(time) => write!(f, " {}", time.as_millis()),
            Fault::Error(errno, None) => write!(f, " {}", errno.raw_os_error()),
            Fault::Error(errno, Some(path)) => write!(f, " {} while {}", errno.raw_os_error(), path.display()),
            Fault::Abort | Fault::Tear | Fault::Short => Ok(()),
        }
    }
}

impl FromStr for Script {
    type Err = String;

    fn from_str(text: &str) -> Result<Script, String> {
        text.lines().map(|line| line.parse().map_err(|what| format!("{line:?}: {what}"))).collect::<Result<_, String>>().map(Script)
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(line: &str) -> Result<Rule, String> {
        let mut words = line.split_ascii_whitespace();
        let mut next = |what: &str| words.next().ok_or_else(|| format!("no {what}"));
        let op = match next("operation")? {
            "any" => None,
            word => Some(OPS.into_iter().find(|op| op.to_string().replace(' ', "-") == word).ok_or("no such operation")?),
        };
        let name = next("name")?.to_owned();
        let from = next("number")?.parse().map_err(|_| "the number of a call, from 1")?;
        let fault = match next("fault")? {
            "abort" => Fault::Abort,
            "tear" => Fault::Tear,
            "short" => Fault::Short,
            "slow" => Fault::Slow(Duration::from_millis(next("time")?.parse().map_err(|_| "milliseconds")?)),
            "error" => {
                let errno = Errno::from_raw_os_error(next("errno")?.parse().map_err(|_| "the number of an error")?);
                let path = match next("condition") {
                    Ok("while") => Some(PathBuf::from(next("path")?)),
                    Ok(_) => return Err("only `while` follows an error".to_owned()),
                    Err(_) => None,
                };
                Fault::Error(errno, path)
            }
            _ => return Err("no such fault".to_owned()),
        };
        Ok(Rule { op, name, from, fault, calls: AtomicU64::new(0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_count_the_calls_that_they_fit() {
        let script: Script = "write .gz 2 error 5\nany * 4 short".parse().unwrap();
        let call = |op, name: &str| script.before(op, Path::new(name), 10).map_err(|error| error.raw_os_error());
        assert_eq!(call(Op::Write, "d/a.gz"), Ok(10));
        assert_eq!(call(Op::Read, "d/a.gz"), Ok(10)); // changes nothing
        assert_eq!(call(Op::Write, "d.gz/a"), Ok(10)); // another name
        assert_eq!(call(Op::Write, "d/b.gz.tmp"), Err(Some(5)));
        assert_eq!(call(Op::Write, "d/b.gz.tmp"), Ok(10));
        assert_eq!(call(Op::Write, "d/b.gz.tmp"), Ok(5));
        assert_eq!(call(Op::Write, "d/b.gz.tmp"), Ok(10));
    }

    #[test]
    fn a_condition_ends_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let fault = Fault::Error(Errno::NOSPC, Some(file.path().to_owned()));
        let script: Script = format!("fsync-directory * 2 {fault}").parse().unwrap();
        let call = || script.before(Op::SyncDir, Path::new("d"), 1).is_ok();
        assert_eq!([call(), call(), call()], [true, false, false]);
        drop(file);
        assert!(call());
    }

    #[test]
    fn nonsense_is_refused() {
        for line in ["write", "wrote * 1 abort", "write * x abort", "write * 1 explode", "write * 1 slow", "write * 1 error 5 until x"] {
            assert!(line.parse::<Script>().is_err(), "{line}");
        }
    }
}

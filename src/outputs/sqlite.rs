//! An SQLite database (`sqlite:PATH`): one table named after the stream, with indices on time, level and service.
//!
//! Where the output is in the store stands in the table `logboom_cursor`, and changes in the transaction that inserts the rows: a crash keeps both or neither.
//! WAL, so readers are not in the way; `synchronous=FULL`, because the store may delete what this has said to have.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::row::{Row, RowReader};
use super::{OutputError, Sink};
use crate::store::cursor::{Chunk, Positions};
use crate::store::name::Stream;

/// How long to wait for somebody else's lock before it counts as a failure.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// `LogB`: whose file it is, in the database's header.
const APPLICATION_ID: i32 = 0x4C6F_6742;

/// The layout of the tables.
const VERSION: i32 = 1;

pub(super) struct Sqlite {
    path: PathBuf,
    connection: Connection,
    table: &'static str,
    insert: String,
    rows: RowReader,
    /// Where the output is, as it stands in the table; empty, if nothing is stored yet.
    positions: String,
    /// The same, when it was opened.
    start: Option<Positions>,
    is_writing: bool,
}

impl Sqlite {
    /// Opens the database, or creates it.
    pub(super) fn open(path: &Path, stream: Stream) -> Result<Sqlite, OutputError> {
        let failed = |error| sqlite_error(path, error);
        if let Some(folder) = path.parent() {
            let _ = super::make_folder(folder); // what is wrong with it SQLite says
        }
        let mut connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        let table = stream.name();
        prepare(&mut connection, path, table)?;
        let read = || -> rusqlite::Result<String> {
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            let positions = connection.query_row("SELECT positions FROM logboom_cursor WHERE stream = ?1", [table], |row| row.get(0));
            Ok(positions.optional()?.unwrap_or_default())
        };
        let positions = read().map_err(failed)?;
        let start = (!positions.is_empty()).then(|| positions.parse()).transpose();
        let start =
            start.map_err(|error| OutputError::Foreign(format!("{}: logboom_cursor holds {positions:?}: {error}", path.display())))?;
        let insert =
            format!("INSERT INTO {table} (time_us, timestamp, level, service, message, tags, fields) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
        Ok(Sqlite { path: path.to_owned(), connection, table, insert, rows: RowReader::default(), positions, start, is_writing: false })
    }

    fn begin(&mut self) -> Result<(), OutputError> {
        if !self.is_writing {
            self.connection.execute_batch("BEGIN IMMEDIATE").map_err(|error| sqlite_error(&self.path, error))?;
            self.is_writing = true;
        }
        Ok(())
    }

    fn insert(&mut self, chunk: &Chunk<'_>) -> rusqlite::Result<u64> {
        let mut insert = self.connection.prepare_cached(&self.insert)?;
        let mut records = 0;
        for line in chunk.lines.split_inclusive(|byte| *byte == b'\n') {
            let Row { time, timestamp, level, service, message, tags, fields } = self.rows.read(line.strip_suffix(b"\n").unwrap_or(line));
            let time_us = time.map(|time| time.0);
            insert.execute(params![time_us, timestamp.as_deref(), level.name(), service.as_deref(), message.as_deref(), tags, fields])?;
            records += 1;
        }
        Ok(records)
    }
}

impl Sink for Sqlite {
    fn positions(&self) -> Option<Positions> {
        self.start.clone()
    }

    fn write(&mut self, chunk: &Chunk<'_>) -> Result<u64, OutputError> {
        self.begin()?;
        self.insert(chunk).map_err(|error| sqlite_error(&self.path, error))
    }

    fn commit(&mut self, positions: &Positions) -> Result<(), OutputError> {
        self.begin()?;
        let next = positions.to_string();
        let update = "UPDATE logboom_cursor SET positions = ?1 WHERE positions = ?2 AND stream = ?3";
        let updated =
            self.connection.execute(update, params![next, self.positions, self.table]).map_err(|error| sqlite_error(&self.path, error))?;
        if updated != 1 {
            return Err(OutputError::Foreign(format!(
                "{}: somebody else writes to it; an output needs a database of its own",
                self.path.display()
            )));
        }
        self.connection.execute_batch("COMMIT").map_err(|error| sqlite_error(&self.path, error))?;
        self.is_writing = false;
        self.positions = next;
        Ok(())
    }
}

/// Whether what is there can be this output's, by the beginning of the file. SQLite itself would replay a journal, or make files beside it and remove them. What
/// a journal may still turn back, and what can't be read, is judged when the output is opened.
pub(super) fn look(path: &Path) -> Result<(), OutputError> {
    let journal = PathBuf::from([path.as_os_str(), OsStr::new("-journal")].iter().copied().collect::<OsString>());
    if !path.is_file() || std::fs::metadata(journal).is_ok_and(|journal| 0 < journal.len()) {
        return Ok(());
    }
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(header::BYTES as u64).read_to_end(&mut head));
    match head.first_chunk() {
        _ if read.is_err() || head.is_empty() => Ok(()),
        Some(head) if head.starts_with(header::MAGIC) => {
            let [application, version] = header::APPLICATION_AND_VERSION.map(|at| header::number(head, at));
            judge(path, application, version, header::has_tables(head))
        }
        _ => Err(foreign(path, "is no database")),
    }
}

/// The first bytes of a database (<https://sqlite.org/fileformat2.html>, 1.3 and 1.6): its header, and that of the page that lists its tables.
mod header {
    pub(super) const MAGIC: &[u8] = b"SQLite format 3\0";
    pub(super) const BYTES: usize = 105;
    pub(super) const APPLICATION_AND_VERSION: [usize; 2] = [68, 60];

    pub(super) fn number(head: &[u8; BYTES], at: usize) -> i32 {
        i32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
    }

    /// The page is a leaf, unless there are many, and counts its cells.
    pub(super) fn has_tables(head: &[u8; BYTES]) -> bool {
        const LEAF: u8 = 13;
        head[100] != LEAF || head[103..] != [0, 0]
    }
}

fn foreign(path: &Path, what: &str) -> OutputError {
    OutputError::Foreign(format!("{}: {what}; move it away, or choose another path", path.display()))
}

/// That it is empty, or this output's.
fn check_ours(connection: &Connection, path: &Path) -> Result<(), OutputError> {
    let failed = |error| sqlite_error(path, error);
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0)).map_err(failed);
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    judge(path, application, version, tables != 0)
}

fn judge(path: &Path, application: i32, version: i32, has_tables: bool) -> Result<(), OutputError> {
    let is_ours = application == APPLICATION_ID && version == VERSION;
    if !is_ours && (application != 0 || version != 0 || has_tables) {
        return Err(foreign(
            path,
            if application == APPLICATION_ID { "has tables of another version" } else { "is a database of something else" },
        ));
    }
    Ok(())
}

/// Makes the tables, where there are none yet.
fn prepare(connection: &mut Connection, path: &Path, table: &str) -> Result<(), OutputError> {
    let failed = |error| sqlite_error(path, error);
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(failed)?;
    check_ours(&transaction, path)?;
    let create = format!(
        "PRAGMA application_id = {APPLICATION_ID};
         PRAGMA user_version = {VERSION};
         CREATE TABLE IF NOT EXISTS {table} (
             id INTEGER PRIMARY KEY,
             time_us INTEGER,
             timestamp TEXT,
             level TEXT NOT NULL,
             service TEXT,
             message TEXT,
             tags TEXT,
             fields TEXT NOT NULL
         ) STRICT;
         CREATE INDEX IF NOT EXISTS {table}_by_time ON {table} (time_us);
         CREATE INDEX IF NOT EXISTS {table}_by_level ON {table} (level, time_us);
         CREATE INDEX IF NOT EXISTS {table}_by_service ON {table} (service, time_us);
         CREATE TABLE IF NOT EXISTS logboom_cursor (stream TEXT PRIMARY KEY, positions TEXT NOT NULL) STRICT;
         INSERT OR IGNORE INTO logboom_cursor VALUES ('{table}', '');"
    );
    transaction.execute_batch(&create).and_then(|()| transaction.commit()).map_err(failed)
}

fn sqlite_error(path: &Path, error: rusqlite::Error) -> OutputError {
    OutputError::Sqlite { path: path.display().to_string(), error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn bytes(folder: &Path) -> BTreeMap<String, Vec<u8>> {
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        files.map(|file| (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap())).collect()
    }

    /// What is on disk of a database that somebody has open, with a transaction under way, as a crash leaves it.
    fn crashed(journal: &str) -> tempfile::TempDir {
        let [live, dead] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let connection = Connection::open(live.path().join("x.db")).unwrap();
        connection.execute_batch("CREATE TABLE t (a)").unwrap();
        connection.pragma_update(None, "journal_mode", journal).unwrap();
        connection.pragma_update(None, "cache_size", 1).unwrap();
        let blob = "INSERT INTO t VALUES (randomblob(100000));";
        connection.execute_batch(&format!("{blob} BEGIN; UPDATE t SET a = randomblob(100000); {blob}")).unwrap();
        for (name, bytes) in bytes(live.path()) {
            std::fs::write(dead.path().join(name), bytes).unwrap();
        }
        dead
    }

    #[test]
    fn a_look_changes_nothing() {
        for (journal, files, is_told) in [("WAL", 3, true), ("DELETE", 2, false)] {
            let dir = crashed(journal);
            let before = bytes(dir.path());
            assert_eq!(before.len(), files, "{journal}");
            let looked = look(&dir.path().join("x.db"));
            assert!(bytes(dir.path()) == before, "{journal}: {:?}", bytes(dir.path()).keys());
            assert_eq!(matches!(looked, Err(OutputError::Foreign(_))), is_told, "{journal}: {looked:?}");
        }
    }

    #[test]
    fn what_is_ours_or_empty_is_told_from_what_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        let of = |sql: &str| {
            let _ = std::fs::remove_file(&path);
            Connection::open(&path).unwrap().execute_batch(sql).unwrap();
            look(&path).err().map(|error| error.to_string())
        };
        let foreign = |sql: &str, what: &str| assert!(of(sql).is_some_and(|said| said.contains(what)), "{sql}: {what}");
        foreign("CREATE TABLE t (a)", "is a database of something else");
        foreign("PRAGMA user_version = 7", "is a database of something else");
        foreign("PRAGMA journal_mode = WAL; CREATE TABLE t (a)", "is a database of something else");
        foreign(&format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 2"), "has tables of another version");
        assert_eq!(of(""), None);
        assert_eq!(of("CREATE TABLE t (a); DROP TABLE t"), None, "empty again");
        std::fs::remove_file(&path).unwrap();
        drop(Sqlite::open(&path, Stream::Logs).unwrap());
        let open = Sqlite::open(&path, Stream::Logs).unwrap();
        assert!(look(&path).is_ok());
        drop(open);
        assert!(look(&path).is_ok());
        std::fs::write(&path, "name;value\n").unwrap();
        assert!(look(&path).is_err_and(|error| error.to_string().contains("is no database")));
        std::fs::write(&path, "").unwrap();
        assert!(look(&path).is_ok());
    }
}

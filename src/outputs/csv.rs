//! CSV files (`csv:PATH`, RFC 4180): one that is appended to under the path itself, and sealed ones named like segments.
//!
//! Where the output is in the store stands in a cursor file beside it (`PATH.cursor`), with the length that the CSV file had then. It is replaced as a whole, after
//! the CSV file was synced; at the start, what the CSV file has beyond that length is cut, and read again. A file is sealed in three steps, of which the cursor
//! file tells the first, so that a start finishes them.
//!
//! ```text
//! rows -> fdatasync csv -> cursor file (write, fdatasync, rename, fsync directory)        commit
//! commit -> cursor file with the sealed name -> rename csv -> cursor file without it      seal
//! ```

use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::row::RowReader;
use super::{OutputError, Sink};
use crate::limits::OUTPUT_BUFFER_BYTES;
use crate::store::cursor::{Chunk, Positions};
use crate::store::disk::{Disk, DiskFile, Op};
use crate::store::error::StorageError;
use crate::store::policy::{Rotate, RotationPolicy};

mod names;
mod place;
mod writer;

pub(super) use names::Names;
use place::Place;
use writer::RowWriter;

const NO_CURSOR: &str = "exists, and no cursor file beside it says what of the store it holds";

fn foreign(names: &Names, what: &str) -> OutputError {
    OutputError::Foreign(format!("{}: {what}; move it away, or choose another path", names.open().display()))
}

/// Whether what is there can be this output's.
pub(super) fn look(path: &Path) -> Result<(), OutputError> {
    let (disk, names) = (Disk::new(), Names::new(path));
    let is_new = match Place::read(&disk, &names) {
        Err(OutputError::Foreign(what)) => return Err(OutputError::Foreign(what)),
        read => matches!(read, Ok(None)),
    };
    if is_new && disk.len(names.open()).is_ok_and(|len| 0 < len) { Err(foreign(&names, NO_CURSOR)) } else { Ok(()) }
}

pub(super) struct Csv {
    disk: Disk,
    names: Names,
    rotation: RotationPolicy,
    file: Option<DiskFile>,
    /// Rows that are not in the file yet.
    buffer: Vec<u8>,
    /// The file's length, with them.
    bytes: u64,
    /// When it got its first row, or was found at the start.
    begun: Instant,
    /// What the cursor file says.
    place: Place,
    /// Where the rows end that were taken.
    taken: Positions,
    rows: RowReader,
    writer: RowWriter,
}

impl Csv {
    /// Finds the place again, and cuts the CSV file there.
    pub(super) fn open(disk: Disk, path: &Path, rotation: RotationPolicy) -> Result<Csv, OutputError> {
        let names = Names::new(path);
        super::make_folder(names.folder()).map_err(|error| StorageError::io(Op::Create, names.folder(), error))?;
        let found = Place::read(&disk, &names)?;
        let is_new = found.is_none();
        let place = found.unwrap_or_default();
        let taken = place.positions()?.unwrap_or_default();
        let mut csv = Csv {
            disk,
            names,
            rotation,
            file: None,
            buffer: Vec::new(),
            bytes: 0,
            begun: Instant::now(),
            place,
            taken,
            rows: RowReader::default(),
            writer: RowWriter::default(),
        };
        if let Some(name) = csv.place.sealing.take() {
            csv.finish_seal(&name)?;
        }
        csv.cut(is_new)?;
        if is_new {
            csv.place.write(&csv.disk, &csv.names)?; // before the first row: what a stop leaves behind is then known to be ours
        }
        Ok(csv)
    }

    /// Opens the file, and cuts what no cursor file tells of.
    fn cut(&mut self, is_new: bool) -> Result<(), OutputError> {
        let mut file = match self.disk.open_for_writing(self.names.open()) {
            Err(error) if error.is_not_found() => {
                self.place.bytes = 0; // moved away, or never there: the next rows begin a new one
                return Ok(());
            }
            opened => opened?,
        };
        let len = file.len()?;
        match self.place.bytes {
            _ if is_new && 0 < len => return Err(foreign(&self.names, NO_CURSOR)),
            bytes if len < bytes => return Err(foreign(&self.names, "is shorter than what was written to it")),
            bytes if bytes < len => {
                file.truncate(bytes)?;
                file.fdatasync()?;
                tracing::debug!("{}: {} bytes behind its cursor were cut, and are read again", self.names.open().display(), len - bytes);
            }
            _ => {}
        }
        file.seek_to(self.place.bytes)?;
        self.file = Some(file);
        self.bytes = self.place.bytes;
        Ok(())
    }

    /// Appends the row that `writer` has formed.
    fn append(&mut self) -> Result<(), StorageError> {
        if self.bytes == 0 {
            self.begun = Instant::now();
            self.buffer.extend_from_slice(writer::HEADER);
            self.bytes += writer::HEADER.len() as u64;
        }
        self.buffer.extend_from_slice(self.writer.row());
        self.bytes += self.writer.row().len() as u64;
        if OUTPUT_BUFFER_BYTES <= self.buffer.len() { self.flush() } else { Ok(()) }
    }

    /// Writes what is in the buffer.
    fn flush(&mut self) -> Result<(), StorageError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        if self.file.is_none() {
            self.file = Some(self.disk.create_new(self.names.open())?);
            self.disk.sync_dir(self.names.folder())?;
        }
        let file = self.file.as_ref().expect("opened above");
        file.write_all(&self.buffer)?;
        self.buffer.clear();
        self.buffer.shrink_to(2 * OUTPUT_BUFFER_BYTES); // a long line made it large
        Ok(())
    }

    /// Makes what was taken durable, and then where it ends.
    fn store(&mut self, positions: &Positions) -> Result<(), OutputError> {
        self.flush()?;
        if let Some(file) = &self.file {
            file.fdatasync()?;
            if file.len()? != self.bytes {
                return Err(OutputError::Foreign(format!(
                    "{}: somebody else writes to it; an output needs a file of its own",
                    self.names.open().display()
                )));
            }
        }
        self.place.bytes = self.bytes;
        self.place.positions = positions.to_string();
        self.place.write(&self.disk, &self.names)?;
        self.taken = positions.clone();
        Ok(())
    }

    /// Gives the file, all of whose rows are stored, its sealed name.
    fn seal(&mut self) -> Result<(), OutputError> {
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let name = self.names.sealed(now_s, self.place.sequence);
        self.place.sealing = Some(name.clone());
        self.place.write(&self.disk, &self.names)?;
        self.finish_seal(&name)
    }

    fn finish_seal(&mut self, name: &str) -> Result<(), OutputError> {
        self.file = None;
        self.bytes = 0;
        match self.disk.rename(self.names.open(), &self.names.folder().join(name)) {
            Err(error) if error.is_not_found() => {} // done before the stop
            renamed => renamed?,
        }
        self.disk.sync_dir(self.names.folder())?;
        (self.place.sealing, self.place.bytes) = (None, 0);
        self.place.sequence += 1;
        Ok(self.place.write(&self.disk, &self.names)?)
    }
}

impl Sink for Csv {
    fn positions(&self) -> Option<Positions> {
        (!self.place.positions.is_empty()).then(|| self.taken.clone())
    }

    fn write(&mut self, chunk: &Chunk<'_>) -> Result<u64, OutputError> {
        let (mut records, mut done) = (0, 0);
        for line in chunk.lines.split_inclusive(|byte| *byte == b'\n') {
            self.writer.form(&self.rows.read(line.strip_suffix(b"\n").unwrap_or(line)));
            if self.rotation.decide(self.bytes, 0, self.writer.row().len() as u64) != Rotate::No {
                if 0 < done {
                    self.taken.0.insert(chunk.shard, chunk.position(done));
                }
                let taken = self.taken.clone();
                self.store(&taken)?;
                self.seal()?;
            }
            self.append()?;
            done += line.len();
            records += 1;
        }
        self.taken.0.insert(chunk.shard, chunk.position(done));
        Ok(records)
    }

    fn commit(&mut self, positions: &Positions) -> Result<(), OutputError> {
        self.store(positions)?;
        self.tick()
    }

    fn tick(&mut self) -> Result<(), OutputError> {
        let age_ms = self.begun.elapsed().as_millis() as u64;
        let is_stored = self.buffer.is_empty() && self.bytes == self.place.bytes;
        if is_stored && self.rotation.decide(self.bytes, age_ms, 0) != Rotate::No { self.seal() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_were_written_before_the_first_commit_are_cut_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.csv");
        let rotation = RotationPolicy { bytes_max: 1_000_000, age_ms_max: 1_000_000 };
        let open = || Csv::open(Disk::new(), &path, rotation);
        drop(open().unwrap());
        std::fs::write(&path, "timestamp\nrows that no commit tells of").unwrap();
        assert_eq!(open().unwrap().positions(), None);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
    }
}

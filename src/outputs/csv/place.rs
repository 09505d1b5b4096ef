//! The cursor file: what of the store a CSV file holds.

use serde::{Deserialize, Serialize};

use super::names::Names;
use crate::outputs::OutputError;
use crate::store::cursor::Positions;
use crate::store::disk::Disk;
use crate::store::error::StorageError;

/// The version of the file.
const FORMAT: u32 = 1;

/// A longer file is none of ours: there are a hundred shards at most.
const BYTES_MAX: usize = 64 * 1024;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    format: u32,
    /// The number of the sealed file that the open one becomes.
    pub(super) sequence: u64,
    /// The open file's length.
    pub(super) bytes: u64,
    /// The name that the open file is being given, if it is.
    pub(super) sealing: Option<String>,
    /// Where its rows end in the store; empty, if nothing was ever stored.
    pub(super) positions: String,
}

impl Default for Place {
    fn default() -> Self {
        Place { format: FORMAT, sequence: 1, bytes: 0, sealing: None, positions: String::new() }
    }
}

impl Place {
    /// Reads the file; none, if there is none.
    pub(super) fn read(disk: &Disk, names: &Names) -> Result<Option<Place>, OutputError> {
        let path = names.cursor();
        let Some(mut file) = disk.open_existing(&path)? else { return Ok(None) };
        let mut bytes = vec![0; BYTES_MAX];
        let read = file.read_full(&mut bytes)?;
        let place = serde_json::from_slice::<Place>(&bytes[..read]).ok().filter(|place| place.format == FORMAT);
        place.map(Some).ok_or_else(|| {
            OutputError::Foreign(format!("{}: not a cursor file of this version; move it and its CSV file away", path.display()))
        })
    }

    /// Where the rows end, if any were stored.
    pub(super) fn positions(&self) -> Result<Option<Positions>, OutputError> {
        let parsed = (!self.positions.is_empty()).then(|| self.positions.parse()).transpose();
        parsed.map_err(|error| OutputError::Foreign(format!("the cursor file holds {:?}: {error}", self.positions)))
    }

    /// Replaces the file, durably: a stop at any moment leaves the old or the new.
    pub(super) fn write(&self, disk: &Disk, names: &Names) -> Result<(), StorageError> {
        let mut bytes = serde_json::to_vec(self).expect("numbers and text");
        bytes.push(b'\n');
        let file = disk.create(&names.cursor_temporary())?;
        file.write_all(&bytes)?;
        file.fdatasync()?;
        disk.rename(&names.cursor_temporary(), &names.cursor())?;
        disk.sync_dir(names.folder())
    }
}

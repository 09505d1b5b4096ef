//! What the thread that follows files counts. Written by that thread, read by anyone.

use super::counters::Counter;

/// Followed files, all together.
#[derive(Debug, Default)]
pub struct FileTotals {
    /// Files that are followed now.
    pub files: Counter,
    /// Descriptors of them that are open now.
    pub open: Counter,
    /// Bytes that they hold and that are not read yet, those of unfinished lines included.
    pub lag_bytes: Counter,
    /// Files whose names were taken by others.
    pub rotated: Counter,
    /// Files that were emptied, or written anew.
    pub truncated: Counter,
    /// Files that could not be opened, read or listed, each time.
    pub errors: Counter,
    /// Bytes of files that were deleted before they were read.
    pub lost_bytes: Counter,
    /// Files beyond the most that are followed.
    pub refused: Counter,
}

impl FileTotals {
    /// Every number by its name.
    pub fn named(&self) -> [(&'static str, u64); 8] {
        [
            ("files", self.files.get()),
            ("open", self.open.get()),
            ("lag_bytes", self.lag_bytes.get()),
            ("rotated", self.rotated.get()),
            ("truncated", self.truncated.get()),
            ("errors", self.errors.get()),
            ("lost_bytes", self.lost_bytes.get()),
            ("refused", self.refused.get()),
        ]
    }
}

//! When an open segment is rotated. Pure.
//!
//! The caller asks before it writes a batch; it knows the sizes and the clock, this module only decides.

/// When a record is safe enough to be acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// The kernel has it: it survives the process, and not the machine.
    Written,
    /// The disk has it: it survives a power cut.
    Synced,
}

/// The limits of one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RotationPolicy {
    /// A segment never grows past this many bytes, unless one line alone does.
    pub bytes_max: u64,
    /// A segment that holds anything is sealed at this age, in milliseconds since its first byte.
    pub age_ms_max: u64,
}

/// What to do with the open segment before the next bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotate {
    /// Go on appending.
    No,
    /// The next bytes would exceed the size limit.
    Size,
    /// The segment is old enough.
    Age,
}

impl RotationPolicy {
    /// Decides for a segment of `bytes` bytes and `age_ms` milliseconds, before `next_bytes` more are appended (0 on a timer tick).
    pub fn decide(&self, bytes: u64, age_ms: u64, next_bytes: u64) -> Rotate {
        if bytes == 0 {
            return Rotate::No; // an empty file never rotates
        }
        if self.bytes_max < bytes.saturating_add(next_bytes) {
            return Rotate::Size;
        }
        if self.age_ms_max <= age_ms {
            return Rotate::Age;
        }
        Rotate::No
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let policy = RotationPolicy { bytes_max: 100, age_ms_max: 1_000 };
        for (bytes, age_ms, next_bytes, expected) in [
            (0, 0, 0, Rotate::No),
            (0, 5_000, 0, Rotate::No), // empty: age does not matter
            (0, 0, 500, Rotate::No),   // one long line goes into an empty segment
            (60, 0, 40, Rotate::No),   // exactly full is not over
            (60, 0, 41, Rotate::Size),
            (500, 0, 0, Rotate::Size), // holds one long line: nothing joins it
            (100, 999, 0, Rotate::No),
            (100, 1_000, 0, Rotate::Age),
            (100, 1_000, 1, Rotate::Size),  // size is named first
            (1, 0, u64::MAX, Rotate::Size), // no overflow
        ] {
            assert_eq!(policy.decide(bytes, age_ms, next_bytes), expected, "{bytes} bytes, {age_ms} ms, {next_bytes} next");
        }
    }
}

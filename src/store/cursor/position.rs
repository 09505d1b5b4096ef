//! Where a reader of a stream is. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::limits::SHARDS_MAX;

/// The end of the last line of a line's fingerprint: enough to tell lines apart by time or content, little enough to read for every position.
pub(super) const FINGERPRINT_BYTES: usize = 256;

/// A place between two lines of a shard's part of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// The segment's number.
    pub seq: u64,
    /// Bytes of the segment, uncompressed, that lie before.
    pub offset: u64,
    /// The fingerprint of the line that ends here; 0 at the start of a segment. By it a position is known again, or known to be of other lines: after a
    /// power cut, or in a directory that was emptied.
    pub fingerprint: u32,
}

impl Position {
    /// The start of segment `seq`.
    pub fn start_of(seq: u64) -> Position {
        Position { seq, offset: 0, fingerprint: 0 }
    }
}

/// The CRC-32 of the last line of `lines`, or of its last 256 bytes; 0 where there is none.
pub(super) fn fingerprint(lines: &[u8]) -> u32 {
    let Some((_, before)) = lines.split_last() else { return 0 };
    let start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
    crc32fast::hash(&lines[start.max(lines.len().saturating_sub(FINGERPRINT_BYTES))..])
}

/// A position in each shard's part of a stream. A shard that is not named is at the beginning of what there is of it.
///
/// As text it is `0.42.1000.1a2b3c4d,1.17.0.0`: shard, segment, offset, and fingerprint in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Positions(pub BTreeMap<usize, Position>);

impl fmt::Display for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (shard, Position { seq, offset, fingerprint })) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{shard}.{seq}.{offset}.{fingerprint:x}")?;
        }
        Ok(())
    }
}

/// A text that is none of [`Positions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a position in a stream")]
pub struct NoPosition;

impl FromStr for Positions {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let mut positions = BTreeMap::new();
        for part in text.split(',').filter(|_| !text.is_empty()) {
            let mut numbers = part.split('.');
            let mut next = || numbers.next().ok_or(NoPosition);
            let shard = next()?.parse().map_err(|_| NoPosition)?;
            let seq = next()?.parse().map_err(|_| NoPosition)?;
            let offset = next()?.parse().map_err(|_| NoPosition)?;
            let fingerprint = u32::from_str_radix(next()?, 16).map_err(|_| NoPosition)?;
            let is_first = positions.insert(shard, Position { seq, offset, fingerprint }).is_none();
            if numbers.next().is_some() || SHARDS_MAX <= shard || !is_first {
                return Err(NoPosition);
            }
        }
        Ok(Positions(positions))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn positions_come_back(all in prop::collection::btree_map(0..SHARDS_MAX, any::<(u64, u64, u32)>(), 0..5)) {
            let all = all.into_iter().map(|(shard, (seq, offset, fingerprint))| (shard, Position { seq, offset, fingerprint }));
            let positions = Positions(all.collect());
            prop_assert_eq!(positions.to_string().parse(), Ok(positions));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9a-f.,+ ]{0,30}") {
            let _ = text.parse::<Positions>();
        }

        #[test]
        fn a_fingerprint_is_that_of_the_last_line(before in "[a-z]{0,9}\n?", line in "[a-m]{0,300}") {
            let line = format!("{line}\n");
            prop_assume!(before.is_empty() || before.ends_with('\n'));
            prop_assert_eq!(fingerprint(format!("{before}{line}").as_bytes()), fingerprint(line.as_bytes()));
            prop_assert_ne!(fingerprint(line.as_bytes()), fingerprint(b"another\n"));
        }
    }

    #[test]
    fn texts_that_are_no_positions() {
        for text in ["x", "1.2.3", "1.2.3.4.5", "1.2.3.4,", "1.2.3.4,1.2.3.5", "100.1.1.1", "1.-2.3.4", ",", "1.2.3.100000000"] {
            assert_eq!(text.parse::<Positions>(), Err(NoPosition), "{text}");
        }
        assert_eq!("".parse(), Ok(Positions::default()));
    }
}

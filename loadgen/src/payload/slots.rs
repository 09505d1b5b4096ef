//! The two fixed-width places of a line that are patched when it is sent: when, and which line it is. Pure.

use jiff::Timestamp;

/// Bytes of the time slot: `2026-11-24T15:00:00.123`. The three digits of microseconds after it belong to the line's fixed text.
pub const STAMP_BYTES: usize = 23;
/// Bytes of a line's identity: `9f3c01ab-0007-000000012345`, the run, the client, the line's number at its client.
pub const ID_BYTES: usize = 26;
/// Bytes of the identity's beginning, the same in all lines of a run: `9f3c01ab-`.
pub const RUN_BYTES: usize = 9;
/// Bytes of the identity's middle, patched when a block is sent: `0007-000000012`. The last three digits are the line's place in its block.
pub const PATCH_BYTES: usize = 14;
/// The largest number of clients, by the digits of the slot.
pub const CLIENTS_MAX: u32 = 10_000;
/// The largest number of lines of one client, by the digits of the slot.
pub const LINES_MAX: u64 = 1_000_000_000_000;

const SHAPE: &[u8; STAMP_BYTES] = b"0000-00-00T00:00:00.000";

/// A time as lines carry it, to the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(pub [u8; STAMP_BYTES]);

impl Stamp {
    /// The time `unix_ms` milliseconds after 1970, UTC. What lies outside jiff's range (the years -9999 to 9999) is shown as 1970.
    pub fn at(unix_ms: i64) -> Self {
        let civil = jiff::tz::Offset::UTC.to_datetime(Timestamp::from_millisecond(unix_ms).unwrap_or_default());
        let mut text = *SHAPE;
        digits(&mut text[0..4], civil.year().unsigned_abs().into());
        digits(&mut text[5..7], civil.month().unsigned_abs().into());
        digits(&mut text[8..10], civil.day().unsigned_abs().into());
        digits(&mut text[11..13], civil.hour().unsigned_abs().into());
        digits(&mut text[14..16], civil.minute().unsigned_abs().into());
        digits(&mut text[17..19], civil.second().unsigned_abs().into());
        digits(&mut text[20..23], civil.millisecond().unsigned_abs().into());
        Self(text)
    }

    /// Whether `slot` has a time's shape: digits and separators where they belong.
    pub fn has_shape(slot: &[u8]) -> bool {
        slot.len() == STAMP_BYTES
            && slot.iter().zip(SHAPE).all(|(&byte, &shape)| if shape == b'0' { byte.is_ascii_digit() } else { byte == shape })
    }
}

/// Appends what stands before a message in an RFC 5424 line (section 6.2): local0.info, without structured data.
pub fn syslog_header(out: &mut Vec<u8>, stamp: &Stamp) {
    out.extend_from_slice(b"<134>1 ");
    out.extend_from_slice(&stamp.0);
    out.extend_from_slice(b"Z web-01 shop 4711 - - ");
}

/// Which line of a run a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineId {
    /// The client that sent it.
    pub client: u32,
    /// Its number at that client, from 0.
    pub seq: u64,
}

impl LineId {
    /// The patch for all lines of the client's block number `chunk`.
    pub fn patch(client: u32, chunk: u64) -> [u8; PATCH_BYTES] {
        let mut text = [b'-'; PATCH_BYTES];
        digits(&mut text[0..4], client.into());
        digits(&mut text[5..14], chunk);
        text
    }

    /// Reads an identity. `None` when the bytes are none, or of another run than `run` (which ends with its dash).
    pub fn parse(id: &[u8], run: &[u8; RUN_BYTES]) -> Option<Self> {
        if id.len() != ID_BYTES || &id[..RUN_BYTES] != run || id[13] != b'-' {
            return None;
        }
        Some(Self { client: u32::try_from(number(&id[9..13])?).ok()?, seq: number(&id[14..])? })
    }
}

/// Writes the low decimal digits of `number`, as many as there is room for.
pub fn digits(room: &mut [u8], mut number: u64) {
    for place in room.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |sum, &byte| byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_rfc_3339() {
        for (unix_ms, text) in [(0, "1970-01-01T00:00:00.000"), (1_795_532_400_123, "2026-11-24T15:00:00.123")] {
            assert_eq!(Stamp::at(unix_ms).0, text.as_bytes());
            assert!(Stamp::has_shape(text.as_bytes()));
        }
        for text in ["2026-11-24T15:00:00.12", "2026-11-24T15:00:00.12x", "2026-11-24 15:00:00.123", ""] {
            assert!(!Stamp::has_shape(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_syslog_header_is_as_rfc_5424_wants_it() {
        let mut out = Vec::new();
        syslog_header(&mut out, &Stamp::at(0));
        assert_eq!(out, b"<134>1 1970-01-01T00:00:00.000Z web-01 shop 4711 - - ");
    }

    proptest! {
        #[test]
        fn an_identity_comes_back(client in 0..CLIENTS_MAX, seq in 0..LINES_MAX) {
            let mut id = *b"0123abcd-xxxx-xxxxxxxxxxxx";
            id[9..23].copy_from_slice(&LineId::patch(client, seq / 1000));
            digits(&mut id[23..], seq % 1000);
            prop_assert_eq!(LineId::parse(&id, b"0123abcd-"), Some(LineId { client, seq }));
            prop_assert_eq!(LineId::parse(&id, b"0123abce-"), None);
        }
    }
}

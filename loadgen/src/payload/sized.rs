//! JSON lines of about a wanted size: members of the usual line are left out from its end, or one with more text from the same templates is added. Pure.

use std::io::Write as _;

use super::format::Format;
use super::traffic::{Event, Traffic};

/// What a line needs at least: its time, level and identity, and its newline.
pub const LINE_BYTES_MIN: i64 = 100;
/// Sixteen thousand lines of it are made before a run.
pub const LINE_BYTES_MAX: i64 = 8192;

/// What the member with more text takes beside the text.
const CONTEXT: &[u8] = br#","context":"""#;
/// The last member, whose value is patched.
const ID_MEMBER: &[u8] = br#","event_id":""#;

/// Appends the JSON line of `event` in at most `line_bytes` bytes with its newline, and less only where a member does not fit, or no text needs to be added.
pub fn write(out: &mut Vec<u8>, event: &Event, micros: u64, line_bytes: usize, traffic: &mut Traffic) {
    let start = out.len();
    Format::Json.write(out, event, micros);
    let id_at = |line: &[u8]| memchr::memmem::rfind(line, ID_MEMBER).expect("every line has an identity");
    while line_bytes < out.len() - start {
        // No text holds a quote, so `,"` begins a member. The first two members always fit.
        let id_at = start + id_at(&out[start..]);
        let member_at = start + memchr::memmem::rfind(&out[start..id_at], b",\"").expect("more than one member");
        out.drain(member_at..id_at);
    }
    let Some(text_bytes) = (line_bytes + start).checked_sub(out.len() + CONTEXT.len()).filter(|bytes| 0 < *bytes) else { return };
    let mut text = Vec::with_capacity(text_bytes + 128);
    while text.len() < text_bytes {
        write!(text, "{}; ", traffic.next_event().message).expect("a Vec takes every byte");
    }
    text.truncate(text_bytes);
    let id_at = start + id_at(&out[start..]);
    let member = [&CONTEXT[..CONTEXT.len() - 1], &text, b"\""].concat();
    out.splice(id_at..id_at, member);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::{BLOCK_LINES, BLOCKS, Judgement, LineId, Payload, Stamp};

    #[test]
    fn lines_have_the_size_that_was_asked_for() {
        for (line_bytes, mean) in [(100, 98.0), (160, 140.0), (259, 245.0), (1000, 999.0), (LINE_BYTES_MAX as u32, 8191.0)] {
            let payload = Payload::of_size(1, Format::Json, Some(line_bytes));
            let mut lines = Vec::new();
            payload.append(&mut lines, 3, 0, BLOCKS * BLOCK_LINES, &Stamp::at(0));
            for line in lines.split_inclusive(|byte| *byte == b'\n') {
                assert!(line.len() <= line_bytes as usize);
                let object: serde_json::Value = serde_json::from_slice(line).unwrap();
                assert!(object["timestamp"].is_string() && object["level"].is_string() && object["event_id"].is_string(), "{object}");
            }
            assert!(mean <= payload.line_bytes_mean(), "{line_bytes}: {}", payload.line_bytes_mean());
            let id = LineId { client: 3, seq: 1234 };
            let line = payload.line(id, &Stamp::at(0));
            assert_eq!(payload.judge(&line), Judgement::Intact(id));
            assert_eq!(Payload::new(1, Format::Json).judge(&line), Judgement::Altered(id));
        }
    }
}

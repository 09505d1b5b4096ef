//! Text lines become JSON objects: `{"timestamp":"…","message":"…"}`, with the whole line as the message.

use super::{RecordMeta, RejectReason, Timestamp};

/// Appends the record of `line`, received at `received`, without a newline. What is not UTF-8 is rejected, and `out` left as it was.
pub fn write_record(out: &mut Vec<u8>, line: &[u8], received: Timestamp) -> Result<RecordMeta<'static>, RejectReason> {
    let line = simdutf8::basic::from_utf8(line).map_err(|_| RejectReason::InvalidUtf8)?;
    out.extend_from_slice(b"{\"timestamp\":\"");
    received.write_rfc3339(out);
    out.extend_from_slice(b"\",\"message\":\"");
    write_escaped(out, line);
    out.extend_from_slice(b"\"}");
    Ok(RecordMeta { time: Some(received), ..RecordMeta::default() })
}

/// Appends `text` as the inside of a JSON string (RFC 8259, section 7): quotes, backslashes and control characters escaped, everything else as it is.
pub fn write_escaped(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    let mut copied = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if !NEEDS_ESCAPE[usize::from(byte)] {
            continue;
        }
        out.extend_from_slice(&bytes[copied..at]);
        copied = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]),
        }
    }
    out.extend_from_slice(&bytes[copied..]);
}

const NEEDS_ESCAPE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_record_is_the_time_and_the_whole_line() {
        let mut out = b"before\n".to_vec();
        write_record(&mut out, b"a \"quoted\" \\ line\x01", Timestamp(0)).unwrap();
        assert_eq!(out, b"before\n{\"timestamp\":\"1970-01-01T00:00:00.000000Z\",\"message\":\"a \\\"quoted\\\" \\\\ line\\u0001\"}");
        assert_eq!(write_record(&mut out, b"\xff", Timestamp(0)), Err(RejectReason::InvalidUtf8));
        assert!(out.ends_with(b"}"));
    }

    proptest! {
        #[test]
        fn any_line_is_its_records_message(line in "(.|\n|\u{0}){0,100}") {
            let mut out = Vec::new();
            write_record(&mut out, line.as_bytes(), Timestamp(1)).unwrap();
            let record: serde_json::Value = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(record["message"].as_str(), Some(line.as_str()));
        }
    }
}

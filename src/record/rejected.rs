//! Records of the `rejected` stream: what could not be accepted, with everything needed to find out why.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::text::write_escaped;
use super::{RejectReason, Timestamp};

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The peer's address, or the file's path.
    pub name: &'a str,
    /// Of a file: where the line begins, in bytes.
    pub offset: Option<u64>,
}

/// Appends `{"time":"…","peer":"…","reason":"…","bytes":N,"line":"…"}` without a newline; `line_base64` (RFC 4648, section 4) instead of `line` where the
/// bytes are not UTF-8. `line` is what is kept of it. Of a file it is `"file":"…","offset":N` instead of `peer`.
pub fn write_rejected(out: &mut Vec<u8>, line: &[u8], reason: RejectReason, origin: Origin<'_>, time: Timestamp) {
    out.extend_from_slice(b"{\"time\":\"");
    time.write_rfc3339(out);
    out.extend_from_slice(if origin.offset.is_some() { b"\",\"file\":\"" } else { b"\",\"peer\":\"" });
    write_escaped(out, origin.name);
    match origin.offset {
        Some(offset) => {
            out.extend_from_slice(b"\",\"offset\":");
            out.extend_from_slice(itoa::Buffer::new().format(offset).as_bytes());
            out.extend_from_slice(b",\"reason\":\"");
        }
        None => out.extend_from_slice(b"\",\"reason\":\""),
    }
    out.extend_from_slice(reason.name().as_bytes());
    out.extend_from_slice(b"\",\"bytes\":");
    out.extend_from_slice(itoa::Buffer::new().format(line.len()).as_bytes());
    match simdutf8::basic::from_utf8(line) {
        Ok(text) => {
            out.extend_from_slice(b",\"line\":\"");
            write_escaped(out, text);
        }
        Err(_) => {
            out.extend_from_slice(b",\"line_base64\":\"");
            let start = out.len();
            out.resize(start + line.len().div_ceil(3) * 4, 0);
            STANDARD.encode_slice(line, &mut out[start..]).expect("the length was computed above");
        }
    }
    out.extend_from_slice(b"\"}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes() {
        let mut out = Vec::new();
        write_rejected(&mut out, b"{\"a\":", RejectReason::InvalidJson, Origin { name: "127.0.0.1:9", offset: None }, Timestamp(0));
        assert_eq!(
            String::from_utf8_lossy(&out),
            r#"{"time":"1970-01-01T00:00:00.000000Z","peer":"127.0.0.1:9","reason":"invalid_json","bytes":5,"line":"{\"a\":"}"#
        );
        out.clear();
        write_rejected(&mut out, b"[1]", RejectReason::NotAnObject, Origin { name: "logs/a\"b.log", offset: Some(70) }, Timestamp(0));
        let record: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((record["file"].as_str(), record["offset"].as_u64(), record.get("peer")), (Some("logs/a\"b.log"), Some(70), None));
        for len in 1..50u8 {
            let bytes: Vec<u8> = (0..len).map(|n| 255 - n).collect();
            out.clear();
            write_rejected(&mut out, &bytes, RejectReason::InvalidUtf8, Origin { name: "p", offset: None }, Timestamp(0));
            let record: serde_json::Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(STANDARD.decode(record["line_base64"].as_str().unwrap()).unwrap(), bytes);
        }
    }
}

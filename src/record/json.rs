//! JSON lines: validated whole by simd-json, and read for the counters from the tape that this leaves.
//!
//! simd-json refuses some documents that RFC 8259 allows (numbers out of range, lone surrogates). A line it refuses gets a second opinion from serde_json,
//! which validates without storing, and is then walked in place ([`members`]); so legal JSON is never rejected, and the usual line costs one parser.

mod fields;

use serde::de::IgnoredAny;
use simd_json::{Buffers, Node, StaticNode, Tape};

use self::fields::JsonFields;

use super::members::{self, MemberFields};
use super::timestamp::TimeReader;
use super::{Fields, KnownKey, Level, RecordMeta, RejectReason, Timestamp, counted_key};

/// Validates lines, reusing its buffers: no allocation after warm-up.
pub struct JsonScanner {
    buffers: Buffers,
    /// Empty between scans; only its allocation is kept.
    tape: Tape<'static>,
    times: TimeReader,
}

impl Default for JsonScanner {
    fn default() -> Self {
        Self { buffers: Buffers::new(4096), tape: Tape(Vec::with_capacity(1024)), times: TimeReader::default() }
    }
}

impl JsonScanner {
    /// Validates the line in the first `len` bytes of `padded`, behind which [`PADDING`](super::framer::PADDING) bytes follow, and reads its level, time and
    /// service. Rewrites them; `original` is the same line, kept elsewhere.
    pub fn scan<R>(
        &mut self,
        padded: &mut [u8],
        len: usize,
        original: &[u8],
        read: impl FnOnce(RecordMeta<'_>) -> R,
    ) -> Result<R, RejectReason> {
        self.scan_fields(padded, len, original, |meta, _| read(meta))
    }

    /// Like [`scan`](Self::scan), and lets `read` look at the line's fields.
    pub fn scan_fields<R>(
        &mut self,
        padded: &mut [u8],
        len: usize,
        original: &[u8],
        read: impl FnOnce(RecordMeta<'_>, &dyn Fields) -> R,
    ) -> Result<R, RejectReason> {
        let mut tape = std::mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let parsed = simd_json::fill_tape_padded(padded, len, &mut self.buffers, &mut tape);
        let outcome = match parsed {
            Ok(()) => meta(&tape.0, &mut self.times).map(|meta| read(meta, &JsonFields(&tape.0))).ok_or(RejectReason::NotAnObject),
            Err(_) => second_opinion(original).map(|()| {
                let facts = members::facts(original, &mut self.times);
                let service = facts.service.as_deref().and_then(|name| std::str::from_utf8(name).ok());
                read(RecordMeta { level: facts.level, time: facts.time, service }, &MemberFields(original))
            }),
        };
        self.tape = tape.reset();
        outcome
    }
}

/// Puts valid JSON on one line. Frames with a length (RELP) or ended by NUL may hold newlines, and a stored record is a line. In valid JSON a newline is white space
/// between tokens (RFC 8259, section 2; within strings control characters are escaped, section 7), so with a space in its place the value is the same.
pub fn put_on_one_line(json: &mut [u8]) {
    let Some(first) = memchr::memchr(b'\n', json) else { return };
    let from = if first > 0 && json[first - 1] == b'\r' { first - 1 } else { first };
    for byte in &mut json[from..] {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

/// Why simd-json refused `line`, unless it is legal.
#[cold]
fn second_opinion(line: &[u8]) -> Result<(), RejectReason> {
    let text = simdutf8::basic::from_utf8(line).map_err(|_| RejectReason::InvalidUtf8)?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|_| RejectReason::InvalidJson)?;
    if text.trim_start().starts_with('{') { Ok(()) } else { Err(RejectReason::NotAnObject) }
}

/// Reads the well-known keys at the top; none if the tape holds no object. The first of each kind that can be read counts, so the usual line is not read to its end.
fn meta<'a>(tape: &[Node<'a>], times: &mut TimeReader) -> Option<RecordMeta<'a>> {
    let &Node::Object { len, .. } = tape.first()? else { return None };
    let mut meta = RecordMeta::default();
    let mut at = 1;
    for _ in 0..len {
        let (Some(Node::String(key)), Some(value)) = (tape.get(at), tape.get(at + 1)) else { break };
        match counted_key(key) {
            Some(KnownKey::Level) if meta.level == Level::Unknown => meta.level = level(value),
            Some(KnownKey::Time) if meta.time.is_none() => meta.time = time(value, times),
            Some(KnownKey::Service) if meta.service.is_none() => meta.service = text(value),
            _ => {}
        }
        if meta.level != Level::Unknown && meta.time.is_some() && meta.service.is_some() {
            break;
        }
        at += 1 + nodes(value);
    }
    Some(meta)
}

/// How many nodes of the tape a value takes.
fn nodes(value: &Node<'_>) -> usize {
    match value {
        Node::Object { count, .. } | Node::Array { count, .. } => count + 1,
        Node::String(_) | Node::Static(_) => 1,
    }
}

fn level(value: &Node<'_>) -> Level {
    match value {
        Node::String(text) => Level::parse(text.as_bytes()),
        Node::Static(StaticNode::U64(number)) => Level::from_number(*number),
        Node::Static(StaticNode::I64(number)) => u64::try_from(*number).map_or(Level::Unknown, Level::from_number),
        _ => Level::Unknown,
    }
}

fn time(value: &Node<'_>, times: &mut TimeReader) -> Option<Timestamp> {
    match value {
        Node::String(text) => times.parse(text),
        Node::Static(StaticNode::I64(number)) => Timestamp::from_epoch(*number),
        Node::Static(StaticNode::U64(number)) => i64::try_from(*number).ok().and_then(Timestamp::from_epoch),
        Node::Static(StaticNode::F64(number)) => Timestamp::from_epoch_seconds(*number),
        _ => None,
    }
}

fn text<'a>(value: &Node<'a>) -> Option<&'a str> {
    match value {
        Node::String(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::framer::PADDING;
    use proptest::prelude::*;

    /// Scans one line: the meta with its service owned, or the reason.
    fn scan(line: &[u8]) -> Result<(Level, Option<Timestamp>, Option<String>), RejectReason> {
        let mut padded = line.to_vec();
        padded.resize(line.len() + PADDING, b'"');
        JsonScanner::default().scan(&mut padded, line.len(), line, |meta| (meta.level, meta.time, meta.service.map(str::to_owned)))
    }

    #[test]
    fn level_time_and_service_are_read_from_the_top() {
        let table: &[(&str, Level, Option<i64>, Option<&str>)] = &[
            ("{}", Level::Unknown, None, None),
            (r#"{"level":"warning","time":"1970-01-01T00:00:01Z","service":"auth"}"#, Level::Warn, Some(1_000_000), Some("auth")),
            (
                r#"{"deep":{"level":"error","x":[1,{"service":"no"}]},"severity":7,"ts":1.5,"app":"pay"}"#,
                Level::Debug,
                Some(1_500_000),
                Some("pay"),
            ),
            (
                r#"{"a":[],"b":{},"c":[[],[{}]],"log.level":"E","@timestamp":1000,"service.name":"x"}"#,
                Level::Error,
                Some(1_000_000_000),
                Some("x"),
            ),
            (r#"{"level":null,"time":{},"service":[]}"#, Level::Unknown, None, None),
            (
                r#"{"level":"what","time":"soon","service":"","lvl":"E","ts":1,"app":"a","level":"info","time":2,"service":"b"}"#,
                Level::Error,
                Some(1_000_000),
                Some("a"),
            ),
            (r#"{"lvl":30,"logger":"\u0061uth"}"#, Level::Info, None, Some("auth")),
            (r#"{"n":1e999,"level":"ERROR","ts":1,"app":"pay"}"#, Level::Error, Some(1_000_000), Some("pay")), // which simd-json refuses
        ];
        for (line, level, micros, service) in table {
            assert_eq!(scan(line.as_bytes()), Ok((*level, micros.map(Timestamp), service.map(str::to_owned))), "{line}");
        }
    }

    #[test]
    fn legal_json_is_never_rejected_and_illegal_never_accepted() {
        let legal = [
            r#"{"n":1e400}"#,
            r#"{"n":-1E-999}"#,
            r#"{"n":123456789012345678901234567890}"#,
            r#"{"s":"\ud800"}"#,
            r#"{"s":"\u0000"}"#,
            r#"{"n":-0,"m":0.0,"k":1E+2}"#,
            " {\t\"a\" : 1 }\r",
        ];
        for line in legal {
            assert!(scan(line.as_bytes()).is_ok(), "{line}");
        }
        let illegal: &[(&[u8], RejectReason)] = &[
            (b"{\"a\":1", RejectReason::InvalidJson),
            (b"{\"a\":1} trailing", RejectReason::InvalidJson),
            (b"{\"a\":1}{}", RejectReason::InvalidJson),
            (b"{\"a\":01}", RejectReason::InvalidJson),
            (b"{\"a\":1.}", RejectReason::InvalidJson),
            (b"{\"a\":+1}", RejectReason::InvalidJson),
            (b"{\"a\":NaN}", RejectReason::InvalidJson),
            (b"{\"a\":\"\t\"}", RejectReason::InvalidJson),
            (b"{\"a\":\"\\x\"}", RejectReason::InvalidJson),
            (b"{\"a\",1}", RejectReason::InvalidJson),
            (b"{a:1}", RejectReason::InvalidJson),
            (b"{\"a\":\"\xff\"}", RejectReason::InvalidUtf8),
            (b"[1]", RejectReason::NotAnObject),
            (b"42", RejectReason::NotAnObject),
        ];
        for (line, reason) in illegal {
            assert_eq!(scan(line), Err(*reason), "{}", String::from_utf8_lossy(line));
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(scan(deep.as_bytes()).is_ok(), "nesting is bounded by the line, and by no stack");
    }

    #[test]
    fn newlines_between_tokens_become_spaces() {
        let table = [
            ("{\"a\":1}", "{\"a\":1}"),
            ("{\r\n  \"a\": \"x\\n\",\n\t\"b\": [1,\r\n2]\n}\n", "{    \"a\": \"x\\n\", \t\"b\": [1,  2] } "),
            ("{\"a\":\r1}", "{\"a\":\r1}"),
        ];
        for (json, expected) in table {
            assert!(scan(json.as_bytes()).is_ok());
            let mut line = json.as_bytes().to_vec();
            put_on_one_line(&mut line);
            assert_eq!(String::from_utf8_lossy(&line), expected);
        }
        assert_eq!(scan(b"{\"a\":\"x\ny\"}"), Err(RejectReason::InvalidJson), "a newline within a string is no white space");
    }

    proptest! {
        #[test]
        fn on_one_line_the_value_is_the_same(at in proptest::collection::vec((0..60usize, prop_oneof![Just("\n"), Just("\r\n"), Just("\r")]), 1..4)) {
            let mut json = r#"{"k":"v\n","n":-12.5e3,"a":[true,null,{"x":0}],"s":"end"}"#.to_owned();
            for (at, newline) in at {
                json.insert_str(at % json.len(), newline);
            }
            let mut line = json.clone().into_bytes();
            put_on_one_line(&mut line);
            prop_assume!(scan(json.as_bytes()).is_ok());
            prop_assert!(!line.contains(&b'\n'));
            let value: serde_json::Value = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&line).unwrap(), value);
        }

        #[test]
        fn the_verdict_is_serde_jsons(
            at in 0..60usize,
            with in prop_oneof![any::<u8>(), Just(b'"'), Just(b'\\'), Just(b'{'), Just(b'}'), Just(b','), Just(b'0'), Just(b'.'), Just(b'-'), Just(b'e')],
        ) {
            let mut line = br#"{"k":"v\n","n":-12.5e3,"a":[true,null,{"x":0}],"s":"end"}"#.to_vec();
            let at = at % line.len();
            line[at] = with;
            prop_assume!(!line.contains(&b'\n') && !line.contains(&0));
            let theirs = std::str::from_utf8(&line).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
            let is_object = line.trim_ascii_start().first() == Some(&b'{');
            prop_assert_eq!(scan(&line).is_ok(), theirs && is_object, "{}", String::from_utf8_lossy(&line));
        }
    }
}

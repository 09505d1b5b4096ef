//! `VERSION SP TIMESTAMP SP HOSTNAME SP APP-NAME SP PROCID SP MSGID SP STRUCTURED-DATA [SP MSG]` (RFC 5424, section 6), behind the `<PRI>`.

use super::structured::StructuredData;
use super::{Message, Time, legacy, word};
use crate::record::timestamp::TimeReader;

/// A byte order mark, which says that the message is UTF-8 (section 6.4); every message is here.
const BOM: &str = "\u{feff}";

/// Reads a message of version 1. None if its header is not one, so that it is read in the manner of RFC 3164; structured data that are malformed begin the message.
/// Lengths are not held against it.
pub(super) fn parse<'a>(rest: &'a str, times: &mut TimeReader, data: &mut StructuredData) -> Option<Message<'a>> {
    let header = rest.strip_prefix("1 ")?;
    let (time, header) = word(header);
    let time = if time == "-" {
        Time::Unknown
    } else {
        let (found, len) = legacy::iso_time(time, times)?;
        (len == time.len()).then_some(found)?
    };
    let (host, header) = word(header);
    let (app, header) = word(header);
    let (procid, header) = word(header);
    let (msgid, body) = word(header);
    if [host, app, procid, msgid].contains(&"") {
        return None;
    }
    let (has_data, text) = match data.read(body) {
        Some(text) => (!data.is_empty(), text.strip_prefix(BOM).unwrap_or(text)),
        None => (false, body),
    };
    let value = |field| if field == "-" { None } else { Some(field) };
    let (host, app, procid, msgid) = (value(host), value(app), value(procid), value(msgid));
    Some(Message { time, host, app, procid, msgid, sequence: None, has_data, text })
}

//! What is sent in the manner of RFC 3164, behind the `<PRI>`: `Mmm dd hh:mm:ss HOST TAG[PID]: CONTENT` (section 4.1), and what became of it in the field.
//!
//! - The time may be ISO 8601, or have a year or a fraction, or be missing (then only `TAG[PID]:` is told from content, since `word:` may be either).
//! - The host may be missing: what looks like a tag is one.
//! - Cisco's IOS, NX-OS and ASA number their messages, name their origin, mark a clock that is not set (`*`, `.`), end the time with a colon, and begin the content
//!   with `%FACILITY-SEVERITY-MNEMONIC:`, which is the message's ID.
//!
//! What none of this explains is content.

use super::clock::CivilTime;
use super::{Message, Time, word};
use crate::record::timestamp::{TimeReader, number, parse_fraction};

/// Longer names are no tags, process IDs or mnemonics.
const NAME_BYTES_MAX: usize = 128;

/// Reads what follows the `<PRI>`, or a line without one.
pub(super) fn parse<'a>(rest: &'a str, times: &mut TimeReader) -> Message<'a> {
    let (sequence, body) = sequence(rest);
    let body = body.strip_prefix(": ").unwrap_or(body);
    if let Some((time, after)) = time(body, times)
        && let Some(message) = after_time(time, after)
    {
        return Message { sequence, ..message };
    }
    if let (Some(origin), body) = word_with_colon(body)
        && let Some((time, after)) = time(body, times)
        && let Some(message) = after_time(time, after)
    {
        return Message { sequence, host: message.host.or(Some(origin)), ..message };
    }
    if let Some((msgid, text)) = mnemonic(body) {
        return Message { sequence, msgid: Some(msgid), text, ..Message::default() };
    }
    match tag(rest) {
        Some((app, Some(procid), text)) => Message { app: Some(app), procid: Some(procid), text, ..Message::default() },
        _ => Message { text: rest, ..Message::default() },
    }
}

/// Cisco's `123: `.
fn sequence(text: &str) -> (Option<&str>, &str) {
    match word_with_colon(text) {
        (Some(digits), rest) if digits.bytes().all(|byte| byte.is_ascii_digit()) => (Some(digits), rest),
        _ => (None, text),
    }
}

fn word_with_colon(text: &str) -> (Option<&str>, &str) {
    let (first, rest) = word(text);
    match first.strip_suffix(':') {
        Some(name) if !name.is_empty() => (Some(name), rest),
        _ => (None, text),
    }
}

/// The time that `text` begins with, and what follows it.
fn time<'a>(text: &'a str, times: &mut TimeReader) -> Option<(Time<'a>, &'a str)> {
    let text = text.strip_prefix(['*', '.']).unwrap_or(text);
    let (time, len) = match text.as_bytes().first()? {
        b'0'..=b'9' => iso_time(text, times).or_else(|| bsd_time(text))?,
        _ => bsd_time(text)?,
    };
    Some((time, &text[len..]))
}

/// What follows the time. None if nothing may follow it so: then it was none.
fn after_time<'a>(time: Time<'a>, after: &'a str) -> Option<Message<'a>> {
    let (time, after) = zone_name(time, after);
    if let Some(after) = after.strip_prefix(':') {
        return Some(content(time, None, after.strip_prefix(' ').unwrap_or(after)));
    }
    if after.is_empty() {
        return Some(Message { time, ..Message::default() });
    }
    let after = after.strip_prefix(' ')?;
    if let Some((app, None, text)) = tag(after)
        && mnemonic(text).is_some()
    {
        return Some(content(time, Some(app), text)); // `host: %FACILITY-…`
    }
    let (host, rest) = word(after);
    let has_host = !host.is_empty() && !rest.is_empty() && tag(after).is_none() && mnemonic(after).is_none();
    if !has_host {
        return Some(content(time, None, after));
    }
    Some(content(time, Some(host), rest.strip_prefix(": ").unwrap_or(rest)))
}

/// Cisco's name of the zone, ` UTC: %…`. UTC is what it says; others are ambiguous (CST, IST), and mean the configured zone.
fn zone_name<'a>(time: Time<'a>, after: &'a str) -> (Time<'a>, &'a str) {
    let Some((name, rest)) = after.strip_prefix(' ').and_then(|after| after.split_once(':')) else { return (time, after) };
    let is_zone = (1..=5).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_uppercase()) && rest.starts_with(" %");
    match time {
        _ if !is_zone => (time, after),
        Time::Civil(civil, fraction) => (Time::Civil(CivilTime { is_utc: matches!(name, "UTC" | "GMT"), ..civil }, fraction), rest),
        time => (time, rest),
    }
}

fn content<'a>(time: Time<'a>, host: Option<&'a str>, text: &'a str) -> Message<'a> {
    let message = Message { time, host, ..Message::default() };
    if let Some((msgid, text)) = mnemonic(text) {
        return Message { msgid: Some(msgid), text, ..message };
    }
    match tag(text) {
        Some((app, procid, text)) => Message { app: Some(app), procid, text, ..message },
        None => Message { text, ..message },
    }
}

/// `TAG: `, `TAG[PID]: ` or `TAG[PID] `, and what follows. A colon within a word makes no tag.
fn tag(text: &str) -> Option<(&str, Option<&str>, &str)> {
    let bytes = text.as_bytes();
    let looked_at = &bytes[..bytes.len().min(NAME_BYTES_MAX + 1)];
    let len = looked_at.iter().position(|byte| matches!(byte, b' ' | b':' | b'['))?;
    if len == 0 || bytes[0] == b'%' {
        return None;
    }
    let (app, rest) = text.split_at(len);
    if let Some(rest) = rest.strip_prefix(':') {
        return Some((app, None, after_colon(rest)?));
    }
    let rest = rest.strip_prefix('[')?;
    let pid_len = rest.bytes().take(NAME_BYTES_MAX + 1).position(|byte| matches!(byte, b']' | b' ' | b'"'))?;
    let (pid, rest) = rest.split_at(pid_len);
    let rest = rest.strip_prefix(']')?;
    let text = after_colon(rest.strip_prefix(':').unwrap_or(rest))?;
    (!pid.is_empty()).then_some((app, Some(pid), text))
}

fn after_colon(rest: &str) -> Option<&str> {
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix(' ') }
}

/// Cisco's `%FACILITY-SEVERITY-MNEMONIC: `, and what follows.
fn mnemonic(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = word(text.strip_prefix('%')?);
    let name = name.strip_suffix(':')?;
    let is_one = name.len() <= NAME_BYTES_MAX && name.split('-').any(|part| part.len() == 1 && part.as_bytes()[0].is_ascii_digit());
    is_one.then_some((name, rest))
}

/// `YYYY-MM-DDThh:mm:ss` or with a space, a fraction, and a zone, or none. With its length.
pub(super) fn iso_time<'a>(text: &'a str, times: &mut TimeReader) -> Option<(Time<'a>, usize)> {
    let head = text.as_bytes().first_chunk::<19>()?;
    if head[4] != b'-' || head[7] != b'-' || !matches!(head[10], b'T' | b' ') {
        return None;
    }
    let year = i16::try_from(number(&head[..4])?).ok()?;
    let (month, day) = (two(&head[5..7])?, two(&head[8..10])?);
    let (hour, minute, second) = time_of_day(&head[11..])?;
    let civil = CivilTime { year: Some(year), month, day, hour, minute, second, is_utc: false };
    let fraction = fraction(&text[19..]);
    let after = 19 + fraction.len();
    let zone_len = match text.as_bytes()[after..] {
        [b'Z', ..] => 1,
        [b'+' | b'-', _, _, b':', _, _, ..] => 6,
        [b'+' | b'-', _, _, _, _, ..] => 5,
        _ => 0,
    };
    if zone_len == 0 {
        return Some((Time::Civil(civil, fraction), after));
    }
    let full = text.get(..after + zone_len)?;
    Some((Time::Full(full, times.parse(full)?), full.len()))
}

/// `Mmm dd hh:mm:ss`, with a year before or behind the date or without, a fraction or none. With its length.
fn bsd_time(text: &str) -> Option<(Time<'_>, usize)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut year = year_at(bytes);
    if year.is_some() {
        at = 5;
    }
    let month = month(bytes.get(at..at + 3)?)?;
    at += 3;
    let (day, day_len) = match *bytes.get(at..at + 4)? {
        [b' ', b' ', d, b' '] => (two(&[b'0', d])?, 4),
        [b' ', d, b' ', _] => (two(&[b'0', d])?, 3),
        [b' ', d, e, b' '] => (two(&[d, e])?, 4),
        _ => return None,
    };
    at += day_len;
    if year.is_none() {
        year = bytes.get(at..).and_then(year_at);
        at += if year.is_some() { 5 } else { 0 };
    }
    let (hour, minute, second) = time_of_day(bytes.get(at..at + 8)?)?;
    at += 8;
    let fraction = fraction(&text[at..]);
    let civil = CivilTime { year, month, day, hour, minute, second, is_utc: false };
    Some((Time::Civil(civil, fraction), at + fraction.len()))
}

/// `2026 `.
fn year_at(bytes: &[u8]) -> Option<i16> {
    let [y1, y2, y3, y4, b' ', ..] = *bytes else { return None };
    number(&[y1, y2, y3, y4]).filter(|year| *year >= 1970).map(|year| year as i16)
}

fn month(name: &[u8]) -> Option<u8> {
    const MONTHS: [&[u8; 3]; 12] = [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    MONTHS.iter().position(|month| *month == name).map(|at| at as u8 + 1)
}

fn time_of_day(text: &[u8]) -> Option<(u8, u8, u8)> {
    let [h1, h2, b':', m1, m2, b':', s1, s2] = *text else { return None };
    let (hour, minute, second) = (two(&[h1, h2])?, two(&[m1, m2])?, two(&[s1, s2])?);
    (hour < 24 && minute < 60 && second < 60).then_some((hour, minute, second))
}

fn two(digits: &[u8]) -> Option<u8> {
    number(digits).map(|number| number as u8)
}

/// The fraction that `text` begins with, its point included; empty if there is none.
fn fraction(text: &str) -> &str {
    let [b'.' | b',', digits @ ..] = text.as_bytes() else { return "" };
    let len = 1 + digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if parse_fraction(&text.as_bytes()[..len]).is_some() { &text[..len] } else { "" }
}

//! Which shape a line has, by its first bytes.
//!
//! What is no line with a time, an access log line or logfmt keeps its whole line as the message; pairs at its end become members all the same.

use super::parts::{LevelPart, Parts, Span};
use super::scan::{bracket, is_digits, is_level_name, skip_spaces, word};
use super::{access, head, keyvalue};
use crate::record::timestamp::forms;
use crate::record::{Level, Timestamp};

/// Reads `line`, which was received when the clock whose times it names showed `now`.
pub(super) fn read(line: &str, now: Timestamp, parts: &mut Parts) {
    let bytes = line.as_bytes();
    let is_known = match bytes.first() {
        Some(b'0'..=b'9') => digit(bytes, now, parts),
        Some(b'[') => open_bracket(bytes, parts),
        Some(b'A'..=b'Z') => capital(bytes, now, parts),
        Some(b'a'..=b'z' | b'@' | b'_') => small(bytes, parts),
        Some(b'-') => blue_gene(bytes, parts).is_some(),
        _ => false,
    };
    if !is_known {
        parts.clear(bytes.len());
    }
    if !is_known || parts.message.end as usize == bytes.len() {
        keyvalue::tail(bytes, parts.message.start as usize, parts);
    }
}

fn digit(line: &[u8], now: Timestamp, parts: &mut Parts) -> bool {
    if let Some(found) = forms::full(line) {
        parts.set_time(found, 0, true);
        return head::after_time(line, found.len, head::Form::Dated, parts);
    }
    if let Some(found) = forms::logcat(line, now) {
        parts.set_time(found, 0, false);
        return head::after_time(line, found.len, head::Form::Logcat, parts);
    }
    if let Some(found) = forms::clock_only(line, now) {
        parts.set_time(found, 0, false);
        return head::after_time(line, found.len, head::Form::ClockOnly, parts);
    }
    if let Some(found) = forms::epoch(line) {
        parts.set_time(found, 0, true);
        return head::after_time(line, found.len, head::Form::Dated, parts);
    }
    redis(line, parts).is_some() || access::read(line, parts)
}

fn open_bracket(line: &[u8], parts: &mut Parts) -> bool {
    if let Some(found) = forms::full(&line[1..]) {
        parts.set_time(found, 1, true);
        return head::in_bracket(line, 1 + found.len, parts);
    }
    // `[INFO] message`, as Maven writes.
    let Some(level) = bracket(line, 0).filter(|level| is_level_name(level.bytes(line))) else { return access::read(line, parts) };
    parts.set_level(line, level);
    parts.set_message_from(line, level.end as usize + 1);
    true
}

fn capital(line: &[u8], now: Timestamp, parts: &mut Parts) -> bool {
    if let Some(found) = forms::month_day(line, now) {
        parts.set_time(found, 0, false);
        head::host_and_tag(line, found.len, parts);
        return true;
    }
    if let Some(found) = forms::full(line) {
        parts.set_time(found, 0, true);
        return head::after_time(line, found.len, head::Form::Dated, parts);
    }
    glog(line, now, parts).is_some() || level_first(line, parts) || blue_gene(line, parts).is_some() || logfmt_or(line, parts, access::read)
}

fn small(line: &[u8], parts: &mut Parts) -> bool {
    logfmt_or(line, parts, |line, parts| level_first(line, parts) || access::read(line, parts))
}

/// logfmt, or what `other` finds where logfmt ended in the middle.
fn logfmt_or(line: &[u8], parts: &mut Parts, other: impl FnOnce(&[u8], &mut Parts) -> bool) -> bool {
    keyvalue::logfmt(line, parts) || {
        parts.clear(line.len());
        other(line, parts)
    }
}

/// glog and klog: `I1124 15:00:00.123456    1234 file.go:123] message`.
fn glog(line: &[u8], now: Timestamp, parts: &mut Parts) -> Option<()> {
    if !matches!(line[0], b'I' | b'W' | b'E' | b'F' | b'D' | b'V') {
        return None;
    }
    let found = forms::glog(&line[1..], now)?;
    let thread = word(line, skip_spaces(line, 1 + found.len)).filter(|thread| is_digits(thread.bytes(line)))?;
    let source = word(line, skip_spaces(line, thread.end as usize)).filter(|source| source.bytes(line).ends_with(b"]"))?;
    parts.set_time(found, 1, false);
    parts.set_level(line, Span::new(0, 1));
    parts.add_number("tid", thread);
    parts.add("source", Span::new(source.start as usize, source.end as usize - 1));
    parts.set_message_from(line, source.end as usize);
    Some(())
}

/// A level and a colon: `ERROR: message`, `warning: message`, Python's `WARNING:root:message`; or a level in capitals and a space.
fn level_first(line: &[u8], parts: &mut Parts) -> bool {
    let len = line.iter().take(14).take_while(|byte| byte.is_ascii_alphabetic()).count();
    let level = Span::new(0, len);
    let is_capital = line[..len].iter().all(u8::is_ascii_uppercase);
    if !is_level_name(&line[..len]) {
        return false;
    }
    match line.get(len) {
        Some(b':') if line.get(len + 1).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') && is_capital => {
            let rest = &line[len + 1..];
            let Some(colon) = memchr::memchr2(b':', b' ', rest).filter(|at| rest[*at] == b':') else { return false };
            parts.service = Some(Span::new(len + 1, len + 1 + colon));
            parts.set_message_from(line, len + 2 + colon);
        }
        Some(b':') if matches!(line.get(len + 1), Some(b' ' | b'\t')) => parts.set_message_from(line, len + 1),
        Some(b' ' | b'\t') if is_capital => parts.set_message_from(line, len + 1),
        _ => return false,
    }
    parts.set_level(line, level);
    true
}

/// Redis: `1234:M 24 Nov 2026 15:00:00.123 * message`; the sign is the level (`redis.conf`: debug, verbose, notice, warning).
fn redis(line: &[u8], parts: &mut Parts) -> Option<()> {
    let pid = line.iter().take(10).take_while(|byte| byte.is_ascii_digit()).count();
    if line.get(pid) != Some(&b':') || line.get(pid + 2) != Some(&b' ') {
        return None;
    }
    let found = forms::full(&line[pid + 3..])?;
    let sign_at = pid + 3 + found.len + 1;
    if line.get(sign_at + 1) != Some(&b' ') || !matches!(line[sign_at], b'.' | b'-' | b'*' | b'#') {
        return None;
    }
    parts.set_time(found, pid + 3, true);
    parts.add_number("pid", Span::new(0, pid));
    parts.add("role", Span::new(pid + 1, pid + 2));
    let level = match line[sign_at] {
        b'.' | b'-' => Level::Debug,
        b'*' => Level::Info,
        _ => Level::Warn,
    };
    parts.level = Some(LevelPart { span: Span::new(sign_at, sign_at + 1), level });
    parts.set_message_from(line, sign_at + 1);
    Some(())
}

/// Blue Gene/L's RAS log: `LABEL EPOCH DATE NODE TIME NODE TYPE COMPONENT LEVEL message`.
fn blue_gene(line: &[u8], parts: &mut Parts) -> Option<()> {
    let mut words = [Span::default(); 9];
    let mut at = 0;
    for (n, found) in words.iter_mut().enumerate() {
        *found = word(line, at)?;
        at = skip_spaces(line, found.end as usize);
        if n == 1 && !(found.bytes(line).len() == 10 && is_digits(found.bytes(line))) {
            return None;
        }
    }
    let [label, _, _, node, time, _, kind, component, level] = words;
    let found = forms::full(time.bytes(line))?;
    if found.len != time.bytes(line).len() || Level::parse(level.bytes(line)) == Level::Unknown {
        return None;
    }
    parts.set_time(found, time.start as usize, true);
    parts.set_level(line, level);
    parts.service = Some(component);
    if label.bytes(line) != b"-" {
        parts.add("label", label);
    }
    parts.add("node", node);
    parts.add("type", kind);
    parts.set_message_from(line, level.end as usize);
    Some(())
}

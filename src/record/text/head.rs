//! What stands between the time and the message: a level, and in front of it or behind it the process, the thread, the logger, between dashes, bars and brackets.
//!
//! One reader for log4j, logback, Spring, Python's logging, Go, Rust, Hadoop, Spark, HDFS, ZooKeeper, OpenStack, PostgreSQL, nginx's and Apache's error logs,
//! Android and their like: they differ in order and ornament, and share the rule that names are words or in brackets, and the level is a word from a short list.

use super::parts::{Parts, Span};
use super::scan::{bracket, is_digits, is_level_name, is_space, skip_spaces, word};
use crate::limits::TEXT_HEAD_TOKENS_MAX;
use crate::record::Level;

/// What kind of time stands before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A line may have a message alone behind it.
    Dated,
    /// The level is one letter.
    Logcat,
    /// Anything may begin like that, so there must be a level.
    ClockOnly,
}

/// A word or what is in brackets, and where the line goes on.
struct Token {
    span: Span,
    is_bracket: bool,
    end: usize,
}

fn token(line: &[u8], at: usize) -> Option<Token> {
    let at = skip_spaces(line, at);
    if let Some(span) = bracket(line, at) {
        return Some(Token { span, is_bracket: true, end: span.end as usize + 1 });
    }
    word(line, at).map(|span| Token { span, is_bracket: false, end: span.end as usize })
}

fn is_separator(text: &[u8]) -> bool {
    matches!(text, b"-" | b"--" | b"---" | b"|" | b":" | b">" | b"in")
}

/// Reads on behind a time that ends at `at`. Whether the line has a shape.
pub(super) fn after_time(line: &[u8], at: usize, form: Form, parts: &mut Parts) -> bool {
    // A comma or a quote there is another format's.
    if !matches!(line.get(at), None | Some(b' ' | b'\t' | b']' | b':' | b'|')) {
        return false;
    }
    let start = if matches!(line.get(at), Some(b']' | b':')) { at + 1 } else { at };
    if let Some(end) = level_and_before(line, start, form, parts) {
        after_level(line, end, form, parts);
        return true;
    }
    (parts.level, parts.service) = (None, None);
    parts.members.clear();
    if form != Form::Dated {
        return false;
    }
    if !host_with_tag(line, start, parts) {
        parts.set_message_from(line, skip_separator(line, start));
    }
    true
}

/// Reads on behind a time that ends at `at` and stands behind the line's opening bracket.
pub(super) fn in_bracket(line: &[u8], at: usize, parts: &mut Parts) -> bool {
    if line.get(at) == Some(&b']') {
        return after_time(line, at, Form::Dated, parts);
    }
    // `[TIME LEVEL logger] message` (Rust's env_logger), `[TIME: LEVEL/process] message` (Celery).
    let Some(close) = bracket(line, 0) else { return false };
    let close = close.end as usize;
    let inner = skip_spaces(line, if line[at] == b':' { at + 1 } else { at });
    let level_len = line[inner..close].iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let level = Span::new(inner, inner + level_len);
    if !is_level_name(level.bytes(line)) {
        return false;
    }
    let name_at = skip_spaces(line, inner + level_len + usize::from(line[inner + level_len] == b'/'));
    parts.set_level(line, level);
    if name_at < close {
        let name = Span::new(name_at, close);
        if line[inner + level_len] == b'/' { parts.add("process", name) } else { parts.service = Some(name) }
    }
    parts.set_message_from(line, close + 1);
    true
}

/// Finds the level among the first words; what stands before it is the process, the thread or the logger. Returns where the level ends.
fn level_and_before(line: &[u8], start: usize, form: Form, parts: &mut Parts) -> Option<usize> {
    let mut at = start;
    for _ in 0..TEXT_HEAD_TOKENS_MAX {
        let Token { span, is_bracket, end } = token(line, at)?;
        let text = span.bytes(line);
        if let Some(level) = level_in(line, span, is_bracket, form) {
            if is_bracket && level.start > span.start {
                parts.service = Some(Span::new(span.start as usize, level.start as usize - 1)).filter(|name| name.end > name.start);
            }
            parts.set_level(line, level);
            return Some(end);
        }
        match text {
            _ if !is_bracket && is_separator(text) => {}
            _ if is_digits(text) => add_number(parts, span),
            _ if is_bracket => add_bracket(line, span, parts),
            // A zone's abbreviation means too many things to be understood: the time is as if it had none.
            _ if at == start && text.len() <= 4 && text.iter().all(u8::is_ascii_uppercase) => parts.add("zone", span),
            _ if parts.service.is_none() && is_logger(text) => parts.service = Some(span),
            _ => return None,
        }
        at = end;
    }
    None
}

/// The level that a word or a bracket names: `INFO`, `info:`, `<INFO>`, `[core:error]`; and where one letter is a level, that.
fn level_in(line: &[u8], span: Span, is_bracket: bool, form: Form) -> Option<Span> {
    let text = span.bytes(line);
    let (start, end) = (span.start as usize, span.end as usize);
    if is_bracket {
        let from = memchr::memrchr(b':', text).map_or(0, |colon| colon + 1);
        return is_level_name(&text[from..]).then(|| Span::new(start + from, end));
    }
    if form == Form::Logcat && text.len() == 1 && Level::parse(text) != Level::Unknown && !is_digits(text) {
        return Some(span);
    }
    let is_enclosed = matches!(text, [b'<' | b'(', .., b'>' | b')']);
    let has_colon = text.ends_with(b":");
    let level = match text {
        _ if is_enclosed => Span::new(start + 1, end - 1),
        _ if has_colon => Span::new(start, end - 1),
        _ => span,
    };
    let name = level.bytes(line);
    // A small word may begin a sentence: only where something sets it off it is a level.
    let is_set_off = is_enclosed
        || has_colon
        || name.iter().all(u8::is_ascii_uppercase)
        || matches!(&line[end..], [b'\t', ..] | [b' ', b'|' | b'-', ..]);
    (is_set_off && is_level_name(name)).then_some(level)
}

/// A number is the process's, the next one the thread's.
fn add_number(parts: &mut Parts, span: Span) {
    parts.add_number(if parts.has("pid") { "tid" } else { "pid" }, span);
}

/// `[1234]`, Apache's `[pid 1:tid 2]` and `[client 192.0.2.1:5]`, or a thread.
fn add_bracket(line: &[u8], span: Span, parts: &mut Parts) {
    let text = span.bytes(line);
    let start = span.start as usize;
    let end = span.end as usize;
    if is_digits(text) {
        add_number(parts, span);
    } else if let Some(pid) = text.strip_prefix(b"pid ") {
        let len = memchr::memchr(b':', pid).unwrap_or(pid.len());
        parts.add_number("pid", Span::new(start + 4, start + 4 + len));
        if pid[len..].starts_with(b":tid ") {
            parts.add_number("tid", Span::new(start + 4 + len + 5, end));
        }
    } else if text.starts_with(b"client ") {
        parts.add("client", Span::new(start + 7, end));
    } else {
        parts.add("thread", span);
    }
}

/// What stands between the level and the message.
fn after_level(line: &[u8], at: usize, form: Form, parts: &mut Parts) {
    let mut at = at;
    let mut is_set_off = form == Form::Logcat;
    let mut last_bracket = None;
    for _ in 0..TEXT_HEAD_TOKENS_MAX {
        let Some(Token { span, is_bracket, end }) = token(line, at) else { break };
        let text = span.bytes(line);
        if is_bracket && end < line.len() && !is_space(line[end]) && !matches!(line[end], b':' | b'-') {
            break;
        }
        if is_bracket {
            match (last_bracket, text) {
                (None, _) if !text.starts_with(b"pid ") && !text.starts_with(b"client ") && !is_digits(text) => last_bracket = Some(span),
                (Some(_), _) if parts.service.is_some() => break,
                _ => add_bracket(line, span, parts),
            }
            (at, is_set_off) = (end, true);
        } else if is_separator(text) && text != b"in" || text == b"in" && next_is_logger(line, end) {
            (at, is_set_off) = (end, true);
        } else if is_digits(text) && rest_begins_with(line, end, b" --- ") {
            add_number(parts, span);
            at = end;
        } else if let Some((pid, tid)) = nginx_ids(line, span) {
            parts.add_number("pid", pid);
            parts.add_number("tid", tid);
            nginx_tail(line, end, parts);
            at = end;
            break;
        } else {
            if parts.service.is_none()
                && let Some((service, after)) = logger(line, span, is_set_off)
            {
                parts.service = Some(service);
                at = after;
            }
            break;
        }
    }
    // A bracket is a thread where a logger has a name of its own, and the logger where not.
    if let Some(bracket) = last_bracket {
        match class_at_line(line, bracket) {
            Some([thread, class, source_line]) if parts.service.is_none() => {
                parts.add("thread", thread);
                parts.service = Some(class);
                parts.add_number("source_line", source_line);
            }
            _ if parts.service.is_none() => parts.service = Some(bracket),
            _ => add_bracket(line, bracket, parts),
        }
    }
    at = skip_separator(line, at);
    parts.set_message_from(line, at);
}

/// A separator at `at`, with its white space, is passed over.
fn skip_separator(line: &[u8], at: usize) -> usize {
    match line.get(at) {
        Some(b':') if line.get(at + 1).is_none_or(|byte| is_space(*byte)) => return at + 1,
        _ => {}
    }
    match token(line, at) {
        Some(token) if !token.is_bracket && is_separator(token.span.bytes(line)) && token.span.bytes(line) != b"in" => token.end,
        _ => at,
    }
}

/// A logger's name, and where it ends: `name:`, `name -`, `name :`, or `a.b.c [`.
fn logger(line: &[u8], span: Span, is_set_off: bool) -> Option<(Span, usize)> {
    let text = span.bytes(line);
    let end = span.end as usize;
    if let Some(name) = text.strip_suffix(b":") {
        let is_distinct = is_set_off
            || name.iter().any(|byte| matches!(byte, b'.' | b'$' | b'/' | b'@' | b'_' | b':' | b'-' | b'0'..=b'9'))
            || !name[..1.min(name.len())].iter().all(u8::is_ascii_uppercase);
        let is_name = is_logger(name) && is_distinct && !is_level_name(name) && !name.ends_with(b"Exception") && !name.ends_with(b"Error");
        return is_name.then(|| (Span::new(span.start as usize, end - 1), end));
    }
    let next = skip_spaces(line, end);
    let is_separated = matches!(&line[next..], [b'-' | b':', b' ', ..]) && next > end;
    if is_logger(text) && is_separated {
        return Some((span, next + 1));
    }
    // Flask's `in module:` has come by as a separator; OpenStack names the logger, then the request in brackets.
    (is_logger(text) && text.contains(&b'.') && line.get(next) == Some(&b'[')).then_some((span, end))
}

fn next_is_logger(line: &[u8], at: usize) -> bool {
    token(line, at).is_some_and(|token| !token.is_bracket && token.span.bytes(line).ends_with(b":"))
}

fn rest_begins_with(line: &[u8], at: usize, text: &[u8]) -> bool {
    line[at..].starts_with(text)
}

/// Whether a word may name a logger, a class, a module or a tag.
fn is_logger(text: &[u8]) -> bool {
    let is_first = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    text.first().is_some_and(is_first)
        && text
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$' | b'/' | b'-' | b':' | b'@' | b'#' | b'*'))
}

/// ZooKeeper's `[thread:Class@line]`.
fn class_at_line(line: &[u8], span: Span) -> Option<[Span; 3]> {
    let text = span.bytes(line);
    let start = span.start as usize;
    let at = memchr::memrchr(b'@', text).filter(|at| is_digits(&text[at + 1..]))?;
    let colon = memchr::memrchr(b':', &text[..at]).filter(|colon| is_logger(&text[colon + 1..at]))?;
    Some([Span::new(start, start + colon), Span::new(start + colon + 1, start + at), Span::new(start + at + 1, span.end as usize)])
}

/// nginx's `1234#5678:`.
fn nginx_ids(line: &[u8], span: Span) -> Option<(Span, Span)> {
    let text = span.bytes(line).strip_suffix(b":")?;
    let hash = memchr::memchr(b'#', text).filter(|hash| is_digits(&text[..*hash]) && is_digits(&text[hash + 1..]))?;
    let start = span.start as usize;
    Some((Span::new(start, start + hash), Span::new(start + hash + 1, start + text.len())))
}

/// What nginx says about the request at the end of an error: `, client: 192.0.2.1, server: x, request: "GET / HTTP/1.1", upstream: "…", host: "…"`.
fn nginx_tail(line: &[u8], from: usize, parts: &mut Parts) {
    for (mark, name) in [
        (&b", client: "[..], "client"),
        (b", server: ", "server"),
        (b", request: ", "request"),
        (b", upstream: ", "upstream"),
        (b", host: ", "host"),
        (b", referrer: ", "referer"),
    ] {
        let Some(found) = memchr::memmem::rfind(&line[from..], mark) else { continue };
        let at = from + found + mark.len();
        let len = memchr::memchr(b',', &line[at..]).unwrap_or(line.len() - at);
        parts.add(name, super::scan::quoted(line, at).unwrap_or(Span::new(at, at + len)));
    }
}

/// What a syslog daemon wrote to a file: `host tag[pid]: message`, `host tag: message`, `host message`.
pub(super) fn host_and_tag(line: &[u8], at: usize, parts: &mut Parts) {
    let Some(host) = token(line, at).filter(|host| !host.is_bracket && host.end < line.len()) else {
        return parts.set_message_from(line, at);
    };
    parts.add("host", host.span);
    parts.set_message_from(line, host.end);
    if let Some(tag) = token(line, host.end).filter(|tag| tag.span.bytes(line).ends_with(b":")) {
        set_tag(line, Span::new(tag.span.start as usize, tag.span.end as usize - 1), parts);
        parts.set_message_from(line, tag.end);
    }
}

/// `tag[pid]` or `tag`.
fn set_tag(line: &[u8], tag: Span, parts: &mut Parts) {
    let text = tag.bytes(line);
    let start = tag.start as usize;
    let open = memchr::memrchr(b'[', text).filter(|open| *open > 0 && text.ends_with(b"]") && is_digits(&text[open + 1..text.len() - 1]));
    match open {
        Some(open) => {
            parts.service = Some(Span::new(start, start + open));
            parts.add_number("pid", Span::new(start + open + 1, tag.end as usize - 1));
        }
        None => parts.service = Some(tag),
    }
}

/// rsyslog's and journald's files with ISO times: `host tag[pid]: message`. Without a process number it could be any sentence.
fn host_with_tag(line: &[u8], at: usize, parts: &mut Parts) -> bool {
    let Some(host) = token(line, at).filter(|host| !host.is_bracket) else { return false };
    let Some(tag) = token(line, host.end) else { return false };
    let is_tag = !tag.is_bracket && tag.span.bytes(line).ends_with(b"]:") && is_logger(host.span.bytes(line));
    if is_tag {
        host_and_tag(line, at, parts);
    }
    is_tag
}

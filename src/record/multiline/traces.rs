//! Which lines continue a record: what is indented, closing brackets, and the lines of stack traces that are not indented.
//!
//! Java, Kotlin, Scala, .NET, Python, Go, Rust and JavaScript, as their runtimes and the usual loggers print them. Most of a trace is indented; what is not can be told
//! by its first words, or by what came before it. Where a line may as well be an event of its own, it is one: of two traces without a log line between them, each is
//! its own record, and so is a trace below a line that says INFO.

use crate::record::Level;
use crate::record::timestamp::forms;

/// What the lines so far were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// No trace.
    #[default]
    Plain,
    /// Frames, or the exception above them: Java, .NET, JavaScript.
    Frames,
    /// The place of a JavaScript error: its line of source is the next.
    Source,
    /// A caret below that line; its exception follows.
    Caret,
    /// Within a Python traceback, whose last line is its exception.
    Python,
    /// Behind that line; or behind the line that says that another traceback follows.
    PythonEnd { another_follows: bool },
    /// A Go panic, or its goroutines.
    Go,
    /// A Rust panic: its message is the next line.
    RustMessage,
    /// Behind that.
    Rust,
}

/// Not indented, and still never the first line of anything.
const CONTINUE: [&[u8]; 10] = [
    b"Caused by:",
    b"Suppressed: ",
    b"Wrapped by: ",
    b"... ",
    b"...additional frames elided",
    b"--- End of ",
    b"During handling of the above exception, another exception occurred:",
    b"The above exception was the direct cause of the following exception:",
    b"stack backtrace:",
    b"Node.js v",
];

const TRACEBACK: &[u8] = b"Traceback (most recent call last):";

/// The lines of one file, as far as they matter for the next.
#[derive(Debug, Clone, Default)]
pub(super) struct Trace {
    state: State,
}

impl Trace {
    /// Whether `line`, which is not empty, continues the lines before it, those of the record `before`.
    pub(super) fn joins(&mut self, line: &[u8], before: &[u8]) -> bool {
        let joins = match line[0] {
            b' ' | b'\t' => joins_indented(line),
            b'A'..=b'Z' | b'a'..=b'z' | b'_' | b'.' | b'-' | b'[' | b'}' | b')' | b']' | b'^' => self.joins_flush(line, before),
            _ => matches!(self.state, State::Source | State::RustMessage),
        };
        self.state = if joins { self.state_behind(line) } else { state_of_first(line) };
        joins
    }

    /// Whether a line that is not indented does.
    fn joins_flush(&self, line: &[u8], before: &[u8]) -> bool {
        if CONTINUE.iter().any(|begin| line.starts_with(begin)) || is_closing(line) || is_caret(line) || is_frame(line) {
            return true;
        }
        match self.state {
            State::Source | State::RustMessage => true,
            State::Rust => line.starts_with(b"note: "),
            State::Python => is_name_of_exception(line),
            State::PythonEnd { another_follows } => another_follows && line.starts_with(TRACEBACK),
            State::Caret => is_name_of_exception(line),
            State::Go => is_of_goroutine(line),
            State::Frames => false,
            State::Plain => (is_exception(line) || line.starts_with(TRACEBACK) || is_goroutine(line)) && !is_harmless(before),
        }
    }

    /// The state behind a line that continues a record.
    fn state_behind(&self, line: &[u8]) -> State {
        let text = line.trim_ascii_start();
        match self.state {
            State::RustMessage | State::Rust => State::Rust,
            State::Go => State::Go,
            _ if text.starts_with(TRACEBACK) => State::Python,
            _ if text.starts_with(b"During handling of the above") || text.starts_with(b"The above exception was") => {
                State::PythonEnd { another_follows: true }
            }
            State::Python if text.len() == line.len() => State::PythonEnd { another_follows: false },
            _ if text.starts_with(b"File \"") => State::Python,
            State::Python | State::PythonEnd { .. } | State::Frames => self.state,
            State::Plain | State::Caret
                if text.starts_with(b"at ") || is_exception(text) || text.len() == line.len() && self.state == State::Caret =>
            {
                State::Frames
            }
            _ if is_goroutine(text) || line[0] == b'\t' && is_source_of_go(text) => State::Go,
            _ if is_caret(text) => State::Caret,
            State::Source => State::Plain,
            state => state,
        }
    }
}

/// Whether an indented line continues the one before it. Some loggers set their times, or the shorter names of levels, off by spaces.
fn joins_indented(line: &[u8]) -> bool {
    let text = line.trim_ascii_start();
    let is_set_off = line[0] == b' ' && line.len() - text.len() == 1 && (text.starts_with(b"INFO ") || text.starts_with(b"WARN "));
    !is_set_off && forms::full(text).is_none()
}

/// Whether the first word of the record `before` that is a level says that all is well.
fn is_harmless(before: &[u8]) -> bool {
    let words = before[..before.len().min(NAME_BYTES_MAX)].split(|byte| !byte.is_ascii_alphanumeric());
    let level =
        words.filter(|word| word.len() > 3 && word[0].is_ascii_alphabetic()).map(Level::parse).find(|level| *level != Level::Unknown);
    matches!(level, Some(Level::Trace | Level::Debug | Level::Info))
}

/// The state behind the first line of a record.
fn state_of_first(line: &[u8]) -> State {
    let begins = |begin: &[u8]| line.starts_with(begin);
    match line[0] {
        _ if line.ends_with(b":") && line.ends_with(TRACEBACK) => State::Python,
        b'p' if begins(b"panic: ") => State::Go,
        b'f' if begins(b"fatal error: ") => State::Go,
        b'g' if is_goroutine(line) => State::Go,
        b'S' if begins(b"SIGQUIT: ") || begins(b"SIGABRT: ") || begins(b"SIGSEGV: ") => State::Go,
        b't' if begins(b"thread '") && memchr::memmem::find(line, b" panicked at ").is_some() => {
            if line.ends_with(b":") {
                State::RustMessage
            } else {
                State::Rust
            }
        }
        b'/' | b'n' | b'f' if is_place(line) => State::Source,
        b'E' if begins(b"Exception in thread ") => State::Frames,
        b'U' if begins(b"Unhandled exception") => State::Frames,
        b'A'..=b'Z' | b'a'..=b'z' if is_exception(line) => State::Frames,
        _ => State::Plain,
    }
}

/// Nothing but what closes brackets.
fn is_closing(line: &[u8]) -> bool {
    matches!(line[0], b'}' | b')' | b']') && line.iter().all(|byte| matches!(byte, b'}' | b')' | b']' | b',' | b';'))
}

/// Nothing but carets and what leads to them.
fn is_caret(line: &[u8]) -> bool {
    line.contains(&b'^') && line.iter().all(|byte| matches!(byte, b'^' | b' ' | b'\t' | b'~'))
}

/// `/app/index.js:3`, `node:internal/modules/cjs/loader:1080`, `file:///app/index.mjs:3`.
fn is_place(line: &[u8]) -> bool {
    let is_path = line[0] == b'/' || line.starts_with(b"node:") || line.starts_with(b"file:///");
    let digits = line.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    is_path && digits > 0 && line[..line.len() - digits].ends_with(b":") && !line.contains(&b' ')
}

/// `at org.example.Main.run(Main.java:7)`, from where something took the white space away.
fn is_frame(line: &[u8]) -> bool {
    let Some(frame) = line.strip_prefix(b"at ") else { return false };
    let name_len = frame.iter().position(|byte| matches!(byte, b' ' | b'(')).unwrap_or(0);
    frame.get(name_len) == Some(&b'(') && frame[..name_len].contains(&b'.')
}

/// The longest name that is looked at.
const NAME_BYTES_MAX: usize = 256;

/// Bytes of the name with its points, dollars and so on, at the beginning of `line`.
fn name_len(line: &[u8]) -> usize {
    let is_of_name = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(**byte, b'_' | b'.' | b'$' | b'+');
    line.iter().take(NAME_BYTES_MAX).take_while(is_of_name).count()
}

/// The whole name of an exception class and what is behind it: `java.lang.IllegalStateException: closed`, `System.Net.Sockets.SocketException (111): refused`.
fn is_exception(line: &[u8]) -> bool {
    let (name, rest) = line.split_at(name_len(line));
    let Some(point) = memchr::memrchr2(b'.', b'+', name) else { return false };
    let class = &name[point + 1..];
    class.first().is_some_and(u8::is_ascii_uppercase)
        && [&b"Exception"[..], b"Error", b"Throwable", b"Failure", b"Fault"].iter().any(|end| class.ends_with(end))
        && (rest.is_empty() || rest.starts_with(b":") || rest.starts_with(b" ("))
}

/// The last line of a Python traceback, or JavaScript's `TypeError [ERR_X]: …`: a name alone or with a colon behind it, that is no level.
fn is_name_of_exception(line: &[u8]) -> bool {
    let (name, rest) = line.split_at(name_len(line));
    let is_level = !name.contains(&b'.') && name.iter().all(u8::is_ascii_uppercase) && Level::parse(name) != Level::Unknown;
    !name.is_empty() && !is_level && (rest.is_empty() || rest.starts_with(b":") || rest.starts_with(b" ["))
}

/// `goroutine 1 [running]:`.
fn is_goroutine(line: &[u8]) -> bool {
    let Some(number) = line.strip_prefix(b"goroutine ") else { return false };
    number.first().is_some_and(u8::is_ascii_digit) && line.ends_with(b":")
}

/// What stands below a function of a goroutine: `/app/main.go:12 +0x1d`.
fn is_source_of_go(text: &[u8]) -> bool {
    memchr::memmem::find(text, b".go:").is_some_and(|at| text.get(at + 4).is_some_and(u8::is_ascii_digit))
}

/// What is not indented of Go's traces.
fn is_of_goroutine(line: &[u8]) -> bool {
    const BEGINS: [&[u8]; 7] =
        [b"[signal ", b"created by ", b"exit status ", b"runtime stack:", b"PC=", b"signal arrived during ", b"panic("];
    is_goroutine(line) || BEGINS.iter().any(|begin| line.starts_with(begin)) || is_function_of_go(line) || is_register(line)
}

/// `net/http.(*conn).serve(0xc000012345, {0x1, 0x2})`, and without arguments as loggers print it.
fn is_function_of_go(line: &[u8]) -> bool {
    let has_arguments = line.ends_with(b")");
    let name_end = if has_arguments { line.iter().position(|byte| *byte == b' ').unwrap_or(line.len()) } else { line.len() };
    let name = &line[..name_end];
    let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || byte.is_ascii_punctuation() && !matches!(byte, b'"' | b'\'' | b';' | b'=');
    // A point behind the last slash; and arguments begin before any space.
    let package = memchr::memrchr(b'/', name.split(|byte| *byte == b'(').next().unwrap_or(name)).map_or(0, |slash| slash + 1);
    name[package..].contains(&b'.') && name.iter().all(is_of_name) && (!has_arguments || name.contains(&b'('))
}

/// `rax    0x0`, below the goroutines of a crash.
fn is_register(line: &[u8]) -> bool {
    let name_len = line.iter().take(8).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let value = line[name_len..].trim_ascii_start();
    (2..=6).contains(&name_len) && value.len() < line.len() - name_len && value.starts_with(b"0x") && !value.contains(&b' ')
}

//! `logboom tail`: live lines from a running daemon, over its HTTP.
//!
//! It asks for HTTP/1.0, whose answer ends with the connection (RFC 9112, section 6.3), and reads events line by line. A connection that is lost is made again;
//! what was written meanwhile is for `logboom search`.

use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use clap::Args;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::TERM_SIGNALS;
use signal_hook::iterator::Signals;

use super::search::Words;
use super::search::show::{Format, Show};
use super::{Failure, Outcome};
use crate::limits::{HTTP_TAIL_HEARTBEAT, TAIL_EVENT_BYTES_MAX};
use crate::record::members;
use crate::record::timestamp::TimeReader;
use crate::search::Found;
use crate::search::{query, when};

/// Flags of `tail`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct TailArgs {
    /// What lines must match; every line without it
    #[arg(value_name = "QUERY")]
    query: Vec<String>,
    /// Where the daemon serves HTTP, its --http
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7180")]
    http: SocketAddr,
    /// How lines are shown [default: table on a terminal, else raw]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// What to follow: logs, what is collected from files, or what is rejected [default: what the daemon accepts]
    #[arg(long, value_name = "STREAM")]
    stream: Option<Words>,
}

const AFTER_HELP: &str = "\
Queries are those of search. Lines that were missed because they came faster than they were taken are counted on stderr.
Ends with Ctrl-C, or when nobody reads its output any more.

Exit codes: 0 ended by Ctrl-C or its reader, 2 an error";

/// How long the daemon may take to answer, and between two heartbeats.
const PATIENCE: Duration = Duration::from_millis(3 * HTTP_TAIL_HEARTBEAT.as_millis() as u64);
/// Between two attempts to connect again.
const PAUSE: Duration = Duration::from_secs(1);

/// Why following ended.
enum Ended {
    /// Nobody reads what is written.
    Closed,
    /// The connection, which may be made again.
    Lost(String),
    Failed(Failure),
}

/// Follows until it is stopped.
pub fn tail(args: &TailArgs) -> Result<Outcome, Failure> {
    let text = args.query.join(" ");
    query::parse(&text).map_err(|error| Failure::Search(error.pointed_at(&text)))?;
    end_with_signals().map_err(|error| Failure::Search(format!("cannot handle signals: {error}")))?;
    let is_terminal = io::stdout().is_terminal();
    let format = args.format.unwrap_or(if is_terminal { Format::Table } else { Format::Raw });
    let mut show = Show::new(format, is_terminal);
    show.begin().and_then(|()| show.end()).map_err(|error| Failure::Search(format!("stdout: {error}")))?;
    let mut params = form_urlencoded::Serializer::new(String::new());
    params.append_pair("query", &text);
    if let Some(stream) = args.stream {
        params.append_pair("stream", stream.stream().name());
    }
    let path = format!("/api/tail?{}", params.finish());
    let mut was_connected = false;
    let mut is_lost = false;
    loop {
        let ended = connect(args.http, &path).and_then(|events| {
            if is_lost {
                eprintln!("logboom: connected again; what was written meanwhile is not shown");
            }
            (was_connected, is_lost) = (true, false);
            follow(events, &mut show)
        });
        match ended {
            Err(Ended::Closed) => return Ok(Outcome::Clean),
            Err(Ended::Failed(failure)) => return Err(failure),
            Err(Ended::Lost(why)) if was_connected => {
                if !is_lost {
                    eprintln!("logboom: {}: {why}; trying to connect again", args.http);
                }
                is_lost = true;
                thread::sleep(PAUSE);
            }
            Err(Ended::Lost(why)) => {
                return Err(Failure::Search(format!("{}: {why}\n  hint: a daemon must run there; see its --http", args.http)));
            }
            Ok(never) => match never {},
        }
    }
}

/// The first signal ends the process when nothing is being written; the second one at once.
fn end_with_signals() -> io::Result<()> {
    let mut signals = Signals::new(TERM_SIGNALS)?;
    let wait = move || {
        let mut signals = signals.forever();
        if signals.next().is_some() {
            thread::spawn(|| {
                let _nobody_writes = io::stdout().lock();
                std::process::exit(0);
            });
            signals.next();
            std::process::exit(0);
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(wait).map(drop)
}

/// Asks for `path`, and returns the events that follow.
fn connect(addr: SocketAddr, path: &str) -> Result<BufReader<TcpStream>, Ended> {
    let lost = |error: io::Error| Ended::Lost(error.to_string());
    let mut stream = TcpStream::connect_timeout(&addr, PATIENCE).map_err(lost)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(lost)?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {addr}\r\nAccept: text/event-stream\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(lost)?;
    let mut reader = BufReader::with_capacity(64 * 1024, stream);
    let mut line = Vec::new();
    let status = next_line(&mut reader, &mut line).map(|line| line.split(|&byte| byte == b' ').nth(1).unwrap_or_default().to_vec())?;
    while !next_line(&mut reader, &mut line)?.is_empty() {}
    if status == b"200" {
        return Ok(reader);
    }
    let mut body = String::new();
    let _ = reader.take(TAIL_EVENT_BYTES_MAX).read_to_string(&mut body);
    let status = String::from_utf8_lossy(&status).into_owned();
    let said = serde_json::from_str::<serde_json::Value>(&body).ok().and_then(|body| body["error"].as_str().map(str::to_owned));
    let why = said.unwrap_or_else(|| format!("it answers with status {status}"));
    // What a daemon that starts, stops or has many listeners may say, and not later.
    Err(if status.starts_with('5') { Ended::Lost(why) } else { Ended::Failed(Failure::Search(format!("{addr}: {why}"))) })
}

/// Shows what comes, until it ends.
fn follow(mut events: BufReader<TcpStream>, show: &mut Show) -> Result<std::convert::Infallible, Ended> {
    let (mut line, mut times) = (Vec::new(), TimeReader::default());
    let (mut is_line, mut is_missed) = (false, false);
    loop {
        if events.buffer().is_empty() {
            show.end().map_err(unwritable)?; // before it waits
        }
        let line = next_line(&mut events, &mut line)?;
        if let Some(name) = line.strip_prefix(b"event: ") {
            (is_line, is_missed) = (name == b"line", name == b"missed");
        } else if let Some(data) = line.strip_prefix(b"data: ") {
            if is_line {
                let time_us = members::time(data, &mut times).map_or_else(when::now_us, |time| time.0);
                show.line(&Found { line: data, time_us }).map_err(unwritable)?;
            } else if is_missed {
                show.end().map_err(unwritable)?;
                eprintln!("logboom: {}", missed(data));
            }
        } else if line.starts_with(b":") && !is_read() {
            return Err(Ended::Closed);
        }
    }
}

/// Whether somebody may read what is written: at the other end of a pipe nobody may be left.
fn is_read() -> bool {
    let stdout = io::stdout();
    let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    !(poll(&mut polled, Some(&now)).is_ok() && polled[0].revents().intersects(PollFlags::ERR | PollFlags::HUP))
}

fn missed(data: &[u8]) -> String {
    let data: serde_json::Value = serde_json::from_slice(data).unwrap_or_default();
    let unread = match data["unread_bytes"].as_u64() {
        None | Some(0) => String::new(),
        Some(bytes) => format!(", and what {bytes} bytes of the store hold"),
    };
    format!("missed {} lines, which came faster than they were taken{unread}", data["lines"].as_u64().unwrap_or(0))
}

/// The next line without its end.
fn next_line<'a>(reader: &mut BufReader<TcpStream>, line: &'a mut Vec<u8>) -> Result<&'a [u8], Ended> {
    line.clear();
    let read = reader.by_ref().take(TAIL_EVENT_BYTES_MAX).read_until(b'\n', line);
    match read {
        Ok(_) if line.ends_with(b"\n") => {}
        Ok(_) => return Err(Ended::Lost("the connection was closed".to_owned())),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            return Err(Ended::Lost("nothing comes any more".to_owned()));
        }
        Err(error) => return Err(Ended::Lost(error.to_string())),
    }
    line.pop();
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(line)
}

fn unwritable(error: io::Error) -> Ended {
    if error.kind() == io::ErrorKind::BrokenPipe { Ended::Closed } else { Ended::Failed(Failure::Search(format!("stdout: {error}"))) }
}

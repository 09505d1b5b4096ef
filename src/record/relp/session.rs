//! What a frame asks for, given the frames before it.
//!
//! A session is open from an acceptable `open` to `close`, or to the first thing that can't be tolerated. Transaction numbers must follow each other: a gap is a
//! frame that was lost, and librelp's server ends the session on it too.

use super::answers::Answer;
use super::framer::RelpFrame;
use super::{Command, RelpError, txnr_after};
use crate::record::framer::FrameKind;

/// The newest version of the protocol that is spoken, the specification's. librelp offers 0 and refuses more than it offered.
const VERSION_MAX: u8 = 1;

/// What is to be done about a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Its payload is a line to take in, to be answered when the record is safe.
    Record,
    /// It is answered, in its turn.
    Answer(Answer),
    /// It is answered, in its turn, and it was the last.
    AnswerAndClose(Answer),
    /// It is not answered: the session ends when everything before it is.
    Close(RelpError),
    /// Nothing: a hint, or what came behind the end.
    Ignore,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    BeforeOpen,
    Open,
    Ended,
}

/// One connection's session.
#[derive(Debug)]
pub struct Session {
    state: State,
    /// The transaction number that the next command must have.
    next_txnr: u32,
}

impl Default for Session {
    fn default() -> Self {
        Self { state: State::BeforeOpen, next_txnr: 1 }
    }
}

impl Session {
    /// Whether the peer will send nothing more, or nothing more that counts.
    pub fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Ends it: what the peer sends can't be read any more.
    pub fn end(&mut self) {
        self.state = State::Ended;
    }

    /// Tells what `frame` asks for.
    pub fn on_frame(&mut self, frame: &RelpFrame<'_>) -> Step {
        if self.state == State::Ended {
            return Step::Ignore;
        }
        let step = self.step(frame);
        if matches!(step, Step::AnswerAndClose(_) | Step::Close(_)) {
            self.state = State::Ended;
        }
        step
    }

    fn step(&mut self, frame: &RelpFrame<'_>) -> Step {
        // Hints are not commands and are not answered. A command under their number could never be.
        if frame.txnr == 0 && frame.command == Command::Unknown {
            return Step::Ignore;
        }
        if frame.txnr != self.next_txnr {
            return Step::Close(RelpError::TxnrOutOfOrder);
        }
        self.next_txnr = txnr_after(frame.txnr, 1);
        match (self.state, frame.command) {
            (State::Open, Command::Syslog) if frame.payload.line_len() == 0 => Step::Answer(Answer::Ok),
            (State::Open, Command::Syslog) => Step::Record,
            (State::Open, Command::Close) => Step::AnswerAndClose(Answer::Ok),
            // librelp's clients were seen to send a second one, and its server tolerates it since 2018.
            (State::Open, Command::Open) => Step::Answer(Answer::AlreadyOpen),
            (State::Open, Command::Rsp | Command::Unknown) => Step::Answer(Answer::Refused(RelpError::UnknownCommand)),
            (State::BeforeOpen, Command::Open) => self.open(frame),
            (State::BeforeOpen | State::Ended, _) => Step::AnswerAndClose(Answer::Refused(RelpError::NotOpen)),
        }
    }

    fn open(&mut self, frame: &RelpFrame<'_>) -> Step {
        let offers = frame.payload.line();
        let version = match frame.payload.kind {
            FrameKind::Whole => accept(offers),
            FrameKind::TooLong => Err(RelpError::SyslogNotOffered),
        };
        match version {
            Ok(version) => {
                self.state = State::Open;
                Step::Answer(Answer::Opened { version })
            }
            Err(error) => Step::AnswerAndClose(Answer::Refused(error)),
        }
    }
}

/// The version to speak with a client that makes these offers, one `NAME[=VALUE[,VALUE…]]` per line (specification, "OFFERS"). Names that are not known are
/// passed over, as the specification asks. Without a version it is 0, as in librelp; it must offer `syslog`, the one command that there is.
fn accept(offers: &[u8]) -> Result<u8, RelpError> {
    let mut version = 0;
    let mut has_syslog = false;
    for offer in offers.split(|&byte| byte == b'\n') {
        let at = memchr::memchr(b'=', offer);
        let (name, values) = at.map_or((offer, None), |at| (&offer[..at], Some(&offer[at + 1..])));
        let mut values = values.unwrap_or_default().split(|&byte| byte == b',');
        match name {
            b"relp_version" => version = number(values.next().unwrap_or_default()).ok_or(RelpError::BadVersion)?,
            b"commands" => has_syslog |= values.any(|value| value == b"syslog"),
            _ => {}
        }
    }
    if has_syslog { Ok(version.min(VERSION_MAX)) } else { Err(RelpError::SyslogNotOffered) }
}

/// The number that `digits` are; one that is larger than any version is the largest.
fn number(digits: &[u8]) -> Option<u8> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| digits.iter().fold(0, |value: u8, digit| value.saturating_mul(10).saturating_add(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::framer::{Chunk, PADDING};
    use crate::record::relp::{RelpFramer, TXNR_MAX};

    /// What a session says to each frame of `bytes`.
    fn steps(session: &mut Session, bytes: &str) -> Vec<Step> {
        let mut padded = bytes.as_bytes().to_vec();
        padded.resize(bytes.len() + PADDING, 0);
        let mut chunk = Chunk::new(&mut padded, bytes.len());
        let mut framer = RelpFramer::new(100);
        let mut steps = Vec::new();
        while let Some(frame) = framer.next(&mut chunk) {
            steps.push(session.on_frame(&frame.expect("a legal frame")));
        }
        steps
    }

    const OPEN: &str = "1 open 30 relp_version=0\ncommands=syslog\n";
    const OPENED: Step = Step::Answer(Answer::Opened { version: 0 });

    #[test]
    fn a_session() {
        let refused = Step::Answer(Answer::Refused(RelpError::UnknownCommand));
        let table: &[(&str, &[Step])] = &[
            ("2 syslog 1 a\n3 syslog 1 b\n", &[Step::Record, Step::Record]),
            ("2 syslog 0\n3 syslog 1 \n\n", &[Step::Answer(Answer::Ok), Step::Answer(Answer::Ok)]),
            ("2 close 0\n3 syslog 1 a\n", &[Step::AnswerAndClose(Answer::Ok), Step::Ignore]),
            ("2 eventlog 1 a\n3 rsp 6 200 OK\n4 syslog 1 a\n", &[refused, refused, Step::Record]),
            ("2 starttls 0\n", &[refused]),
            ("2 open 0\n3 syslog 1 a\n", &[Step::Answer(Answer::AlreadyOpen), Step::Record]),
            ("3 syslog 1 a\n2 syslog 1 a\n", &[Step::Close(RelpError::TxnrOutOfOrder), Step::Ignore]),
            ("1 syslog 1 a\n", &[Step::Close(RelpError::TxnrOutOfOrder)]),
            ("0 syslog 1 a\n", &[Step::Close(RelpError::TxnrOutOfOrder)]),
            ("0 close 0\n", &[Step::Close(RelpError::TxnrOutOfOrder)]),
            ("0 serverclose 0\n0 whatever 1 x\n2 syslog 1 a\n", &[Step::Ignore, Step::Ignore, Step::Record]),
        ];
        for (bytes, expected) in table {
            let mut session = Session::default();
            assert_eq!(steps(&mut session, OPEN), [OPENED]);
            assert_eq!(steps(&mut session, bytes), *expected, "{bytes}");
            assert_eq!(session.is_ended(), matches!(expected[0], Step::AnswerAndClose(_) | Step::Close(_)));
        }
    }

    #[test]
    fn nothing_goes_before_open() {
        for bytes in ["1 syslog 1 a\n", "1 close 0\n", "1 foo 0\n", "1 rsp 0\n"] {
            let mut session = Session::default();
            assert_eq!(steps(&mut session, bytes), [Step::AnswerAndClose(Answer::Refused(RelpError::NotOpen))], "{bytes}");
            assert_eq!(steps(&mut session, OPEN), [Step::Ignore]);
        }
        let mut session = Session::default();
        assert_eq!(steps(&mut session, "2 open 15 commands=syslog\n"), [Step::Close(RelpError::TxnrOutOfOrder)]);
        assert_eq!(steps(&mut Session::default(), "0 hello 0\n"), [Step::Ignore]);
    }

    #[test]
    fn offers() {
        let table: &[(&str, Result<u8, RelpError>)] = &[
            ("relp_version=0\nrelp_software=librelp,1.11.0,http://librelp.adiscon.com\ncommands=syslog", Ok(0)),
            ("\nrelp_version=1\ncommands=eventlog,syslog", Ok(1)),
            ("commands=syslog,eventlog\nrelp_version=2", Ok(1)),
            ("relp_version=99999999999999999999\ncommands=syslog", Ok(1)),
            ("commands=syslog", Ok(0)),
            ("commands=syslog\nnew_feature\nother=", Ok(0)),
            ("relp_version=\ncommands=syslog", Err(RelpError::BadVersion)),
            ("relp_version\ncommands=syslog", Err(RelpError::BadVersion)),
            ("relp_version=-1\ncommands=syslog", Err(RelpError::BadVersion)),
            ("relp_version=one\ncommands=syslog", Err(RelpError::BadVersion)),
            ("relp_version=0", Err(RelpError::SyslogNotOffered)),
            ("relp_version=0\ncommands=", Err(RelpError::SyslogNotOffered)),
            ("relp_version=0\ncommands=eventlog,syslogx", Err(RelpError::SyslogNotOffered)),
            ("", Err(RelpError::SyslogNotOffered)),
        ];
        for (offers, expected) in table {
            assert_eq!(accept(offers.as_bytes()), *expected, "{offers}");
        }
        let refused = Step::AnswerAndClose(Answer::Refused(RelpError::SyslogNotOffered));
        assert_eq!(steps(&mut Session::default(), "1 open 0\n"), [refused]);
        let endless = format!("1 open 200 {}\n", "commands=syslog\n".repeat(20).split_at(200).0);
        assert_eq!(steps(&mut Session::default(), &endless), [refused]);
    }

    #[test]
    fn transaction_numbers_go_from_the_last_to_one() {
        let mut session = Session { state: State::Open, next_txnr: TXNR_MAX };
        let bytes = "999999999 syslog 1 a\n1 syslog 1 b\n2 syslog 1 c\n";
        assert_eq!(steps(&mut session, bytes), [Step::Record; 3]);
        let mut session = Session { state: State::Open, next_txnr: TXNR_MAX };
        assert_eq!(steps(&mut session, "999999999 syslog 1 a\n0 syslog 1 b\n").last(), Some(&Step::Close(RelpError::TxnrOutOfOrder)));
    }
}

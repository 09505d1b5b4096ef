//! RELP, the server's side: frames in, lines and answers out. Pure.
//!
//! After librelp's "RELP - The Reliable Event Logging Protocol" (`doc/relp.md` there), called *the specification* here, and what librelp 1.11 does where it is
//! silent or its clients need tolerance. [`RelpFramer`] cuts received bytes into frames, [`Session`] tells what a frame asks for, [`Answers`] holds what is
//! to be answered until its record is safe, in the order in which the frames came, and [`Recogniser`] knows what is sent again.
//!
//! A frame is `TXNR SP COMMAND SP DATALEN [SP DATA] LF`. The payload of a `syslog` frame is a line like any other.
//!
//! Deliberately absent: `starttls`, which the specification names and librelp does not have, and negotiated lengths: a payload beyond `line_max` is a line that
//! is too long, kept in the rejected stream and acknowledged, because a client that is refused sends the same frame for ever.

mod answers;
mod framer;
mod header;
mod resend;
mod session;

pub use answers::{Answer, Answers, Due, SERVER_CLOSE};
pub use framer::{RelpFrame, RelpFramer};
pub use resend::{LineHash, Memory, Recogniser, Tail};
pub use session::{Session, Step};

/// The largest transaction number; its successor is 1 (specification, "RELP FRAME"). 0 is for hints.
pub const TXNR_MAX: u32 = 999_999_999;

/// The transaction number `count` after `txnr`, which is not 0.
fn txnr_after(txnr: u32, count: u32) -> u32 {
    ((u64::from(txnr) - 1 + u64::from(count)) % u64::from(TXNR_MAX)) as u32 + 1
}

/// What a frame asks for (specification, "COMMAND SEMANTICS"). Letters count as they are: librelp compares them so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Begins the session with offers.
    Open,
    /// Hands a line over.
    Syslog,
    /// Ends the session.
    Close,
    /// An answer, which only a server gives.
    Rsp,
    /// Anything else of 1 to 32 letters.
    Unknown,
}

/// What a peer did against the protocol. A fixed list: each is a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RelpError {
    /// A frame does not begin with 1 to 9 digits and a space.
    MalformedTxnr = 0,
    /// No 1 to 32 letters and a space where the command belongs.
    MalformedCommand,
    /// No 1 to 9 digits where the length belongs, or not what must follow them.
    MalformedDataLen,
    /// No LF behind the payload.
    MalformedTrailer,
    /// The stream ended within a frame.
    Truncated,
    /// A transaction number that is not the successor of the one before, or a command with the number of hints.
    TxnrOutOfOrder,
    /// A command before `open`.
    NotOpen,
    /// A command that there is not.
    UnknownCommand,
    /// An `open` whose `relp_version` is no number.
    BadVersion,
    /// An `open` that does not offer `syslog`.
    SyslogNotOffered,
}

impl RelpError {
    /// How many there are.
    pub const COUNT: usize = 10;

    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; Self::COUNT] = [
        Self::MalformedTxnr,
        Self::MalformedCommand,
        Self::MalformedDataLen,
        Self::MalformedTrailer,
        Self::Truncated,
        Self::TxnrOutOfOrder,
        Self::NotOpen,
        Self::UnknownCommand,
        Self::BadVersion,
        Self::SyslogNotOffered,
    ];

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::MalformedTxnr => "malformed_txnr",
            Self::MalformedCommand => "malformed_command",
            Self::MalformedDataLen => "malformed_datalen",
            Self::MalformedTrailer => "malformed_trailer",
            Self::Truncated => "truncated",
            Self::TxnrOutOfOrder => "txnr_out_of_order",
            Self::NotOpen => "not_open",
            Self::UnknownCommand => "unknown_command",
            Self::BadVersion => "bad_version",
            Self::SyslogNotOffered => "syslog_not_offered",
        }
    }

    /// Whether the connection goes on after it. Where framing or numbering is lost, or no session can be, it can't.
    pub fn is_survivable(self) -> bool {
        self == Self::UnknownCommand
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_listed_in_order_under_distinct_names() {
        for (at, error) in RelpError::ALL.into_iter().enumerate() {
            assert_eq!(error as usize, at);
            assert!(RelpError::ALL[..at].iter().all(|other| other.name() != error.name()), "{error:?}");
        }
    }

    #[test]
    fn transaction_numbers_wrap_to_one() {
        let table = [(1, 0, 1), (1, 1, 2), (TXNR_MAX - 1, 1, TXNR_MAX), (TXNR_MAX, 1, 1), (TXNR_MAX, 0, TXNR_MAX), (TXNR_MAX - 1, 3, 2)];
        for (txnr, count, expected) in table {
            assert_eq!(txnr_after(txnr, count), expected, "{count} after {txnr}");
        }
    }
}

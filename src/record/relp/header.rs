//! A frame's header, `TXNR SP COMMAND SP DATALEN` and the SP before its payload (specification, "RELP FRAME").

use super::{Command, RelpError};

/// NUMBER = 1*9DIGIT.
const DIGITS_MAX: usize = 9;
/// COMMAND = 1*32ALPHA.
const LETTERS_MAX: usize = 32;
/// The longest header, with its three spaces.
pub(super) const HEADER_BYTES_MAX: usize = DIGITS_MAX + 1 + LETTERS_MAX + 1 + DIGITS_MAX + 1;

/// What a frame says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) txnr: u32,
    pub(super) command: Command,
    pub(super) data_len: usize,
}

/// Reads the header that `bytes` begin with, and its length: what follows is the payload, or the trailer where there is none. None while it is not whole.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, RelpError> {
    let Some((txnr, txnr_len)) = number(bytes, RelpError::MalformedTxnr)? else { return Ok(None) };
    if bytes[txnr_len] != b' ' {
        return Err(RelpError::MalformedTxnr);
    }
    let command_at = txnr_len + 1;
    let Some((command, command_len)) = command(&bytes[command_at..])? else { return Ok(None) };
    let data_len_at = command_at + command_len + 1;
    let Some((data_len, digits)) = number(&bytes[data_len_at..], RelpError::MalformedDataLen)? else { return Ok(None) };
    let end = data_len_at + digits;
    let header = Header { txnr, command, data_len: data_len as usize };
    match bytes[end] {
        b' ' => Ok(Some((header, end + 1))),
        // Without data there is no space before it; some senders have one all the same.
        b'\n' if data_len == 0 => Ok(Some((header, end))),
        _ => Err(RelpError::MalformedDataLen),
    }
}

/// The number that `bytes` begin with, and its length, once the byte behind it is there.
fn number(bytes: &[u8], malformed: RelpError) -> Result<Option<(u32, usize)>, RelpError> {
    let mut value = 0;
    for at in 0..=DIGITS_MAX {
        let Some(&byte) = bytes.get(at) else { return Ok(None) };
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return if at == 0 { Err(malformed) } else { Ok(Some((value, at))) };
        }
        value = value.wrapping_mul(10).wrapping_add(u32::from(digit)); // wraps only in a tenth digit, which is refused
    }
    Err(malformed)
}

/// The command that `bytes` begin with, and its length, once the space behind it is there.
fn command(bytes: &[u8]) -> Result<Option<(Command, usize)>, RelpError> {
    if bytes.starts_with(b"syslog ") {
        return Ok(Some((Command::Syslog, 6)));
    }
    let len = bytes.iter().take(LETTERS_MAX + 1).take_while(|byte| byte.is_ascii_alphabetic()).count();
    if len > LETTERS_MAX {
        return Err(RelpError::MalformedCommand);
    }
    match bytes.get(len) {
        None => Ok(None),
        Some(b' ') if len > 0 => Ok(Some((named(&bytes[..len]), len))),
        Some(_) => Err(RelpError::MalformedCommand),
    }
}

fn named(command: &[u8]) -> Command {
    match command {
        b"open" => Command::Open,
        b"syslog" => Command::Syslog,
        b"close" => Command::Close,
        b"rsp" => Command::Rsp,
        _ => Command::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let table: &[(&str, u32, Command, usize, &str)] = &[
            ("1 open 5 hello\n", 1, Command::Open, 5, "hello\n"),
            ("1 close 0\n", 1, Command::Close, 0, "\n"),
            ("1 close 0 \n", 1, Command::Close, 0, "\n"),
            ("0 serverclose 0\n", 0, Command::Unknown, 0, "\n"),
            ("999999999 syslog 999999999 x", 999_999_999, Command::Syslog, 999_999_999, "x"),
            ("000000002 rsp 000000001 x", 2, Command::Rsp, 1, "x"),
            ("7 SYSLOG 1 x", 7, Command::Unknown, 1, "x"),
            ("7 sysloge 1 x", 7, Command::Unknown, 1, "x"),
            ("7 abcdefghijabcdefghijabcdefghijab 1 x", 7, Command::Unknown, 1, "x"),
            ("7 syslog 2  x\n", 7, Command::Syslog, 2, " x\n"),
        ];
        for (bytes, txnr, command, data_len, rest) in table {
            let (header, len) = parse(bytes.as_bytes()).expect(bytes).expect(bytes);
            assert_eq!(header, Header { txnr: *txnr, command: *command, data_len: *data_len }, "{bytes}");
            assert_eq!(&bytes[len..], *rest);
            assert!(len <= HEADER_BYTES_MAX);
            for end in 0..len {
                assert_eq!(parse(&bytes.as_bytes()[..end]), Ok(None), "{bytes:?} up to {end}");
            }
        }
        let longest = format!("{} {} {} x", "9".repeat(9), "x".repeat(32), "9".repeat(9));
        assert_eq!(parse(longest.as_bytes()).expect("legal").expect("whole").1, HEADER_BYTES_MAX);
    }

    #[test]
    fn malformed_headers_are_refused_at_the_first_wrong_byte() {
        let table: &[(&str, RelpError)] = &[
            (" ", RelpError::MalformedTxnr),
            ("\n", RelpError::MalformedTxnr),
            ("x", RelpError::MalformedTxnr),
            ("-", RelpError::MalformedTxnr),
            ("1x", RelpError::MalformedTxnr),
            ("1\n", RelpError::MalformedTxnr),
            ("1000000000", RelpError::MalformedTxnr),
            ("1  ", RelpError::MalformedCommand),
            ("1 1", RelpError::MalformedCommand),
            ("1 open\n", RelpError::MalformedCommand),
            ("1 open1", RelpError::MalformedCommand),
            ("1 .", RelpError::MalformedCommand),
            ("1 abcdefghijabcdefghijabcdefghijabc", RelpError::MalformedCommand),
            ("1 open  ", RelpError::MalformedDataLen),
            ("1 open \n", RelpError::MalformedDataLen),
            ("1 open -", RelpError::MalformedDataLen),
            ("1 open 5\n", RelpError::MalformedDataLen),
            ("1 open 5x", RelpError::MalformedDataLen),
            ("1 open 0x", RelpError::MalformedDataLen),
            ("1 open 1000000000", RelpError::MalformedDataLen),
        ];
        for (bytes, error) in table {
            assert_eq!(parse(bytes.as_bytes()), Err(*error), "{bytes:?}");
            assert_eq!(parse(&bytes.as_bytes()[..bytes.len() - 1]), Ok(None), "{bytes:?} without its last byte");
        }
    }
}

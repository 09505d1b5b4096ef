//! `<PRI>`: facility and severity (RFC 5424, section 6.2.1; RFC 3164, section 4.1.1).

use crate::record::Level;

/// By code. The names of 12 to 15 are those of FreeBSD, Solaris and syslog-ng; the RFCs describe them as NTP subsystem, log audit, log alert and clock daemon.
const FACILITIES: [&str; 24] = [
    "kern",
    "user",
    "mail",
    "daemon",
    "auth",
    "syslog",
    "lpr",
    "news",
    "uucp",
    "cron",
    "authpriv",
    "ftp",
    "ntp",
    "security",
    "console",
    "solaris-cron",
    "local0",
    "local1",
    "local2",
    "local3",
    "local4",
    "local5",
    "local6",
    "local7",
];

const SEVERITIES: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

/// A facility times 8 and a severity: 0 to 191.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Priority(u8);

impl Priority {
    /// The `<PRI>` that `line` begins with, and its length: one to three digits of at most 191. Zeros before are forgiven.
    pub fn split(line: &[u8]) -> Option<(Self, usize)> {
        let [b'<', rest @ ..] = line else { return None };
        let digits = rest.iter().take(4).position(|byte| *byte == b'>').filter(|digits| *digits > 0)?;
        let number =
            rest[..digits].iter().try_fold(0u16, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u16::from(digit - b'0')))?;
        (number <= 191).then(|| (Self(number as u8), digits + 2))
    }

    /// The facility's name.
    pub fn facility(self) -> &'static str {
        FACILITIES[usize::from(self.0 / 8)]
    }

    /// The severity's name.
    pub fn severity(self) -> &'static str {
        SEVERITIES[usize::from(self.0 % 8)]
    }

    /// The severity as a level.
    pub fn level(self) -> Level {
        Level::from_number(u64::from(self.0 % 8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities() {
        let table: &[(&str, Option<(u8, usize)>)] = &[
            ("<0>", Some((0, 3))),
            ("<34>1", Some((34, 4))),
            ("<191>x", Some((191, 5))),
            ("<013>x", Some((13, 5))),
            ("<192>", None),
            ("<0013>", None),
            ("<>", None),
            ("<1", None),
            ("<1x>", None),
            ("1>", None),
            ("", None),
        ];
        for (line, expected) in table {
            assert_eq!(Priority::split(line.as_bytes()), expected.map(|(number, len)| (Priority(number), len)), "{line}");
        }
        for number in 0..=191 {
            let priority = Priority(number);
            assert_eq!(Level::parse(priority.severity().as_bytes()), priority.level(), "both say the same to who reads them again");
        }
        assert_eq!((Priority(165).facility(), Priority(165).severity()), ("local4", "notice"));
    }
}

//! Log levels, normalised from the many ways senders spell them.

/// How serious a record is. The discriminants are what is stored in block tables (docs/FORMAT.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Level {
    /// Finest.
    Trace = 0,
    /// For developers.
    Debug,
    /// Normal operation; syslog's info and notice.
    Info,
    /// Something to look at.
    Warn,
    /// Something failed.
    Error,
    /// The sender can't go on; syslog's critical, alert and emergency.
    Fatal,
    /// None was given, or none that is known.
    #[default]
    Unknown,
}

impl Level {
    /// How many there are.
    pub const COUNT: usize = 7;

    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; Self::COUNT] = [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error, Self::Fatal, Self::Unknown];

    /// The normalised name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// Reads a name of any case, a single letter, or a number as text.
    pub fn parse(text: &[u8]) -> Self {
        Self::parse_usual(text).unwrap_or_else(|| Self::parse_any(text))
    }

    /// The names that most lines carry, of four and five letters, without a branch that depends on which of them it is.
    #[inline]
    fn parse_usual(text: &[u8]) -> Option<Self> {
        /// Bit 5 tells small letters from capitals; with it set, no other byte becomes a letter.
        const SMALL: u8 = 0x20;
        /// By the low five bits of the first letter: the first four letters, the last one, and how many there are.
        const USUAL: [([u8; 4], u8, usize, Level); 32] = {
            let mut table = [([0; 4], 0, 0, Level::Unknown); 32];
            let names = [*b"trace", *b"debug", *b"info\0", *b"warn\0", *b"error", *b"fatal"];
            let mut at = 0;
            while at < names.len() {
                let [a, b, c, d, e] = names[at];
                let (last, len) = if e == 0 { (d, 4) } else { (e, 5) };
                table[(a & 31) as usize] = ([a, b, c, d], last, len, Level::ALL[at]);
                at += 1;
            }
            table
        };
        let (head, last) = (text.first_chunk::<4>()?, text.last()?);
        let (usual_head, usual_last, usual_len, level) = USUAL[usize::from(head[0] & 31)];
        let same = (usual_head == head.map(|byte| byte | SMALL)) & (usual_last == last | SMALL) & (usual_len == text.len());
        same.then_some(level)
    }

    fn parse_any(text: &[u8]) -> Self {
        let Some(&first) = text.first() else { return Self::Unknown };
        if first.is_ascii_digit() {
            return std::str::from_utf8(text).ok().and_then(|digits| digits.parse().ok()).map_or(Self::Unknown, Self::from_number);
        }
        let (names, level): (&[&[u8]], Self) = match first.to_ascii_lowercase() {
            b't' => (&[b"t", b"trace", b"trc", b"trce"], Self::Trace),
            b'v' => (&[b"v", b"verbose", b"vrb"], Self::Trace),
            b'd' => (&[b"d", b"debug", b"dbg", b"dbug"], Self::Debug),
            b'i' => (&[b"i", b"info", b"information", b"informational", b"inf"], Self::Info),
            b'n' => (&[b"n", b"notice", b"note"], Self::Info),
            b'w' => (&[b"w", b"warn", b"warning", b"wrn"], Self::Warn),
            b'e' if text.len() > 4 && text[1].eq_ignore_ascii_case(&b'm') => (&[b"emerg", b"emergency"], Self::Fatal),
            b'e' => (&[b"e", b"err", b"error"], Self::Error),
            b's' if matches!(text, [_, b'u' | b'U', ..]) => (&[b"success"], Self::Info),
            b's' => (&[b"severe"], Self::Error),
            b'c' => (&[b"c", b"crit", b"critical"], Self::Fatal),
            b'a' => (&[b"alert"], Self::Fatal),
            b'f' if matches!(text, [_, b'i' | b'I', ..]) => (&[b"fine", b"finer"], Self::Debug),
            b'f' if matches!(text, [_, b'a' | b'A', b'i' | b'I', ..]) => (&[b"fail"], Self::Error),
            b'f' => (&[b"f", b"fatal", b"ftl"], Self::Fatal),
            // PostgreSQL's, for what is neither a warning nor an error.
            b'l' => (&[b"log"], Self::Info),
            b'p' => (&[b"panic"], Self::Fatal),
            _ => return Self::Unknown,
        };
        if names.iter().any(|name| text.eq_ignore_ascii_case(name)) { level } else { Self::Unknown }
    }

    /// syslog's severities 0 to 7 (RFC 5424, section 6.2.1), or the numbers from 10 that bunyan and pino write.
    pub fn from_number(number: u64) -> Self {
        match number {
            0..=2 => Self::Fatal,
            3 => Self::Error,
            4 => Self::Warn,
            5 | 6 => Self::Info,
            7 => Self::Debug,
            10..20 => Self::Trace,
            20..30 => Self::Debug,
            30..40 => Self::Info,
            40..50 => Self::Warn,
            50..60 => Self::Error,
            60..70 => Self::Fatal,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        let table = [
            ("warn", Level::Warn),
            ("WARNING", Level::Warn),
            ("W", Level::Warn),
            ("4", Level::Warn),
            ("40", Level::Warn),
            ("Information", Level::Info),
            ("notice", Level::Info),
            ("err", Level::Error),
            ("E", Level::Error),
            ("emerg", Level::Fatal),
            ("WRN", Level::Warn),
            ("fail", Level::Error),
            ("FTL", Level::Fatal),
            ("fine", Level::Debug),
            ("LOG", Level::Info),
            ("crit", Level::Fatal),
            ("0", Level::Fatal),
            ("debugging", Level::Unknown),
            ("infos", Level::Unknown),
            ("errorr", Level::Unknown),
            ("inf\u{f}", Level::Unknown),
            ("Error", Level::Error),
            ("traCE", Level::Trace),
            ("99999999999999999999999", Level::Unknown),
            ("", Level::Unknown),
        ];
        for (text, level) in table {
            assert_eq!(Level::parse(text.as_bytes()), level, "{text}");
        }
        for level in Level::ALL {
            assert_eq!(Level::parse(level.name().as_bytes()), level);
            assert_eq!(Level::parse_any(level.name().as_bytes()), level);
            assert_eq!(Level::ALL[level as usize], level);
        }
    }
}

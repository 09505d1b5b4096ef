//! Where a CSV line ends: at an LF outside of quotes (RFC 4180, section 2, rule 6), by the rules of the csv crate: a quote opens at the beginning of a field only,
//! two within quotes are one, and what follows a closing one up to the comma is content.

/// Where in a line the bytes seen so far end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Quotes {
    #[default]
    FieldStart,
    Unquoted,
    Quoted,
    /// Behind a quote within quotes: it closed them, or a second one follows.
    QuoteSeen,
}

impl Quotes {
    /// Where in `bytes`, which follow those seen before, the LF is that ends the line. Then the next bytes are of the next line.
    pub(super) fn line_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            match self {
                Self::FieldStart | Self::Unquoted => {
                    let Some(found) = memchr::memchr2(b'\n', b'"', &bytes[at..]).map(|found| at + found) else {
                        *self = if bytes.ends_with(b",") { Self::FieldStart } else { Self::Unquoted };
                        return None;
                    };
                    if bytes[found] == b'\n' {
                        *self = Self::FieldStart;
                        return Some(found);
                    }
                    let opens = if found == at { *self == Self::FieldStart } else { bytes[found - 1] == b',' };
                    *self = if opens { Self::Quoted } else { Self::Unquoted };
                    at = found + 1;
                }
                Self::Quoted => {
                    at = at + memchr::memchr(b'"', &bytes[at..])? + 1;
                    *self = Self::QuoteSeen;
                }
                Self::QuoteSeen => match bytes[at] {
                    b'"' => {
                        *self = Self::Quoted;
                        at += 1;
                    }
                    b',' => {
                        *self = Self::FieldStart;
                        at += 1;
                    }
                    _ => *self = Self::Unquoted,
                },
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_outside_of_quotes() {
        let table = [
            ("a,b\nc", Some(3)),
            ("a,b", None),
            ("\"a\nb\",c\n", Some(7)),
            ("a,\"b\n\"\"\n\",c\n", Some(11)),
            ("a\"b\nc\"\n", Some(3)),
            ("\"a\"b\"\nc", Some(5)),
            ("\"a,\n", None),
            ("\"\"\n", Some(2)),
            ("\"\",\"\n\"\n", Some(6)),
        ];
        for (text, end) in table {
            assert_eq!(Quotes::default().line_end(text.as_bytes()), end, "{text:?}");
            let mut quotes = Quotes::default();
            let by_byte = text.bytes().position(|byte| quotes.line_end(&[byte]).is_some());
            assert_eq!(by_byte, end, "{text:?} byte by byte");
        }
    }
}

//! The names of a stream's files, as the daemon documents them. Written again here on purpose: see the crate. Pure.
//!
//! | name | what it is |
//! | --- | --- |
//! | `logs.jsonl`, `logs.s00.jsonl` | the open segment |
//! | `logs_20261124_150000_000042.jsonl`, `logs_20261124_150000_s00_000042.jsonl` | a sealed segment |
//! | the same and `.gz` or `.zst` | its archive |

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Coding {
    /// It is not.
    Raw,
    /// gzip members, one after another.
    Gzip,
    /// zstd frames, one after another.
    Zstd,
}

/// A sealed segment, in whichever form. Ordered as its shard wrote them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SealedName {
    /// The shard; a name without one means 0.
    pub shard: u32,
    /// Counts up within the shard.
    pub seq: u64,
    /// The name without `.gz` and the like.
    pub raw_name: String,
}

/// What a name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// The open segment of a shard.
    Open {
        /// The shard; a name without one means 0.
        shard: u32,
    },
    /// A sealed segment or its archive.
    Sealed(SealedName, Coding),
}

/// Reads a name of `stream`; `None` for any other file.
pub fn parse(name: &str, stream: &str) -> Option<Name> {
    let rest = name.strip_prefix(stream)?;
    if let Some(tag) = rest.strip_suffix(".jsonl").filter(|tag| tag.is_empty() || tag.starts_with('.')) {
        let shard = if tag.is_empty() { 0 } else { shard_of(&tag[1..])? };
        return Some(Name::Open { shard });
    }
    let (raw_name, coding) = match name {
        _ if name.ends_with(".jsonl.gz") => (name.strip_suffix(".gz")?, Coding::Gzip),
        _ if name.ends_with(".jsonl.zst") => (name.strip_suffix(".zst")?, Coding::Zstd),
        _ => (name, Coding::Raw),
    };
    let parts: Vec<&str> = raw_name.strip_prefix(stream)?.strip_prefix('_')?.strip_suffix(".jsonl")?.split('_').collect();
    let (date, time, shard, seq) = match parts[..] {
        [date, time, seq] => (date, time, 0, seq),
        [date, time, tag, seq] => (date, time, shard_of(tag)?, seq),
        _ => return None,
    };
    if date.len() != 8 || time.len() != 6 || !is_number(date) || !is_number(time) || !is_number(seq) {
        return None;
    }
    Some(Name::Sealed(SealedName { shard, seq: seq.parse().ok()?, raw_name: raw_name.to_owned() }, coding))
}

fn shard_of(tag: &str) -> Option<u32> {
    tag.strip_prefix('s').filter(|digits| is_number(digits))?.parse().ok()
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_documented() {
        let sealed =
            |shard, raw_name: &str, coding| Some(Name::Sealed(SealedName { shard, seq: 42, raw_name: raw_name.to_owned() }, coding));
        let (single, second) = ("logs_20261124_150000_000042.jsonl", "logs_20261124_150000_s01_000042.jsonl");
        for (name, expected) in [
            ("logs.jsonl", Some(Name::Open { shard: 0 })),
            ("logs.s01.jsonl", Some(Name::Open { shard: 1 })),
            (single, sealed(0, single, Coding::Raw)),
            (second, sealed(1, second, Coding::Raw)),
            ("logs_20261124_150000_000042.jsonl.gz", sealed(0, single, Coding::Gzip)),
            ("logs_20261124_150000_s01_000042.jsonl.zst", sealed(1, second, Coding::Zstd)),
            ("logs_20261124_150000_000042.meta", None),
            ("logs_20261124_150000_000042.jsonl.gz.tmp", None),
            ("logs_20261124_150000_000042.jsonl.tmp", None),
            ("rejected.jsonl", None),
            ("logs_2026_15_42.jsonl", None),
            ("logboom.format", None),
            ("logsmith.jsonl", None),
        ] {
            assert_eq!(parse(name, "logs"), expected, "{name}");
        }
    }
}

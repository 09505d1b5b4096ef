//! Values from text. An error says what is allowed, for the user to read.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::record::Protocol;
use crate::record::csv::Columns;
use crate::record::detect::Format;
use crate::record::multiline::Continuations;
use crate::store::filter::Index;
use crate::store::level::LevelChoice;
use crate::store::name::Codec;
use crate::store::policy::Ack;
use crate::watch::patterns::Archives;
use crate::watch::tracker::From;

/// Bytes: `5MB` is 5,000,000, `5MiB` is 5,242,880.
pub(super) fn size(text: &str, min: u64, max: u64) -> Result<u64, String> {
    let bytes = parse_size::parse_size(text).map_err(|_| "expected a size like 5MB, 512KiB or 5000000".to_owned())?;
    if (min..=max).contains(&bytes) { Ok(bytes) } else { Err(format!("expected {min} to {max} bytes")) }
}

pub(super) fn size_or_off(text: &str, min: u64, max: u64) -> Result<Option<u64>, String> {
    if text == "off" {
        return Ok(None);
    }
    size(text, min, max).map(Some).map_err(|expected| expected + ", or off")
}

/// A duration of at least `min`: `250ms`, `1h`, `1m 30s`, `30d`.
pub(super) fn duration(text: &str, min: Duration) -> Result<Duration, String> {
    // jiff's durations end at hours, because a day may have 23 or 25 of them in a calendar; here it has 24.
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok()?.checked_mul(24 * 3600)).map(Duration::from_secs);
    let parsed = || text.parse::<jiff::SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    let duration = days.or_else(parsed).ok_or_else(|| "expected a duration like 250ms, 10s, 1h or 30d".to_owned())?;
    if duration < min { Err(format!("expected at least {min:?}")) } else { Ok(duration) }
}

pub(super) fn duration_or_off(text: &str, min: Duration) -> Result<Option<Duration>, String> {
    if text == "off" {
        return Ok(None);
    }
    duration(text, min).map(Some).map_err(|expected| expected + ", or off")
}

/// `tcp://HOST:PORT`, `relp://HOST:PORT`, or `HOST:PORT` for TCP.
pub(super) fn listen(text: &str) -> Result<(Protocol, SocketAddr), String> {
    let (protocol, address) = match text.split_once("://") {
        Some(("tcp", address)) => (Protocol::Tcp, address),
        Some(("relp", address)) => (Protocol::Relp, address),
        Some((scheme, _)) => return Err(format!("expected tcp://HOST:PORT or relp://HOST:PORT; {scheme}:// is not supported")),
        None => (Protocol::Tcp, text),
    };
    Ok((protocol, self::address(address)?))
}

pub(super) fn ack(text: &str) -> Result<Ack, String> {
    match text {
        "written" => Ok(Ack::Written),
        "synced" => Ok(Ack::Synced),
        _ => Err("expected written or synced".to_owned()),
    }
}

/// Whether what outputs have not read stays.
pub(super) fn keep_or_delete(text: &str) -> Result<bool, String> {
    match text {
        "keep" => Ok(true),
        "delete" => Ok(false),
        _ => Err("expected keep or delete".to_owned()),
    }
}

pub(super) fn address_or_off(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "off" { Ok(None) } else { address(text).map(Some).map_err(|expected| expected + ", or off") }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let mut found = text.to_socket_addrs().map_err(|_| "expected HOST:PORT with a host that resolves".to_owned())?;
    found.next().ok_or_else(|| "the host has no address".to_owned())
}

pub(super) fn count(text: &str, min: usize, max: usize) -> Result<usize, String> {
    let expected = || format!("expected a number from {min} to {max}");
    text.parse().ok().filter(|count| (min..=max).contains(count)).ok_or_else(expected)
}

pub(super) fn count_or_auto(text: &str, auto: usize, min: usize, max: usize) -> Result<usize, String> {
    if text == "auto" { Ok(auto) } else { count(text, min, max).map_err(|expected| expected + ", or auto") }
}

pub(super) fn format(text: &str) -> Result<Format, String> {
    Format::ALL.into_iter().find(|format| format.name() == text).ok_or_else(|| "expected auto, json, text, csv or syslog".to_owned())
}

/// An IANA name such as `Europe/Berlin`, `UTC`, or `local` for the machine's (`TZ`, then `/etc/localtime`, else UTC).
pub(super) fn timezone(text: &str) -> Result<TimeZone, String> {
    match text {
        "local" => Ok(TimeZone::try_system().unwrap_or(TimeZone::UTC)),
        _ => TimeZone::get(text).map_err(|_| "expected a name like Europe/Berlin, UTC, or local".to_owned()),
    }
}

/// Names with commas between, or `header`: then each connection's first line names them.
pub(super) fn csv_columns(text: &str) -> Result<Option<Arc<Columns>>, String> {
    if text == "header" {
        return Ok(None);
    }
    if text.split(',').any(|name| name.trim().is_empty()) {
        return Err("expected names with commas between, or header".to_owned());
    }
    Columns::new(text.split(',')).map(|columns| Some(Arc::new(columns)))
}

pub(super) fn compression(text: &str) -> Result<Option<Codec>, String> {
    match text {
        "gzip" => Ok(Some(Codec::Gzip)),
        "zstd" => Ok(Some(Codec::Zstd)),
        "none" => Ok(None),
        _ => Err("expected gzip, zstd or none".to_owned()),
    }
}

pub(super) fn level(text: &str, codec: Option<Codec>) -> Result<LevelChoice, String> {
    if text == "auto" {
        return Ok(LevelChoice::Auto);
    }
    let (name, max) = match codec {
        Some(Codec::Gzip) => ("gzip", 9),
        Some(Codec::Zstd) => ("zstd", 19),
        None => return Err("expected auto: with --compression none there is no level".to_owned()),
    };
    let expected = || format!("expected a level of {name}, 1 to {max}, or auto");
    text.parse().ok().filter(|level| (1..=max).contains(level)).map(LevelChoice::Fixed).ok_or_else(expected)
}

/// Core numbers with commas between, all of them among `available`; or `off`.
pub(super) fn cores(text: &str, available: &[usize]) -> Result<Vec<usize>, String> {
    if text == "off" {
        return Ok(Vec::new());
    }
    let core = |word: &str| word.trim().parse().ok().filter(|core| available.contains(core));
    text.split(',')
        .map(core)
        .collect::<Option<_>>()
        .ok_or_else(|| format!("expected numbers of cores this process may use ({available:?}), or off"))
}

/// Where files begin that are there at the first start.
pub(super) fn from(text: &str) -> Result<From, String> {
    match text {
        "beginning" => Ok(From::Beginning),
        "end" => Ok(From::End),
        _ => Err("expected beginning or end".to_owned()),
    }
}

/// Which lines of files that are read as `format` belong to the record before them.
pub(super) fn multiline(text: &str, format: Format) -> Result<Option<Continuations>, String> {
    let usual = Continuations::new(format);
    match text {
        "on" => Ok(Some(usual)),
        "off" => Ok(None),
        pattern => usual.with_pattern(pattern).map(Some).map_err(String::from),
    }
}

/// Whether `.gz` files are read.
pub(super) fn read_gzip(text: &str) -> Result<Archives, String> {
    match text {
        "on" => Ok(Archives::Gzip),
        "off" => Ok(Archives::Skipped),
        _ => Err("expected on or off".to_owned()),
    }
}

pub(super) fn index(text: &str) -> Result<Index, String> {
    match text {
        "on" => Ok(Index::On),
        "off" => Ok(Index::Off),
        _ => Err("expected on or off".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("5MB", 5_000_000), ("5MiB", 5 << 20), ("5kB", 5_000), ("5 KiB", 5 << 10), ("1GB", 1_000_000_000), ("4096", 4096)]
        {
            assert_eq!(size(text, 1, u64::MAX), Ok(bytes), "{text}");
        }
        assert_eq!((size_or_off("off", 1, 10), size_or_off("7", 1, 10)), (Ok(None), Ok(Some(7))));
        assert!(size_or_off("11", 1, 10).unwrap_err().ends_with(", or off"));
        assert!(size("5XB", 1, 10).is_err() && size("11", 1, 10).is_err() && size("", 1, 10).is_err() && size("-1", 1, 10).is_err());
    }

    #[test]
    fn readings() {
        assert_eq!(Format::ALL.map(|one| format(one.name())), Format::ALL.map(Ok));
        assert!(format("xml").unwrap_err().contains("syslog"));
        assert_eq!(timezone("UTC").unwrap(), TimeZone::get("UTC").unwrap());
        assert!(timezone("Europe/Berlin").is_ok() && timezone("local").is_ok() && timezone("Europe/Nowhere").is_err());
        assert_eq!(csv_columns("header"), Ok(None));
        assert_eq!(csv_columns("ts, level,message").unwrap().unwrap().names().collect::<Vec<_>>(), ["ts", "level", "message"]);
        assert!(csv_columns("").is_err() && csv_columns("a,,b").is_err());
    }

    #[test]
    fn durations() {
        for (text, millis) in [("250ms", 250), ("1h", 3_600_000), ("1m 30s", 90_000), ("30d", 2_592_000_000)] {
            assert_eq!(duration(text, Duration::ZERO), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert!(duration("-1d", Duration::ZERO).is_err() && duration("1000000000000000000d", Duration::ZERO).is_err());
        assert!(duration("5", Duration::ZERO).is_err() && duration("1ms", Duration::from_secs(1)).is_err());
        assert_eq!(duration_or_off("off", Duration::ZERO), Ok(None));
    }

    #[test]
    fn addresses() {
        assert_eq!(listen("tcp://127.0.0.1:0"), Ok((Protocol::Tcp, "127.0.0.1:0".parse().unwrap())));
        assert_eq!(listen("relp://127.0.0.1:20514"), Ok((Protocol::Relp, "127.0.0.1:20514".parse().unwrap())));
        assert_eq!(listen("[::1]:5"), Ok((Protocol::Tcp, "[::1]:5".parse().unwrap())));
        assert!(listen("udp://127.0.0.1:1").is_err() && listen("127.0.0.1").is_err() && listen("127.0.0.1:99999").is_err());
        assert_eq!(address_or_off("off"), Ok(None));
    }
}

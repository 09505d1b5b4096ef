//! The values of flags, as text and back.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use jiff::SignedDuration;

use crate::schedule::Burst;

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `HOST:PORT`.
    Tcp(String),
    /// `HOST:PORT` of a server that acknowledges each line.
    Relp(String),
    /// A file that is appended to.
    File(PathBuf),
}

impl FromStr for Target {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        if let Some(path) = text.strip_prefix("file:") {
            ensure!(!path.is_empty(), "file: needs a path");
            return Ok(Target::File(path.into()));
        }
        if let Some(address) = text.strip_prefix("relp://") {
            return Ok(Target::Relp(host_port(address)?));
        }
        Ok(Target::Tcp(tcp(text)?))
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Target::Tcp(address) => write!(f, "tcp://{address}"),
            Target::Relp(address) => write!(f, "relp://{address}"),
            Target::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

/// Where to listen, and what is spoken there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// `HOST:PORT`.
    Tcp(String),
    /// `HOST:PORT`; each line is acknowledged.
    Relp(String),
}

impl FromStr for Listen {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match text.strip_prefix("relp://") {
            Some(address) => host_port(address).map(Listen::Relp),
            None => tcp(text).map(Listen::Tcp),
        }
    }
}

/// `tcp://HOST:PORT`, or `HOST:PORT`, which means the same.
fn tcp(text: &str) -> anyhow::Result<String> {
    host_port(text.strip_prefix("tcp://").unwrap_or(text))
}

fn host_port(address: &str) -> anyhow::Result<String> {
    ensure!(!address.contains("://"), "only tcp://HOST:PORT, relp://HOST:PORT and, to send to, file:PATH are known");
    let (host, port) = address.rsplit_once(':').context("expected HOST:PORT")?;
    ensure!(!host.is_empty(), "no host before the port");
    port.parse::<u16>().map_err(|_| anyhow!("{port:?} is no port"))?;
    Ok(address.to_owned())
}

/// Cores by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cores(pub Vec<usize>);

/// The highest core number that is read: more than the kernel knows.
const CORE_MAX: usize = 8191;

impl FromStr for Cores {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let mut cores = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.parse::<usize>().map_err(|_| anyhow!("{text:?} is no core number"));
            let (first, last) = (number(first)?, number(last)?);
            ensure!(first <= last && last <= CORE_MAX, "{part:?} is no range of cores");
            cores.extend(first..=last);
        }
        Ok(Self(cores))
    }
}

/// A positive duration with its unit: `250ms`, `1h 30m`.
pub fn duration(text: &str) -> anyhow::Result<Duration> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        bail!("a duration needs a unit, such as {text}s");
    }
    let signed: SignedDuration = text.parse().map_err(|_| anyhow!("expected a duration such as 250ms or 1h"))?;
    let duration = Duration::try_from(signed).map_err(|_| anyhow!("a duration can't be negative"))?;
    ensure!(!duration.is_zero(), "a duration can't be zero");
    ensure!(duration <= DURATION_MAX, "at most a year");
    Ok(duration)
}

/// Far more than a run lasts, far less than what nanoseconds can count.
const DURATION_MAX: Duration = Duration::from_secs(366 * 86_400);

/// Milliseconds as a bare number, or a duration; 0 is allowed.
pub fn interval(text: &str) -> anyhow::Result<Duration> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let interval = Duration::from_millis(text.parse().context("expected milliseconds")?);
        ensure!(interval <= DURATION_MAX, "at most a year");
        return Ok(interval);
    }
    duration(text)
}

/// `FACTORx/LENGTH/EVERY`.
pub fn burst(text: &str) -> anyhow::Result<Burst> {
    let parts: Vec<&str> = text.split('/').collect();
    let [factor, length, every] = parts[..] else { bail!("expected FACTORx/LENGTH/EVERY, such as 10x/5s/60s") };
    let factor = factor.strip_suffix('x').context("the factor ends with x, as in 10x")?;
    let factor: f64 = factor.parse().map_err(|_| anyhow!("{factor:?} is no factor"))?;
    ensure!((1.0..=10_000.0).contains(&factor), "the factor must be from 1 to 10000");
    let length = duration(length).context("the length")?;
    let every = duration(every).context("the period")?;
    ensure!(length < every, "the burst must be shorter than its period");
    Ok(Burst { factor, length_ns: length.as_nanos() as u64, every_ns: every.as_nanos() as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted() {
        assert_eq!("tcp://127.0.0.1:7171".parse::<Target>().unwrap(), Target::Tcp("127.0.0.1:7171".to_owned()));
        assert_eq!("[::1]:7171".parse::<Target>().unwrap(), Target::Tcp("[::1]:7171".to_owned()));
        assert_eq!("relp://h:2514".parse::<Target>().unwrap(), Target::Relp("h:2514".to_owned()));
        assert_eq!("relp://h:2514".parse::<Listen>().unwrap(), Listen::Relp("h:2514".to_owned()));
        assert_eq!("h:2514".parse::<Listen>().unwrap(), Listen::Tcp("h:2514".to_owned()));
        assert_eq!("file:a/b.log".parse::<Target>().unwrap(), Target::File("a/b.log".into()));
        assert_eq!("0,2-4".parse::<Cores>().unwrap(), Cores(vec![0, 2, 3, 4]));
        assert_eq!(interval("0").unwrap(), Duration::ZERO);
        assert_eq!(interval("1000").unwrap(), Duration::from_secs(1));
        assert_eq!(interval("250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(duration("1h 30m").unwrap(), Duration::from_secs(5400));
        assert_eq!(burst("10x/5s/60s").unwrap(), Burst { factor: 10.0, length_ns: 5_000_000_000, every_ns: 60_000_000_000 });
    }

    #[test]
    fn what_is_refused() {
        for text in ["", "host", "host:", ":1", "host:99999", "relp://h", "relp://tcp://h:1", "file:", "http://h:80"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
        for text in ["", "a", "3-1", "1,,2", "0-9999", "-1"] {
            assert!(text.parse::<Cores>().is_err(), "{text}");
        }
        for text in ["", "30", "-5s", "0s", "x", "1y 1d"] {
            assert!(duration(text).is_err(), "{text}");
        }
        for text in ["", "10/5s/60s", "10x/5s", "0.5x/5s/60s", "10x/60s/60s", "NaNx/1s/2s", "10x/5s/60s/1s"] {
            assert!(burst(text).is_err(), "{text}");
        }
        assert!(interval("-1").is_err());
    }
}

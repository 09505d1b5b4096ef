//! What rotation does to names, and what it tells by them. Pure.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// What separates a name from what rotation adds.
const SEPARATORS: [char; 3] = ['.', '-', '_'];

/// Whether rotation may have made `copy` of the file `original`, by their names: `app.log.1`, `app.log-20261129`, `app-20261129.log`, `app.log.2.gz` of `app.log`
/// or of `app.log.1`. In any folder, since rotation may use another one.
pub fn is_rotated_name(copy: &Path, original: &Path) -> bool {
    let (copy, original) = (name(copy), name(original));
    if copy == original {
        return false;
    }
    let base = without_rotation(&original);
    if copy.strip_prefix(base).is_some_and(|rest| rest.starts_with(['.', '-', '_', '~'])) {
        return true;
    }
    let Some((stem, extension)) = base.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()) else { return false };
    let copy = without_compression(&copy);
    let between = copy.strip_prefix(stem).and_then(|rest| rest.strip_suffix(extension));
    between.is_some_and(|between| {
        between.starts_with(['.', '-', '_']) && between.ends_with('.') && between.contains(|c: char| c.is_ascii_digit())
    })
}

/// What copies of a file are named after: its folder and its name without what rotation adds.
pub fn rotation_base(path: &Path) -> PathBuf {
    path.with_file_name(without_rotation(&name(path)))
}

fn name(path: &Path) -> Cow<'_, str> {
    path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default()
}

fn without_compression(name: &str) -> &str {
    [".gz", ".zst", ".bz2", ".xz"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

/// `app.log` of `app.log.2.gz` and of `app.log-20261129`.
fn without_rotation(name: &str) -> &str {
    let name = without_compression(name);
    let base = name.trim_end_matches(|c: char| c.is_ascii_digit());
    match base.strip_suffix(['.', '-', '_']) {
        Some(base) if !base.is_empty() && base.len() < name.len() - 1 => base,
        _ => name,
    }
}

/// Where a name puts a file among those that rotation made of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What all of them have in common: the folder, and the name without what rotation adds.
    pub series: PathBuf,
    /// A date in the name, as the number YYYYMMDD. 0 if there is none.
    pub date: u32,
    /// The number at the end. Whether it grows or falls with time, the name does not tell.
    pub number: Option<u64>,
}

impl Place {
    /// `app.log.2.gz`, `app.log-20261129`, `app-2026-11-29.log`, `app.log.2026-11-29.3` are of `app.log`. `web-2.log` is a file of its own.
    pub fn of(path: &Path) -> Place {
        let name = name(path);
        let name = without_compression(&name);
        let place = |series: &str, date, number| Place { series: path.with_file_name(series), date, number };
        if let Some((series, date, number)) = dated(name) {
            return place(series, date, number);
        }
        if let Some((stem, extension)) = name.rsplit_once('.')
            && let Some((series, date, number)) = dated(stem)
        {
            return place(&format!("{series}.{extension}"), date, number);
        }
        let series = without_rotation(name);
        place(series, 0, last_number(&name[series.len()..]))
    }
}

/// `app.log`, 20261129 and 3 of `app.log-2026-11-29.3`.
fn dated(name: &str) -> Option<(&str, u32, Option<u64>)> {
    let begin = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == 'T' || SEPARATORS.contains(&c)).len();
    let end = begin + name[begin..].find(SEPARATORS).filter(|end| 0 < begin + end)?;
    let (series, added) = name.split_at(end);
    let digits: String = added.chars().filter(char::is_ascii_digit).take(8).collect();
    let date = digits.parse().ok().filter(|_| digits.len() == 8)?;
    let (year, month, day) = (date / 10_000, date / 100 % 100, date % 100);
    let is_date = (1970..2200).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    is_date.then(|| (series, date, last_number(added)))
}

fn last_number(added: &str) -> Option<u64> {
    added.rsplit(SEPARATORS).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_rotation_makes() {
        for (copy, original, expected) in [
            ("app.log.1", "app.log", true),
            ("app.log.1.gz", "app.log", true),
            ("app.log.2.gz", "app.log.1", true),
            ("app.log-20261129", "app.log", true),
            ("app.log-20261129.gz", "app.log-20261129", true),
            ("app-20261129.log", "app.log", true),
            ("app-20261129.log.gz", "app.log", true),
            ("syslog.1", "syslog", true),
            ("app.log", "app.log", false),
            ("app.log", "app.log.1", false),
            ("a2.log", "a1.log", false),
            ("apple.log", "app.log", false),
            ("other.log", "app.log", false),
            ("app.log2", "app.log", false),
            ("x", "", false),
        ] {
            assert_eq!(is_rotated_name(Path::new(copy), Path::new(original)), expected, "{copy} of {original}");
        }
    }

    #[test]
    fn places_that_names_tell() {
        for (name, series, date, number) in [
            ("app.log", "app.log", 0, None),
            ("app.log.1", "app.log", 0, Some(1)),
            ("app.log.12.gz", "app.log", 0, Some(12)),
            ("app.log-20261129", "app.log", 20_261_129, Some(20_261_129)),
            ("app.log-2026112913.gz", "app.log", 20_261_129, Some(2_026_112_913)),
            ("app.log.2026-11-29", "app.log", 20_261_129, Some(29)),
            ("app.log-2026-11-29_13-05", "app.log", 20_261_129, Some(5)),
            ("app.log-20261129.3", "app.log", 20_261_129, Some(3)),
            ("app-20261129.log", "app.log", 20_261_129, Some(20_261_129)),
            ("app-2026-11-29.2.log.gz", "app.log", 20_261_129, Some(2)),
            ("app.log-1795966800", "app.log", 0, Some(1_795_966_800)),
            ("app.log-29112026", "app.log", 0, Some(29_112_026)),
            ("web-2.log", "web-2.log", 0, None),
            ("192.168.1.2", "192.168.1", 0, Some(2)),
            ("20261129", "20261129", 0, None),
            (".20261129", ".20261129", 0, None),
            ("syslog.99999999999999999999999", "syslog", 0, None),
            ("", "", 0, None),
        ] {
            let place = Place::of(&Path::new("/logs").join(name));
            assert_eq!(place, Place { series: Path::new("/logs").join(series), date, number }, "{name}");
        }
    }
}

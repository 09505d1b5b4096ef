//! The names of an output's CSV files.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::store::utc::Civil;

#[derive(Debug)]
pub(in crate::outputs) struct Names {
    open: PathBuf,
    folder: PathBuf,
}

impl Names {
    /// Of the output to `path`, which names a file.
    pub(in crate::outputs) fn new(path: &Path) -> Names {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Names { open: path.to_owned(), folder: folder.to_owned() }
    }

    /// The file that is appended to.
    pub(super) fn open(&self) -> &Path {
        &self.open
    }

    /// The folder of all of them.
    pub(in crate::outputs) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The cursor file.
    pub(super) fn cursor(&self) -> PathBuf {
        self.with_suffix(".cursor")
    }

    /// The cursor file before it is complete.
    pub(super) fn cursor_temporary(&self) -> PathBuf {
        self.with_suffix(".cursor.tmp")
    }

    /// The name of the file that is sealed at `sealed_at_s`, seconds since 1970 UTC: `logs_20261124_150000_000042.csv` of `logs.csv`.
    pub(in crate::outputs) fn sealed(&self, sealed_at_s: u64, sequence: u64) -> String {
        let Civil { year, month, day, hour, minute, second } = Civil::from_seconds(sealed_at_s);
        let stem = self.open.file_stem().unwrap_or_default().to_string_lossy();
        let extension = self.open.extension().map_or_else(String::new, |extension| format!(".{}", extension.to_string_lossy()));
        format!("{stem}_{year:04}{month:02}{day:02}_{hour:02}{minute:02}{second:02}_{sequence:06}{extension}")
    }

    /// Whether `name` is that of a sealed file.
    pub(in crate::outputs) fn is_sealed(&self, name: &str) -> bool {
        let part = |part: Option<&OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        let (stem, extension) = (part(self.open.file_stem()), part(self.open.extension()));
        let rest = name.strip_prefix(&*stem).and_then(|rest| rest.strip_prefix('_')).and_then(|rest| rest.strip_suffix(&*extension));
        let Some(numbers) = rest.map(|rest| rest.strip_suffix('.').unwrap_or(rest)) else { return false };
        let lengths: Vec<usize> = numbers.split('_').map(str::len).collect();
        matches!(lengths[..], [8, 6, digits] if 6 <= digits) && numbers.bytes().all(|byte| byte == b'_' || byte.is_ascii_digit())
    }

    fn with_suffix(&self, suffix: &str) -> PathBuf {
        let mut name = self.open.clone().into_os_string();
        name.push(suffix);
        PathBuf::from(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_segments() {
        let names = Names::new(Path::new("out/logs.csv"));
        assert_eq!(names.sealed(1_795_532_400, 42), "logs_20261124_150000_000042.csv");
        assert_eq!(names.cursor(), Path::new("out/logs.csv.cursor"));
        assert_eq!(Names::new(Path::new("x")).sealed(0, 1), "x_19700101_000000_000001");
        assert_eq!(Names::new(Path::new("x")).folder(), Path::new("."));
    }
}

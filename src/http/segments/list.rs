//! Which segments there are, and what their block tables say of them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::search::Lines;
use crate::limits::{HTTP_SEGMENTS_DEFAULT, HTTP_SEGMENTS_MAX, HTTP_SEGMENTS_READ_BYTES_MAX};
use crate::record::Timestamp;
use crate::search::Tables;
use crate::store::catalog::{self, StoreFile};
use crate::store::disk::Disk;
use crate::store::error::StorageError;
use crate::store::meta::Meta;
use crate::store::name::{FileName, SegmentId, Stream};

/// As they stand behind the `?`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct Params {
    stream: Option<Lines>,
    limit: Option<usize>,
    /// The name of the last segment that the caller has.
    before: Option<String>,
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    stream: Option<Stream>,
    limit: usize,
    before: Option<SegmentId>,
}

impl Params {
    /// Where accepted records of the process are the stream `accepted`.
    pub(super) fn page(&self, accepted: Stream) -> Result<Page, String> {
        let stream = self.stream.map(|lines| lines.stream(accepted));
        let limit = self.limit.unwrap_or(HTTP_SEGMENTS_DEFAULT);
        if !(1..=HTTP_SEGMENTS_MAX).contains(&limit) {
            return Err(format!("limit: {limit}: expected 1 to {HTTP_SEGMENTS_MAX}"));
        }
        let before = self.before.as_ref().map(|name| match FileName::parse(name) {
            Some(FileName::Sealed(id) | FileName::Archive(id, _)) => Ok(id),
            _ => Err(format!("before: {name:?}: expected the name of a sealed or archived segment")),
        });
        Ok(Page { stream, limit, before: before.transpose()? })
    }
}

/// In the order of sealing.
type Age = (u64, u64, usize, Stream);

fn age(id: SegmentId) -> Age {
    (id.sealed_at_s, id.seq, id.shard.index(), id.stream)
}

/// One page: open segments first, where it is the first, then the newest. `next` is where the next one begins.
pub(super) fn list(dir: &Path, page: &Page) -> Result<Value, StorageError> {
    let disk = Disk::new();
    let mut open = Vec::new();
    let mut sealed: BTreeMap<Age, StoreFile> = BTreeMap::new();
    for file in catalog::files(&disk, dir)? {
        let (stream, id) = match file.name {
            FileName::Open(stream, _) => (stream, None),
            FileName::Sealed(id) | FileName::Archive(id, _) => (id.stream, Some(id)),
            _ => continue,
        };
        if page.stream.is_some_and(|wanted| wanted != stream) {
            continue;
        }
        match id {
            None => open.push(file),
            // While an archive replaces its raw file, there are both for a moment.
            Some(id) => match sealed.entry(age(id)).or_insert_with(|| file.clone()) {
                known if matches!(file.name, FileName::Archive(..)) => *known = file,
                _ => {}
            },
        }
    }
    let (opened, total) = (open.len(), sealed.len());
    let mut reader = Reader { disk, dir, tables: Tables::default(), buffer: Vec::new(), left: HTTP_SEGMENTS_READ_BYTES_MAX };
    let mut rows: Vec<Value> = if page.before.is_none() { open.iter().map(|file| reader.row(file)).collect() } else { Vec::new() };
    let older = sealed.into_iter().rev().map(|(_, file)| file).skip_while(|file| {
        // Those that the caller has.
        matches!((page.before, id_of(file)), (Some(before), Some(id)) if age(before) <= age(id))
    });
    let mut older = older.peekable();
    let mut last = None;
    for file in older.by_ref().take(page.limit) {
        rows.push(reader.row(&file));
        last = Some(file.name.to_string());
    }
    let next = last.filter(|_| older.peek().is_some());
    Ok(json!({ "segments": rows, "next": next, "open": opened, "sealed_or_archived": total }))
}

fn id_of(file: &StoreFile) -> Option<SegmentId> {
    match file.name {
        FileName::Sealed(id) | FileName::Archive(id, _) => Some(id),
        _ => None,
    }
}

struct Reader<'a> {
    disk: Disk,
    dir: &'a Path,
    tables: Tables,
    buffer: Vec<u8>,
    /// Bytes that may still be read of files without a table.
    left: u64,
}

impl Reader<'_> {
    fn row(&mut self, file: &StoreFile) -> Value {
        let (stream, shard, state) = match file.name {
            FileName::Open(stream, shard) => (stream, shard, "open"),
            FileName::Archive(id, _) => (id.stream, id.shard, "archived"),
            FileName::Sealed(id) => (id.stream, id.shard, "sealed"),
            _ => return Value::Null,
        };
        // What can't be read is listed all the same: without what would have told more.
        let table = self.table(file);
        let totals = table.as_ref().map(Meta::totals);
        let time = totals.as_ref().and_then(|totals| totals.time);
        json!({
            "name": file.name.to_string(),
            "stream": stream.name(),
            "shard": shard.index(),
            "state": state,
            "sealed": id_of(file).map(|id| Timestamp(id.sealed_at_s as i64 * 1_000_000).to_rfc3339()),
            "first": time.map(|time| Timestamp(time.min_us).to_rfc3339()),
            "last": time.map(|time| Timestamp(time.max_us).to_rfc3339()),
            "lines": totals.as_ref().map(|totals| totals.lines),
            "raw_bytes": if state == "archived" { totals.as_ref().map(|totals| totals.raw_len) } else { Some(file.len) },
            "stored_bytes": file.len,
        })
    }

    /// From its file, or else from its lines, as long as there are not too many of them.
    fn table(&mut self, file: &StoreFile) -> Option<Meta> {
        let read =
            id_of(file).and_then(|id| catalog::read_table(&self.disk, &id.meta_name().in_dir(self.dir), &mut self.buffer).ok().flatten());
        if read.as_ref().is_some_and(|meta| meta.archive_bytes() == file.len) {
            return read;
        }
        if matches!(file.name, FileName::Archive(..)) || self.left < file.len {
            return None;
        }
        self.left -= file.len;
        let held = self.disk.open(&file.name.in_dir(self.dir)).ok()?;
        self.tables.of_raw(&held).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_without_a_gap() {
        let dir = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..5).map(|n| format!("logs_20261124_15000{}_s00_00000{n}.jsonl", n / 2)).collect();
        for name in ["logs.jsonl", "rejected.jsonl", "notes.txt"].into_iter().chain(names.iter().map(String::as_str)) {
            std::fs::write(dir.path().join(name), "{\"ts\":\"2026-11-24T14:59:59Z\"}\n{\"ts\":\"2026-11-24T14:59:58Z\"}\n").unwrap();
        }
        let page = |params: Params| list(dir.path(), &params.page(Stream::Logs).unwrap()).unwrap();
        let mut seen = Vec::new();
        let mut next = None;
        loop {
            let page = page(Params { limit: Some(2), before: next, stream: Some(Lines::Logs) });
            for row in page["segments"].as_array().unwrap() {
                assert_eq!(
                    (&row["lines"], &row["first"], &row["last"]),
                    (&json!(2), &json!("2026-11-24T14:59:58.000000Z"), &json!("2026-11-24T14:59:59.000000Z"))
                );
                seen.push(row["name"].as_str().unwrap().to_owned());
            }
            next = page["next"].as_str().map(str::to_owned);
            if next.is_none() {
                break;
            }
        }
        let expected: Vec<String> = ["logs.jsonl".to_owned()].into_iter().chain(names.into_iter().rev()).collect();
        assert_eq!(seen, expected);
        assert_eq!(page(Params::default())["segments"].as_array().unwrap().len(), 7);
    }

    #[test]
    fn accepted_lines_are_those_of_the_process() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["logs.jsonl", "rejected.jsonl", "collected.jsonl"] {
            std::fs::write(dir.path().join(name), "{}\n").unwrap();
        }
        let accepted = Params { stream: Some(Lines::Accepted), ..Params::default() };
        for (stream, name) in [(Stream::Logs, "logs.jsonl"), (Stream::Collected, "collected.jsonl")] {
            let listed = list(dir.path(), &accepted.page(stream).unwrap()).unwrap();
            let names: Vec<&str> = listed["segments"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
            assert_eq!(names, [name]);
        }
    }

    #[test]
    fn bad_requests_are_told_apart() {
        let bad = |params: Params| params.page(Stream::Logs).unwrap_err();
        assert!(bad(Params { limit: Some(0), ..Params::default() }).contains("1 to"));
        assert!(bad(Params { before: Some("../../etc/passwd".to_owned()), ..Params::default() }).contains("name"));
    }
}

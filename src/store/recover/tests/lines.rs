//! Making and reading data directories by hand, without the code under test.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::record::stored::StoredScanner;
use crate::store::codec::Compressor;
use crate::store::cut::scan_block;
use crate::store::disk::{Disk, FileHook, Op};
use crate::store::meta::Meta;
use crate::store::name::{Codec, FileName};

/// Every file of a directory with its bytes.
pub(in crate::store::recover) fn snapshot(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())).collect()
}

/// All whole lines of all segments, sorted; an archive that can't be decoded to its end has none.
pub(in crate::store::recover) fn lines(dir: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, bytes) in snapshot(dir) {
        let text = match FileName::parse(&name) {
            Some(FileName::Open(..) | FileName::Sealed(_)) => bytes,
            Some(FileName::Archive(_, codec)) => decoded(codec, &bytes).unwrap_or_default(),
            _ => continue,
        };
        let whole = &text[..text.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1)];
        lines.extend(String::from_utf8_lossy(whole).lines().map(str::to_owned));
    }
    lines.sort();
    lines
}

/// Decodes as a stock tool would.
pub(in crate::store::recover) fn decoded(codec: Codec, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    match codec {
        Codec::Gzip => flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut out)?,
        Codec::Zstd => zstd::Decoder::new(bytes)?.read_to_end(&mut out)?,
    };
    Ok(out)
}

/// `text` in two blocks, and the table.
pub(in crate::store::recover) fn archive(codec: Codec, text: &[u8]) -> (Vec<u8>, Meta) {
    let middle = text[..text.len() / 2].iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
    let (mut bytes, mut block, mut meta) = (Vec::new(), Vec::new(), Meta::new(Some(codec)));
    let mut compressor = Compressor::new(codec).unwrap();
    for raw in [&text[..middle], &text[middle..]] {
        if !raw.is_empty() {
            let crc = compressor.compress(raw, 1, &mut block).unwrap();
            bytes.extend_from_slice(&block);
            meta.push(block.len() as u64, Some(crc), scan_block(raw, &mut StoredScanner::default()));
        }
    }
    (bytes, meta)
}

/// The table of a finished raw segment.
pub(in crate::store::recover) fn raw_table(text: &[u8]) -> Meta {
    let mut meta = Meta::new(None);
    meta.push(text.len() as u64, None, scan_block(text, &mut StoredScanner::default()));
    meta
}

/// Stops the world after some operations that change the disk: a write that is the last one is cut short, and everything after it fails.
#[derive(Debug)]
pub(super) struct Crash(AtomicI64);

impl Crash {
    pub(super) fn after(operations: usize) -> Arc<Crash> {
        Arc::new(Crash(AtomicI64::new(operations as i64)))
    }

    pub(super) fn disk(self: &Arc<Self>) -> Disk {
        Disk::with_hook(self.clone())
    }

    pub(super) fn has_happened(&self) -> bool {
        self.0.load(Ordering::SeqCst) < 0
    }

    /// How many operations are left after this one.
    fn step(&self, op: Op) -> io::Result<i64> {
        let left = if op.changes() { self.0.fetch_sub(1, Ordering::SeqCst) - 1 } else { self.0.load(Ordering::SeqCst) };
        if left < 0 { Err(io::Error::other("the test stops here")) } else { Ok(left) }
    }
}

impl FileHook for Crash {
    fn before(&self, op: Op, _: &Path) -> io::Result<()> {
        self.step(op).map(drop)
    }

    fn before_write(&self, _: &Path, len: usize) -> io::Result<usize> {
        self.step(Op::Write).map(|left| if left == 0 { len.div_ceil(2) } else { len })
    }
}

//! Cursors in directories whose segments are written, sealed, archived and deleted, step by step and by threads.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::store::codec::Compressor;
use crate::store::cut::scan_block;
use crate::store::level::LevelChoice;
use crate::store::meta::Meta;
use crate::store::open::SegmentWriter;
use crate::store::permits::RawPermits;
use crate::store::pool::{Pool, PoolConfig};
use crate::store::segment::{SealedSegment, Sequence};

const SHARDS: usize = 2;

/// A data directory and the writing ends of its `logs`, with what was written and what of it is durable.
struct World {
    dir: TempDir,
    writers: Vec<[SegmentWriter; Stream::SLOTS]>,
    permits: Arc<RawPermits>,
    /// Sealed and not archived yet, oldest first.
    sealed: Vec<SealedSegment>,
    written: [Vec<u8>; SHARDS],
    /// By shard and number: the bytes of its raw file that were synced.
    synced: BTreeMap<(usize, u64), usize>,
    /// By shard and number: up to where in `written` the segment goes, and whether it is durable as a whole.
    segments: BTreeMap<(usize, u64), (usize, bool)>,
    lines: u64,
}

impl World {
    fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let writer = |stream, shard| {
            let tag = ShardTag::of(shard, SHARDS);
            SegmentWriter::new(Disk::new(), dir.path(), stream, tag, Sequence::new(stream, tag, 1))
        };
        let writers = (0..SHARDS).map(|shard| Stream::BY_SLOT.map(|stream| writer(stream, shard))).collect();
        World {
            writers,
            dir,
            permits: RawPermits::new(1_000_000),
            sealed: Vec::new(),
            written: Default::default(),
            synced: BTreeMap::new(),
            segments: BTreeMap::new(),
            lines: 0,
        }
    }

    fn reader(&self) -> StoreReader {
        let marks =
            Marks::new(Stream::Logs, self.writers.iter().map(|streams| std::array::from_fn(|stream| streams[stream].mark())).collect());
        StoreReader { disk: Disk::new(), dir: self.dir.path().to_owned(), marks }
    }

    fn cursor(&self, reach: Reach, start: &Start) -> Cursor {
        Cursor::new(self.reader(), Stream::Logs, reach, start).unwrap()
    }

    fn logs(&mut self, shard: usize) -> &mut SegmentWriter {
        &mut self.writers[shard][Stream::Logs.slot()]
    }

    fn append(&mut self, shard: usize, lines: usize) {
        let mut bytes = Vec::new();
        for _ in 0..lines {
            self.lines += 1;
            let line = format!("{{\"shard\":{shard},\"line\":{},\"x\":\"{}\"}}\n", self.lines, "x".repeat(self.lines as usize * 37 % 300));
            bytes.extend_from_slice(line.as_bytes());
        }
        if self.logs(shard).needs_permit() {
            let permit = self.permits.try_claim().unwrap();
            self.logs(shard).give_permit(permit);
        }
        self.logs(shard).append(&bytes, &mut 0).unwrap();
        self.written[shard].extend_from_slice(&bytes);
    }

    fn sync(&mut self, shard: usize) {
        let Some(target) = self.logs(shard).sync_target() else { return };
        target.sync().unwrap();
        let (seq, len) = self.logs(shard).mark().written();
        self.synced.retain(|(of, _), _| *of != shard); // a mark knows the last one only
        self.synced.insert((shard, seq), len as usize);
    }

    fn seal(&mut self, shard: usize) {
        if self.logs(shard).is_empty() {
            return;
        }
        let sealed = self.logs(shard).seal(None).unwrap();
        self.segments.insert((shard, sealed.id.seq), (self.written[shard].len(), false));
        self.sealed.push(sealed);
    }

    /// What the pool does to one sealed segment: any of them, in a block table or without one.
    fn archive(&mut self, at: usize, codec: Option<Codec>, has_table: bool) {
        if self.sealed.is_empty() {
            return;
        }
        let segment = self.sealed.remove(at % self.sealed.len());
        archive_by_hand(self.dir.path(), &segment, codec, has_table || codec.is_none());
        let shard = segment.id.shard.index();
        self.segments.get_mut(&(shard, segment.id.seq)).unwrap().1 = true;
    }

    /// How much of the shard's part is durable: finished segments without a gap, and what was synced of the next one.
    fn durable(&self, shard: usize) -> usize {
        let mut start = 0;
        for (key, (end, is_finished)) in self.segments.range((shard, 0)..=(shard, u64::MAX)) {
            if !is_finished {
                return start + self.synced.get(key).copied().unwrap_or(0);
            }
            start = *end;
        }
        let open = self.writers[shard][Stream::Logs.slot()].mark().seq();
        start + self.synced.get(&(shard, open)).copied().unwrap_or(0)
    }
}

fn archive_by_hand(dir: &Path, segment: &SealedSegment, codec: Option<Codec>, has_table: bool) {
    let raw = fs::read(&segment.path).unwrap();
    let mut meta = Meta::new(codec);
    let mut archive = Vec::new();
    let lines: Vec<&[u8]> = raw.split_inclusive(|byte| *byte == b'\n').collect();
    for block in lines.chunks(3) {
        let block = block.concat();
        let mut out = Vec::new();
        let len = match codec {
            Some(codec) => Compressor::new(codec).unwrap().compress(&block, 1, &mut out).map(|_| out.len()).unwrap(),
            None => block.len(),
        };
        archive.extend_from_slice(&out);
        meta.push(len as u64, None, scan_block(&block, &mut Default::default()));
    }
    if let Some(codec) = codec {
        fs::write(segment.id.archive_name(Some(codec)).in_dir(dir), archive).unwrap();
    }
    if has_table {
        fs::write(segment.id.meta_name().in_dir(dir), meta.encode()).unwrap();
    }
    if codec.is_some() {
        fs::remove_file(&segment.path).unwrap();
    }
}

/// Reads everything there is into `read`, by shard.
fn read_all(cursor: &mut Cursor, read: &mut [Vec<u8>; SHARDS]) {
    while let Some(chunk) = cursor.next().unwrap() {
        assert!(chunk.lines.ends_with(b"\n"));
        read[chunk.shard].extend_from_slice(chunk.lines);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Append(usize, usize),
    Sync(usize),
    Seal(usize),
    Archive(usize, Option<Codec>, bool),
    /// Reads so many chunks.
    Read(usize),
    /// Goes on with another cursor, perhaps within the last chunk, and a listing of its own.
    Restart(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    let codec = prop_oneof![Just(None), Just(Some(Codec::Gzip)), Just(Some(Codec::Zstd))];
    prop_oneof![
        4 => (0..SHARDS, 1..9usize).prop_map(|(shard, lines)| Step::Append(shard, lines)),
        1 => (0..SHARDS).prop_map(Step::Sync),
        2 => (0..SHARDS).prop_map(Step::Seal),
        2 => (0..9usize, codec, any::<bool>()).prop_map(|(at, codec, has_table)| Step::Archive(at, codec, has_table)),
        3 => (1..4usize).prop_map(Step::Read),
        1 => (0..9usize).prop_map(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_comes_out_is_what_was_written(steps in prop::collection::vec(any_step(), 1..60), is_durable in any::<bool>()) {
        let reach = if is_durable { Reach::Durable } else { Reach::Written };
        let mut world = World::new();
        let mut cursor = world.cursor(reach, &Start::Beginning);
        let mut read: [Vec<u8>; SHARDS] = Default::default();
        let mut last: Option<(usize, usize, Positions)> = None;
        let mut durable = [0; SHARDS];
        for step in steps {
            match step {
                Step::Append(shard, lines) => world.append(shard, lines),
                Step::Sync(shard) => world.sync(shard),
                Step::Seal(shard) => world.seal(shard),
                Step::Archive(at, codec, has_table) => world.archive(at, codec, has_table),
                Step::Read(chunks) => {
                    for _ in 0..chunks {
                        let Some(chunk) = cursor.next().unwrap() else { break };
                        read[chunk.shard].extend_from_slice(chunk.lines);
                        // A place within the chunk: the end of its first line.
                        let first = chunk.lines.iter().position(|byte| *byte == b'\n').unwrap() + 1;
                        let (shard, unread, within) = (chunk.shard, chunk.lines.len() - first, chunk.position(first));
                        prop_assert_eq!(chunk.position(chunk.lines.len()).seq, chunk.seq);
                        let mut positions = cursor.positions();
                        positions.0.insert(shard, within);
                        last = Some((shard, unread, positions));
                    }
                }
                Step::Restart(choice) => {
                    let mut positions = cursor.positions();
                    if choice % 2 == 0 && let Some((shard, unread, within)) = last.take() {
                        let len = read[shard].len() - unread;
                        read[shard].truncate(len);
                        positions = within;
                    }
                    cursor = world.cursor(reach, &Start::At(positions.to_string().parse().unwrap()));
                }
            }
            for shard in 0..SHARDS {
                prop_assert!(world.written[shard].starts_with(&read[shard]), "shard {}", shard);
                durable[shard] = durable[shard].max(world.durable(shard));
                prop_assert!(reach == Reach::Written || read[shard].len() <= durable[shard], "shard {}", shard);
            }
        }
        for shard in 0..SHARDS {
            world.sync(shard);
        }
        read_all(&mut cursor, &mut read);
        for shard in 0..SHARDS {
            let all = world.written[shard].len();
            let (least, most) = if reach == Reach::Written { (all, all) } else { (world.durable(shard), durable[shard].max(world.durable(shard))) };
            prop_assert!((least..=most).contains(&read[shard].len()) && world.written[shard].starts_with(&read[shard]), "shard {}", shard);
        }
        while !world.sealed.is_empty() {
            world.archive(0, Some(Codec::Gzip), true);
        }
        read_all(&mut cursor, &mut read);
        prop_assert_eq!(&world.written, &read);
        prop_assert_eq!((cursor.losses(), cursor.backlog().unwrap()), (Losses::default(), Backlog::default()));
    }
}

#[test]
fn the_beginning_and_the_end_are_where_they_are_now() {
    let mut world = World::new();
    world.append(0, 5);
    world.seal(0);
    world.append(0, 5);
    world.append(1, 5);
    let written = world.written.clone();
    let mut end = world.cursor(Reach::Written, &Start::End);
    let mut beginning = world.cursor(Reach::Written, &Start::Beginning);
    assert_eq!(end.next().unwrap(), None);
    world.append(1, 1);
    world.seal(1);
    world.archive(1, Some(Codec::Zstd), true);
    let mut read: [Vec<u8>; SHARDS] = Default::default();
    read_all(&mut end, &mut read);
    assert_eq!(read, [Vec::new(), world.written[1][written[1].len()..].to_vec()]);
    let mut read: [Vec<u8>; SHARDS] = Default::default();
    read_all(&mut beginning, &mut read);
    assert_eq!(read, world.written);
}

#[test]
fn what_was_deleted_unread_is_passed_over_and_counted() {
    let mut world = World::new();
    let mut cursor = world.cursor(Reach::Written, &Start::Beginning);
    for _ in 0..4 {
        world.append(0, 3);
        world.seal(0);
        world.archive(0, Some(Codec::Gzip), false);
    }
    world.append(0, 2);
    for file in fs::read_dir(world.dir.path()).unwrap().map(|entry| entry.unwrap().path()) {
        let name = file.file_name().unwrap().to_str().unwrap();
        if name.contains("_000001.") || name.contains("_000003.") {
            fs::remove_file(file).unwrap();
        }
    }
    let mut read: [Vec<u8>; SHARDS] = Default::default();
    read_all(&mut cursor, &mut read);
    let end = |seq| world.segments[&(0, seq)].0;
    assert_eq!(read[0], [&world.written[0][end(1)..end(2)], &world.written[0][end(3)..]].concat());
    assert_eq!(cursor.losses(), Losses { gone_segments: 2, ..Losses::default() });
}

#[test]
fn a_damaged_archive_is_read_as_far_as_it_goes() {
    let mut world = World::new();
    world.append(0, 9);
    world.seal(0);
    world.archive(0, Some(Codec::Zstd), true);
    world.append(0, 1);
    let archive =
        fs::read_dir(world.dir.path()).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.extension().unwrap() == "zst").unwrap();
    let bytes = fs::read(&archive).unwrap();
    fs::write(&archive, &bytes[..bytes.len() - 5]).unwrap();
    let mut cursor = world.cursor(Reach::Written, &Start::Beginning);
    let mut read: [Vec<u8>; SHARDS] = Default::default();
    read_all(&mut cursor, &mut read);
    let lines: Vec<&[u8]> = world.written[0].split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(read[0], [lines[..6].concat(), lines[9].to_vec()].concat());
    assert_eq!(cursor.losses(), Losses { damaged_segments: 1, ..Losses::default() });
    // A position in it is taken as it is, instead of reading everything again.
    let mut positions = cursor.positions();
    positions.0.insert(0, Position { seq: 1, offset: world.segments[&(0, 1)].0 as u64, fingerprint: 1 });
    assert_eq!(world.cursor(Reach::Written, &Start::At(positions.clone())).positions(), positions);
}

#[test]
fn a_position_is_known_again_where_numbers_have_begun_anew_and_refused_where_the_lines_are_others() {
    let mut world = World::new();
    world.append(0, 3);
    let mut cursor = world.cursor(Reach::Written, &Start::Beginning);
    read_all(&mut cursor, &mut Default::default());
    let here = cursor.positions().0[&0];
    let at = |position| Start::At(Positions(BTreeMap::from([(0, position)])));
    let renumbered = world.cursor(Reach::Written, &at(Position { seq: 43, ..here }));
    assert_eq!((renumbered.positions().0[&0], renumbered.losses()), (here, Losses::default()));
    for other in [
        Position { fingerprint: here.fingerprint ^ 1, ..here },
        Position { offset: here.offset - 1, ..here },
        Position { offset: here.offset + 1, ..here },
        Position { seq: 43, offset: 7, fingerprint: 7 },
        Position::start_of(43),
    ] {
        let cursor = world.cursor(Reach::Written, &at(other));
        assert_eq!((cursor.positions().0[&0], cursor.losses().positions), (Position::start_of(1), 1), "{other:?}");
    }
}

#[test]
fn a_line_longer_than_a_block_comes_out_whole() {
    let mut world = World::new();
    world.append(0, 1);
    let line = [vec![b'x'; 3 * BLOCK_BYTES], b"\n".to_vec()].concat();
    world.logs(0).append(&line, &mut 0).unwrap();
    world.written[0].extend_from_slice(&line);
    world.append(0, 1);
    for is_archived in [false, true] {
        let mut cursor = world.cursor(Reach::Written, &Start::Beginning);
        let mut read: [Vec<u8>; SHARDS] = Default::default();
        read_all(&mut cursor, &mut read);
        assert!(read == world.written);
        if !is_archived {
            world.seal(0);
            world.archive(0, Some(Codec::Gzip), true);
        }
    }
}

/// The real pool seals, archives and removes under two cursors as fast as it can.
#[test]
fn cursors_follow_while_segments_change_under_them() {
    for codec in [None, Some(Codec::Gzip), Some(Codec::Zstd)] {
        let mut world = World::new();
        let config = PoolConfig {
            dir: world.dir.path().to_owned(),
            codec,
            level: LevelChoice::Auto,
            index: crate::store::filter::Index::On,
            threads: 2,
            cores: Vec::new(),
            disk: Disk::new(),
            on_fatal: Box::new(|error| panic!("{error}")),
        };
        let pool = Pool::start(config, &world.permits).unwrap();
        let (reader, is_done) = (world.reader(), AtomicBool::new(false));
        let read = std::thread::scope(|scope| {
            let threads: Vec<_> = [Reach::Written, Reach::Durable]
                .into_iter()
                .map(|reach| {
                    let (reader, is_done) = (reader.clone(), &is_done);
                    scope.spawn(move || {
                        let mut read: [Vec<u8>; SHARDS] = Default::default();
                        let mut cursor = Cursor::new(reader.clone(), Stream::Logs, reach, &Start::Beginning).unwrap();
                        let mut reads = 0;
                        loop {
                            let is_last = is_done.load(Ordering::Acquire);
                            read_all(&mut cursor, &mut read);
                            reads += 1;
                            if reads % 3 == 0 {
                                let start = Start::At(cursor.positions());
                                assert_eq!(cursor.losses(), Losses::default());
                                cursor = Cursor::new(reader.clone(), Stream::Logs, reach, &start).unwrap();
                            }
                            if is_last {
                                return read;
                            }
                        }
                    })
                })
                .collect();
            for round in 0..150 {
                for shard in 0..SHARDS {
                    for _ in 0..3 {
                        world.append(shard, 1 + round % 7);
                    }
                    if round % 5 == 0 {
                        world.sync(shard);
                    }
                    world.seal(shard);
                }
                world.sealed.drain(..).for_each(|segment| pool.handle().submit(segment));
            }
            world.append(0, 1);
            world.sync(0);
            assert_eq!(pool.drain(Duration::from_secs(60)).left, 0);
            is_done.store(true, Ordering::Release);
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        for read in read {
            assert!(read == world.written, "{codec:?}");
        }
    }
}

//! No allocation per record: an allocator that counts looks on while records of every format go through a shard's core.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use logboom::record::Timestamp;
use logboom::record::detect::{Format, Reading};
use logboom::record::framer::{Chunk, Framer, PADDING};
use logboom::record::text::pattern::Patterns;
use logboom::rules::syntax::{Matcher, TagRule};
use logboom::rules::{RuleTexts, Rules};
use logboom::shard::batch::Batch;
use logboom::shard::core::{Progress, ShardCore, Source};
use logboom::shard::lane::{Arrival, Lane};
use logboom::store::name::Stream;
use logboom::store::policy::RotationPolicy;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is passed on to the system's allocator; the counter is a constant-initialized thread local without destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract.
        unsafe { System.realloc(at, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ARRIVAL: Arrival = Arrival { received_ns: 1, wall: Timestamp(1_795_532_400_000_000) };

/// Allocations while `bytes` go through a core a hundred times, in pieces of `piece` bytes, after two rounds to warm up: the second has met the names that the first gave to columns.
fn allocations(format: Format, rules: &RuleTexts, bytes: &[u8], piece: usize) -> u64 {
    let policy = RotationPolicy { bytes_max: 1 << 40, age_ms_max: u64::MAX };
    let reading = Reading::from(format);
    let mut core = ShardCore::new(&reading, Lane::new(policy, 0, 0), Lane::new(policy, 0, 0))
        .with_rules(Rules::compile(rules).expect("valid"), Patterns::default());
    let mut framer = Framer::for_format(format, 1 << 20);
    let mut source = Source::new("peer".to_owned(), &reading);
    let mut spare = Some(Batch::default());
    let mut received = vec![0; piece + PADDING];
    let mut before = 0;
    for round in 0..102 {
        if round == 2 {
            before = ALLOCATIONS.get();
        }
        for piece in bytes.chunks(piece) {
            received[..piece.len()].copy_from_slice(piece);
            let mut chunk = Chunk::new(&mut received, piece.len());
            assert_eq!(core.take(&mut framer, &mut chunk, ARRIVAL, &mut source), Progress::Drained);
        }
        let rejected = core.lane(Stream::Rejected).appended_records();
        assert_eq!(rejected, 0, "{format:?}");
        let mut filled = core.lane_mut(Stream::Logs).swap(spare.take().expect("two batches"));
        assert!(!filled.bytes().is_empty());
        filled.clear();
        spare = Some(filled);
    }
    ALLOCATIONS.get() - before
}

#[test]
fn no_record_allocates() {
    let rfc5424 = "<165>1 2026-11-24T15:00:00.003Z host app 7 ID47 [a@1 x=\"1\" y=\"\\\"2\\\"\" x=\"3\"] \u{feff}text\n";
    let rfc3164 = "<38>Nov 24 15:00:00 host sshd[24200]: Failed password\n<38>Nov 24 15:00:01 host sshd[24200]: again\n<13>no shape\n";
    let text = concat!(
        "2026-11-24 15:00:00,123 WARN [main] a.b.C: slow {x} took=3s\nts=2026-11-24T15:00:00Z level=info msg=\"a \\\"b\\\"\" k=v\n",
        "192.0.2.1 - - [24/Nov/2026:15:00:00 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"x\"\nNov 24 15:00:00 host sshd[1]: x uid=0\n",
    );
    let counted = format!("{} {}", rfc5424.len(), rfc5424);
    let table = [
        (Format::Auto, "{\"level\":\"INFO\",\"timestamp\":\"2026-11-24T15:00:00.123Z\",\"service\":\"auth\",\"message\":\"hello\"}\n"),
        (Format::Text, "plain text\n"),
        (Format::Auto, text),
        (Format::Auto, rfc5424),
        (Format::Auto, rfc3164),
        (Format::Syslog, rfc3164),
        (Format::Auto, &counted),
        (Format::Csv, "timestamp,level,service,message\n2026-11-24T15:00:00Z,warn,auth,\"hello, \"\"you\"\"\nthere\"\n1,info,a,plain\n"),
    ];
    let matcher = |text| Matcher::parse(text).expect("valid");
    let tags = ["a=line=o", "b=level=WARN|INFO", "c=service:auth", "d=e"].map(|text| TagRule::parse(text).expect("valid"));
    let rules = RuleTexts { filters: vec![matcher("[a-z]")], excludes: vec![matcher("level=FATAL")], tags: tags.to_vec() };
    for (format, bytes) in table {
        for piece in [bytes.len(), 7] {
            for rules in [&RuleTexts::default(), &rules] {
                let count = allocations(format, rules, bytes.as_bytes(), piece);
                assert_eq!(count, 0, "{format:?} in pieces of {piece} with {} tags: {bytes}", rules.tags.len());
            }
        }
    }
}

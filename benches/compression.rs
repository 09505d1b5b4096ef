//! What a block costs at each level, both ways. The ratio is printed once per level; docs/adr/0002-compression-engines.md has the figures of one machine.

use divan::Bencher;
use divan::counter::BytesCount;
use logboom::limits::BLOCK_BYTES;
use logboom::store::codec::{BlockReader, Compressor};
use logboom::store::filter::FilterBuilder;
use logboom::store::name::Codec;

mod lines;

const LEVELS: [(Codec, i32); 7] =
    [(Codec::Gzip, 1), (Codec::Gzip, 3), (Codec::Gzip, 5), (Codec::Gzip, 8), (Codec::Zstd, 1), (Codec::Zstd, 6), (Codec::Zstd, 9)];

fn main() {
    let raw = block();
    for (codec, level) in LEVELS {
        println!("{} level {level}: ratio {:.2}", codec.name(), raw.len() as f64 / compressed(&raw, codec, level).len() as f64);
    }
    divan::main();
}

/// One full block of whole lines.
fn block() -> Vec<u8> {
    let mut raw = lines::json(BLOCK_BYTES / 200);
    let end = memchr::memrchr(b'\n', &raw[..BLOCK_BYTES]).expect("a newline") + 1;
    raw.truncate(end);
    raw
}

fn compressed(raw: &[u8], codec: Codec, level: i32) -> Vec<u8> {
    let mut out = Vec::new();
    Compressor::new(codec).and_then(|mut compressor| compressor.compress(raw, level, &mut out)).expect("compressed");
    out
}

#[divan::bench(args = LEVELS)]
fn compress(bencher: Bencher, (codec, level): (Codec, i32)) {
    let raw = block();
    let mut compressor = Compressor::new(codec).expect("an engine");
    let mut out = Vec::new();
    bencher.counter(BytesCount::new(raw.len())).bench_local(|| compressor.compress(&raw, level, &mut out).expect("compressed"));
}

/// To be at most a third of zstd level 1 (docs/adr/0008-token-filters.md).
#[divan::bench]
fn token_filter(bencher: Bencher) {
    let raw = block();
    let mut builder = FilterBuilder::default();
    bencher.counter(BytesCount::new(raw.len())).bench_local(|| builder.build(&raw, BLOCK_BYTES / 12).expect("a filter"));
}

#[divan::bench(args = LEVELS)]
fn decompress(bencher: Bencher, (codec, level): (Codec, i32)) {
    let raw = block();
    let archive = compressed(&raw, codec, level);
    let mut out = Vec::with_capacity(raw.len());
    bencher.counter(BytesCount::new(raw.len())).bench_local(|| {
        BlockReader::new(codec, &archive[..]).next_block(&mut out).expect("a block");
        assert_eq!(out.len(), raw.len());
    });
}

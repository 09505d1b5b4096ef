//! The memory that the process can need at most, as a sum. Bounded by construction: each line is a limit that some code holds.

use super::{
    ARCHIVE_READ_BYTES, BATCH_BYTES, BATCHES_PER_STREAM, BLOCK_BYTES, CSV_COLUMNS_MAX, CSV_HEADER_BYTES_MAX, EXECUTOR_IO_BYTES,
    HISTORY_SAMPLES_MAX, HTTP_BUFFER_BYTES, HTTP_CONNECTIONS_MAX, HTTP_DOWNLOAD_PIECE_BYTES, HTTP_DOWNLOADS_MAX, HTTP_REQUESTS_MAX,
    HTTP_SEARCH_BLOCKS_MAX, HTTP_SEARCH_GROUPS_MAX, HTTP_SEARCH_PIECE_BYTES, HTTP_SEARCH_PIECES_MAX, HTTP_SEARCH_WAITING_BYTES_MAX,
    HTTP_TAIL_EVENTS_BYTES_MAX, HTTP_TAIL_PIECE_BYTES, HTTP_TAIL_PIECES_MAX, INDEX_LATE_SEGMENT_BYTES, INDEX_LATE_SEGMENTS_MAX, KIB,
    LITERAL_AUTOMATON_BYTES_MAX, MIB, PARTIAL_SHARED_BYTES, PARTIAL_SMALL_BYTES, QUERY_REGEX_BYTES_MAX, QUERY_REGEXES_MAX, QUERY_TERMS_MAX,
    RECEIVE_BYTES, REGEX_CACHE_BYTES, REGEX_PROGRAM_BYTES_MAX, RELP_ANSWER_BYTES, RELP_ANSWER_RUNS_MAX, RELP_MEMORIES_MAX,
    RELP_RESEND_LINES_MAX, RULE_SHOWN_BYTES_MAX, RULES_MAX, SEARCH_BLOCK_BYTES, SEARCH_GROUP_NAME_BYTES_MAX, SEARCH_GROUPS_MAX,
    SEARCH_LINE_BYTES, SERVICE_NAME_BYTES_MAX, SERVICES_MAX, SHARDS_MAX, SOURCE_NAME_BYTES_MAX, SOURCES_COUNTED_MAX, SOURCES_SHOWN_MAX,
    TEXT_SHAPE_BYTES_MAX, WATCH_FILES_MAX, WATCH_FORMER_MAX, WATCH_READS_MAX,
};

/// Program, allocator, thread stacks and everything small.
const BASE_BYTES: usize = 24 * MIB;
/// One connection's task, socket, peer name and timers, without its unfinished line.
const CONNECTION_BYTES: usize = 8 * KIB;
/// What is remembered of one RELP session's lines.
const RELP_MEMORY_BYTES: usize = 8 * RELP_RESEND_LINES_MAX;
/// What a RELP connection may keep of its answers: their queue, and twice what is sent at once; and of its lines, and of those of the session before it.
const RELP_ANSWERS_BYTES: usize = 24 * RELP_ANSWER_RUNS_MAX + 2 * RELP_ANSWER_BYTES + 2 * RELP_MEMORY_BYTES;
/// The columns that a connection keeps: names, which may be numbered, and where they end, in vectors that grow.
const CSV_HEADER_KEPT_BYTES: usize = GROWTH * (CSV_HEADER_BYTES_MAX + 10 * CSV_COLUMNS_MAX);
/// A shard's rings, task queues, histograms and helper threads.
const SHARD_BASE_BYTES: usize = 4 * MIB;
/// A vector that grows has up to twice the room that it needs.
const GROWTH: usize = 2;
/// simd-json's tape (24 bytes a node) and structural index (4) are largest where every byte of a line is a node; serde_json's second opinion keeps a byte for
/// each level of nesting. simd-json's stack has a fixed depth.
const SCANNER_BYTES_PER_LINE_BYTE: usize = GROWTH * (24 + 4 + 1);
/// Both engines of gzip at every level, or zstd's context at its highest level for blocks of [`BLOCK_BYTES`]; it has no larger one for longer blocks.
pub(crate) const COMPRESSOR_BYTES: usize = 12 * MIB;
/// The longest answer over HTTP: every service that is counted by name, each byte of it a `\u00XX`, every source and rule that is shown, and 1 KiB for each of the most shards.
const HTTP_ANSWER_BYTES: usize = GROWTH
    * (SERVICES_MAX * (6 * SERVICE_NAME_BYTES_MAX + 64)
        + SOURCES_SHOWN_MAX * (SOURCE_NAME_BYTES_MAX + 24)
        + RULES_MAX * (7 * RULE_SHOWN_BYTES_MAX + 128)
        + SHARDS_MAX * KIB);
/// The names of sources of one table, and their counts.
const SOURCES_BYTES: usize = SOURCES_COUNTED_MAX * (SOURCE_NAME_BYTES_MAX + 64);
/// One HTTP connection's task and buffers in both directions, and an answer that the peer has not read yet.
const HTTP_CONNECTION_BYTES: usize = 8 * KIB + GROWTH * 2 * HTTP_BUFFER_BYTES + HTTP_ANSWER_BYTES;
/// One HTTP request under way with its answer.
const HTTP_REQUEST_BYTES: usize = 512 * KIB;
/// The hashes of a block's words: up to 175,000 (three bits of the longest filter each), and a table of 16 KiB.
const FILTER_WORDS_BYTES: usize = GROWTH * 175_000 * 8 + 16 * KIB;
/// What the automata of the largest query take in one thread: that of each literal, those of its regular expressions, and the two that blocks are searched with.
const QUERY_AUTOMATA_BYTES: usize = QUERY_TERMS_MAX * 3 * LITERAL_AUTOMATON_BYTES_MAX + (QUERY_REGEXES_MAX + 2) * 3 * QUERY_REGEX_BYTES_MAX;
/// `{}` and a newline.
const STORED_LINE_BYTES_MIN: usize = 3;
/// A sample of the history, its text in an event, and what its latencies are differences of.
const HISTORY_BYTES: usize = HISTORY_SAMPLES_MAX * (200 + GROWTH * 300) + 6 * 256 * KIB;
/// A decoder of zstd or gzip.
const DECODER_BYTES: usize = MIB;
/// A raw segment's name, block table and place in the queues.
const SEGMENT_BYTES: usize = 16 * KIB;
/// Streams per shard: `logs` and `rejected`.
const STREAMS: usize = 2;

/// What is known of one followed file: its paths, identity and offsets, in the tables of the thread that watches, and in its checkpoints.
const FILE_BYTES: usize = 4 * KIB;

/// An output's thread, decoder, buffers, and what SQLite keeps of its pages.
const OUTPUT_BASE_BYTES: usize = 8 * MIB;

/// What one set of regexes of the configuration may cache on one shard: in both directions, and for what no automaton can do as much again.
const REGEX_SET_BYTES: usize = 4 * REGEX_CACHE_BYTES;

/// What the budget depends on.
#[derive(Debug, Clone, Copy)]
pub struct BudgetInputs {
    /// Shards.
    pub shards: usize,
    /// Connections over all shards.
    pub connections_max: usize,
    /// Those of them that may speak RELP.
    pub relp_connections_max: usize,
    /// Those of them that may send CSV headers.
    pub csv_connections_max: usize,
    /// The longest line.
    pub line_bytes_max: usize,
    /// Compress threads.
    pub compress_threads: usize,
    /// Raw segments on disk.
    pub raw_segments: usize,
    /// Sets of regexes that lines are matched with.
    pub regex_sets: usize,
    /// Whether files are followed.
    pub follows_files: bool,
    /// Outputs beside the segments.
    pub outputs: usize,
    /// Live tails over HTTP at once.
    pub tails: usize,
    /// Searches over HTTP at once.
    pub searches: usize,
    /// Token filters of one segment, in bytes.
    pub segment_filters_bytes_max: usize,
}

/// Bytes by what they are for.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    /// Name and bytes of each part.
    pub parts: Vec<(&'static str, u64)>,
}

impl MemoryBudget {
    /// The budget of one configuration.
    pub fn new(inputs: &BudgetInputs) -> Self {
        let &BudgetInputs {
            shards,
            connections_max,
            relp_connections_max,
            csv_connections_max,
            line_bytes_max,
            compress_threads,
            raw_segments,
            regex_sets,
            follows_files,
            outputs,
            tails,
            searches,
            segment_filters_bytes_max,
        } = inputs;
        let record_bytes_max = stored_bytes_max(line_bytes_max);
        // A batch is closed when it is full, so the record that fills it may stand out; one more may be held for the next segment.
        let stream_bytes = BATCHES_PER_STREAM * (BATCH_BYTES + record_bytes_max) + record_bytes_max;
        // The places and the reserve; a line that grows doubles its buffer.
        let partial_bytes = 2 * (PARTIAL_SHARED_BYTES.max(line_bytes_max) + line_bytes_max);
        let scanner_bytes = SCANNER_BYTES_PER_LINE_BYTE * line_bytes_max;
        // What a compress thread reads and what comes out, which is an eighth longer at worst; and, for a segment of a former process, the cutter's buffer, which
        // exists twice while it is doubled. A former process with a longer --line-max leaves longer lines, for which this is no bound.
        let block_bytes = BLOCK_BYTES.max(record_bytes_max);
        let compress_bytes = COMPRESSOR_BYTES + GROWTH * (block_bytes + block_bytes * 5 / 4) + 3 * block_bytes;
        // A block as it is read, where it exists twice while it grows; its longest line as columns, twice as long where all of it is quotes.
        let output_bytes = OUTPUT_BASE_BYTES + 3 * GROWTH * block_bytes + 6 * record_bytes_max;
        // A table waits, with its filters, until its archive is durable, and is then encoded. A thread keeps a block's text, and its words; and, for filters that are
        // made later, a decoder, and a table as it is read and written.
        let late_bytes = DECODER_BYTES + 3 * segment_filters_bytes_max;
        let filters_bytes = (raw_segments + 1) * segment_filters_bytes_max
            + compress_threads * (block_bytes + FILTER_WORDS_BYTES + late_bytes)
            + GROWTH * INDEX_LATE_SEGMENT_BYTES * INDEX_LATE_SEGMENTS_MAX;
        // A block as it is stored, as lines, and as text. Of long lines one is looked at in the whole process.
        let looked_at_bytes = |block_bytes: usize| block_bytes * 5 / 4 + 2 * block_bytes;
        // First tables are read, and made where there are none: the cutter's buffer exists twice while it is doubled. Then blocks: what matches is a run of lines,
        // waits with others, and is sent in pieces; or it is counted in groups, which are then named and written.
        let tables_bytes = 3 * block_bytes + 2 * segment_filters_bytes_max;
        // They are put in order with the help of as many places again.
        let lines_max = BLOCK_BYTES / STORED_LINE_BYTES_MIN;
        let run_bytes = GROWTH * BLOCK_BYTES + SEARCH_LINE_BYTES * (lines_max.next_power_of_two() + lines_max);
        // A row of JSON or CSV is written piece by piece; its service and its message are decoded whole.
        let waiting_bytes = HTTP_SEARCH_WAITING_BYTES_MAX
            + block_bytes
            + 2 * record_bytes_max
            + (HTTP_SEARCH_PIECES_MAX + 2) * GROWTH * HTTP_SEARCH_PIECE_BYTES;
        let counted_bytes =
            2 * SEARCH_GROUPS_MAX * (SEARCH_GROUP_NAME_BYTES_MAX + 128) + HTTP_SEARCH_GROUPS_MAX * 8 * (SEARCH_GROUP_NAME_BYTES_MAX + 64);
        let scan_bytes =
            looked_at_bytes(BLOCK_BYTES) + QUERY_AUTOMATA_BYTES + DECODER_BYTES + (run_bytes + waiting_bytes).max(counted_bytes);
        let search_bytes = GROWTH * HTTP_SEARCH_BLOCKS_MAX * SEARCH_BLOCK_BYTES + tables_bytes.max(scan_bytes);
        let long_line_bytes = if searches > 0 { looked_at_bytes(block_bytes) } else { 0 };
        // A cursor's block and a decoder with what it reads; a line as text; events, and one of a long line.
        let tail_bytes = 3 * block_bytes
            + ARCHIVE_READ_BYTES
            + DECODER_BYTES
            + QUERY_AUTOMATA_BYTES
            + GROWTH * HTTP_TAIL_EVENTS_BYTES_MAX
            + (HTTP_TAIL_PIECES_MAX + 2) * HTTP_TAIL_PIECE_BYTES;
        // What is known of each file, with its entries in tables; and of each that is read a piece of an archive with its decoder, and two records of several lines.
        let files_bytes = (WATCH_FILES_MAX + WATCH_FORMER_MAX) * FILE_BYTES
            + WATCH_READS_MAX * (CONNECTION_BYTES + RECEIVE_BYTES + DECODER_BYTES / 8 + 2 * GROWTH * line_bytes_max);
        let parts = [
            ("base", BASE_BYTES),
            ("connections", connections_max * (CONNECTION_BYTES + PARTIAL_SMALL_BYTES)),
            ("RELP answers", relp_connections_max * RELP_ANSWERS_BYTES),
            ("RELP sessions that ended", if relp_connections_max > 0 { RELP_MEMORIES_MAX * (RELP_MEMORY_BYTES + 128) } else { 0 }),
            ("CSV headers", csv_connections_max * CSV_HEADER_KEPT_BYTES),
            ("shards: executors", shards * (SHARD_BASE_BYTES + EXECUTOR_IO_BYTES)),
            ("shards: receive buffers", shards * RECEIVE_BYTES),
            ("shards: unfinished long lines", shards * partial_bytes),
            ("shards: batches", shards * STREAMS * stream_bytes),
            ("shards: JSON scanners", shards * (scanner_bytes + GROWTH * line_bytes_max)),
            ("shards: CSV fields", if csv_connections_max > 0 { shards * GROWTH * line_bytes_max } else { 0 }),
            ("sources by name", (shards + 1) * SOURCES_BYTES),
            ("shards: regexes", shards * regex_sets * REGEX_SET_BYTES + regex_sets * REGEX_PROGRAM_BYTES_MAX),
            ("compress threads", compress_threads * compress_bytes),
            ("outputs", outputs * output_bytes),
            ("raw segments", raw_segments * SEGMENT_BYTES),
            ("followed files", if follows_files { files_bytes } else { 0 }),
            ("token filters", filters_bytes),
            ("searches over HTTP", searches * search_bytes + long_line_bytes),
            ("live tails over HTTP", tails * tail_bytes),
            ("history of the dashboard", HISTORY_BYTES),
            // One table with its filters at a time, or one raw segment's blocks.
            ("segments over HTTP", tables_bytes + HTTP_DOWNLOADS_MAX * 3 * HTTP_DOWNLOAD_PIECE_BYTES),
            ("http", HTTP_CONNECTIONS_MAX * HTTP_CONNECTION_BYTES + HTTP_REQUESTS_MAX * HTTP_REQUEST_BYTES),
        ];
        Self { parts: parts.map(|(name, bytes)| (name, bytes as u64)).to_vec() }
    }

    /// All parts together, in bytes.
    pub fn total(&self) -> u64 {
        self.parts.iter().map(|(_, bytes)| bytes).sum()
    }
}

/// The longest record that a line of `line_bytes` can become: every byte a `\u00XX` of a JSON string, and the names around it, of which CSV has the most; where the
/// shape of a text line was looked for, it stands in the message, in members and in the layout. Tags have the rest.
fn stored_bytes_max(line_bytes: usize) -> usize {
    let header_or_shape_bytes = (CSV_HEADER_BYTES_MAX + 2 * CSV_COLUMNS_MAX).max(2 * line_bytes.min(TEXT_SHAPE_BYTES_MAX));
    6 * (line_bytes + header_or_shape_bytes) + 8 * KIB
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_daemon_on_two_cores_fits_in_a_gigabyte() {
        let budget = MemoryBudget::new(&BudgetInputs {
            shards: 2,
            connections_max: 10_000,
            relp_connections_max: 0,
            csv_connections_max: 0,
            line_bytes_max: MIB,
            compress_threads: 2,
            raw_segments: 24,
            regex_sets: 0,
            follows_files: false,
            outputs: 0,
            tails: crate::limits::HTTP_TAILS_MAX,
            searches: crate::limits::HTTP_SEARCHES_MAX,
            segment_filters_bytes_max: crate::limits::segment_filters_bytes_max(5_000_000),
        });
        assert!(budget.total() < 1024 * MIB as u64, "{budget:#?}");
        assert_eq!(budget.total(), budget.parts.iter().map(|part| part.1).sum::<u64>());
    }
}

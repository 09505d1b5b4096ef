//! Every bound of the daemon, with its reason.
//!
//! Sizes are bytes unless the name says otherwise. What depends on the configuration (shards, connections, the longest line) is summed in
//! [`budget::MemoryBudget`], which `logboom check` prints and the tests hold the process to.

use std::time::Duration;

pub mod budget;

/// 2^10 bytes.
pub const KIB: usize = 1024;
/// 2^20 bytes.
pub const MIB: usize = 1024 * KIB;

/// A shard's receive buffer, shared by its connections in turn: large enough that a system call is amortized over a thousand lines, small enough to
/// stay in L2 beside a batch.
pub const RECEIVE_BYTES: usize = 256 * KIB;

/// What a connection may keep of an unfinished line without asking: one idle connection costs this at most, so ten thousand cost 40 MB.
pub const PARTIAL_SMALL_BYTES: usize = 4 * KIB;

/// What all connections of one shard together may keep of unfinished long lines. A connection whose line would need more waits, unread.
pub const PARTIAL_SHARED_BYTES: usize = 32 * MIB;

/// One batch. Large enough to amortize a write, small enough that a shard's two stay in L2.
pub const BATCH_BYTES: usize = 512 * KIB;

/// Batches per stream of a shard: one is filled while the other is written.
pub const BATCHES_PER_STREAM: usize = 2;

/// One block of an archive (a gzip member or zstd frame): at most this many raw bytes of whole lines, unless one line is longer. Small enough that a
/// search decompresses little to read one line, large enough that the ratio is within 2 % of one stream's.
pub const BLOCK_BYTES: usize = 512 * KIB;

/// The shortest `--line-max`.
pub const LINE_MAX_BYTES_MIN: usize = KIB;
/// The longest `--line-max`. Offsets within a JSON line are 32 bits in simd-json; far below that, a line stops being a line.
pub const LINE_MAX_BYTES_MAX: usize = 64 * MIB;

/// The smallest `--rotate-size`: below one page a segment is all overhead.
pub const ROTATE_BYTES_MIN: u64 = 4 * KIB as u64;
/// The largest `--rotate-size`: the pool reads one segment's blocks in turn, but recovery and retention work by whole segments.
pub const ROTATE_BYTES_MAX: u64 = 16 * 1024 * MIB as u64;

/// Shards per process, the two digits of `.s00`.
pub const SHARDS_MAX: usize = 100;

/// Service names counted by name; the rest are counted together. Bounds the metrics' cardinality.
pub const SERVICES_MAX: usize = 256;
/// The longest service name counted by name, in bytes.
pub const SERVICE_NAME_BYTES_MAX: usize = 128;

/// Columns of CSV lines: beyond, a table is no log, and every record repeats their names.
pub const CSV_COLUMNS_MAX: usize = 256;
/// A CSV header, which a connection keeps: as much as an unfinished short line.
pub const CSV_HEADER_BYTES_MAX: usize = 4 * KIB;
/// Parameters of a syslog message's structured data: two of one name are sought by comparing all with all. Senders have a dozen.
pub const SYSLOG_PARAMS_MAX: usize = 256;

/// Connections that `--max-connections` may allow: beyond, ports and file descriptors end first.
pub const CONNECTIONS_MAX: usize = 1_000_000;

/// Members of a text line's record besides the four that each may have; more stay in its `layout`. The longest known shape has eleven.
pub const TEXT_MEMBERS_MAX: usize = 24;
/// The longest name or bracket that is looked for at the beginning of a text line: longer ones are prose.
pub const TEXT_TOKEN_BYTES_MAX: usize = 256;
/// Words and brackets between a text line's time and its message that are looked at on either side of its level.
pub const TEXT_HEAD_TOKENS_MAX: usize = 6;
/// The longest key of a `key=value` pair.
pub const TEXT_KEY_BYTES_MAX: usize = 64;
/// The longest text line whose shape is looked for: a longer one is a dump, and its record could be eighteen times as long as it is.
pub const TEXT_SHAPE_BYTES_MAX: usize = 16 * KIB;
/// The longest regex of the configuration.
pub const REGEX_BYTES_MAX: usize = 4 * KIB;
/// A set of regexes compiled: the default of the crate `regex`.
pub const REGEX_PROGRAM_BYTES_MAX: usize = 10 * MIB;
/// What a set of regexes may cache of its automaton, in either direction of matching, on each shard.
pub const REGEX_CACHE_BYTES: usize = MIB;
/// Lines that one record joins, in a file: more than the deepest stack traces have, which their runtimes cut at a thousand frames.
pub const MULTILINE_LINES_MAX: usize = 4 * KIB;
/// How long a text line of a file waits for one that belongs to it: programs write a stack trace in one go, or within milliseconds.
pub const MULTILINE_WAIT: Duration = Duration::from_secs(1);
/// `[[pattern]]` tables of a configuration: each may be tried for each text line.
pub const PATTERNS_MAX: usize = 32;

/// Rules of each kind: those of a kind are the bits of a word.
pub const RULES_MAX: usize = 64;
/// Sources (peers or files) shown by name, those with the most lines; the rest together.
pub const SOURCES_SHOWN_MAX: usize = 1024;
/// Sources counted by name, on each shard between two looks and in all: more than are shown, so that one that begins late can come up. Beyond, those with the
/// fewest lines are counted together, down to as many as are shown.
pub const SOURCES_COUNTED_MAX: usize = 4 * SOURCES_SHOWN_MAX;
/// The longest name of a source; of a longer one, its end.
pub const SOURCE_NAME_BYTES_MAX: usize = 64;
/// What is shown of a rule beside its count, in bytes.
pub const RULE_SHOWN_BYTES_MAX: usize = 64;
/// Sources in `/metrics`, where each name is a series.
pub const SOURCES_IN_METRICS_MAX: usize = 32;

/// Sockets on their way to one shard. An accepting shard waits when the other's inbox is full; both go on within a turn.
pub const INBOX_MESSAGES: usize = 1024;

/// What glommio registers with each of an executor's three rings for O_DIRECT, which logboom does not use: its smallest. Counts as locked memory each time.
pub const EXECUTOR_IO_BYTES: usize = 64 * KIB;

/// The shortest `--metrics-interval`: shards publish ten times per second, and a faster print would show zeros between.
pub const METRICS_INTERVAL_MIN: Duration = Duration::from_millis(50);

/// The shortest RELP frame that is answered: `1 x 0` and its newline. No more is received at once than may hold as many of them as there is room for answers.
pub const RELP_FRAME_BYTES_MIN: usize = 6;
/// How many frames there must be room for before a RELP connection is received from: fewer would make for many small receives.
pub const RELP_ROOM_FRAMES_MIN: usize = RELP_ANSWER_RUNS_MAX / 2;

/// How long a RELP client may leave its answers unread before its connection ends.
pub const RELP_UNREAD_MAX: Duration = Duration::from_secs(60);

/// HTTP connections at once; more wait to be accepted.
pub const HTTP_CONNECTIONS_MAX: usize = 128;
/// How long an HTTP connection may take to send the whole head of its first or next request, and how long it may take no byte of its answer. Beyond, it is
/// closed, since others may wait for its place. Shorter than most scrape intervals: opening a connection costs a scraper nothing.
pub const HTTP_IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// What an HTTP connection may buffer in either direction, a request's head included; only the rest of the answer under way comes on top.
pub const HTTP_BUFFER_BYTES: usize = 16 * KIB;
/// HTTP requests that are worked on at once; more are told to come back.
pub const HTTP_REQUESTS_MAX: usize = 32;
/// The longest request body: nothing that is served takes one.
pub const HTTP_BODY_BYTES_MAX: usize = 64 * KIB;
/// How long an HTTP request may take.
pub const HTTP_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Samples of the dashboard's history, one per second: a quarter of an hour, in 200 bytes each.
pub const HISTORY_SAMPLES_MAX: usize = 900;
/// Dashboards that are told of every second's numbers; more are told to come back.
pub const HTTP_LIVE_MAX: usize = 32;
/// Sources in what they are told: those at the top of a list that people look at.
pub const HTTP_LIVE_SOURCES_MAX: usize = 50;
/// Segments that one answer lists, unless it is told otherwise, and at most: the block table of each is read.
pub const HTTP_SEGMENTS_DEFAULT: usize = 100;
/// See [`HTTP_SEGMENTS_DEFAULT`].
pub const HTTP_SEGMENTS_MAX: usize = 1_000;
/// What is read at most to count lines of segments without a block table, for one such answer. Lines of the rest are not known.
pub const HTTP_SEGMENTS_READ_BYTES_MAX: u64 = 64 * MIB as u64;
/// Segments that are downloaded at once; more are told to come back.
pub const HTTP_DOWNLOADS_MAX: usize = 4;
/// What is read of one at once.
pub const HTTP_DOWNLOAD_PIECE_BYTES: usize = 64 * KIB;
/// Threads on which the HTTP server reads files, so that a slow disk holds up nobody who asks for numbers.
pub const HTTP_FILE_THREADS: usize = 4;

/// Raw segments on disk: the fewest with which every shard can go on (an open one for each of its streams, and one to compress), and what `auto` allows,
/// enough for a burst that compression works off later.
pub fn raw_segments(shards: usize, compress_threads: usize) -> (usize, usize) {
    (2 * shards + 1, 4 * shards + 8 * compress_threads)
}

/// What `auto` allows at least where nothing is compressed, and segments of up to `rotate_bytes` wait for the disk alone: a burst that the page cache takes faster
/// than the disk (docs/adr/0012), and not more than a slow disk writes before the drain's deadline.
pub fn raw_segments_uncompressed(rotate_bytes: u64) -> usize {
    const BURST_BYTES: u64 = 512_000_000;
    const SEGMENTS_MAX: u64 = 128;
    (BURST_BYTES / rotate_bytes).min(SEGMENTS_MAX) as usize
}

/// RELP frames of one connection that are not answered: as many as a fast sender has under way during one sync, and far beyond what clients allow themselves
/// (librelp's window is 128). At this, the connection is not read.
pub const RELP_WINDOW_FRAMES_MAX: usize = 16 * KIB;
/// Entries in which they are kept, of 24 bytes: one for each receive, or for each record where accepted and rejected ones alternate.
pub const RELP_ANSWER_RUNS_MAX: usize = 4096;
/// RELP answers that are sent in one write: some hundred of them.
pub const RELP_ANSWER_BYTES: usize = 8 * KIB;

/// Lines of one RELP session that can be recognised when they are sent again, of 8 bytes: a client's window, and what was answered before it, whose answers may
/// have been lost on the way. librelp's window is 128; a client with more than this under way is not recognised.
pub const RELP_RESEND_LINES_MAX: usize = 2 * KIB;
/// RELP sessions that are remembered after their end: 16 MiB.
pub const RELP_MEMORIES_MAX: usize = KIB;
/// Those of them of one peer address, behind which many clients may be: no peer makes the others forgotten.
pub const RELP_MEMORIES_PER_PEER_MAX: usize = 64;
/// How long they are remembered: clients that wait longer and longer before they try again (rsyslog: up to half an hour) come back within.
pub const RELP_MEMORY_AGE_MAX: Duration = Duration::from_secs(3600);
/// How long an `open` may wait until it is known what of the peer's ended sessions was not answered, and that it is safe: one sync, if the disk is not in trouble.
pub const RELP_SETTLING_WAIT_MAX: Duration = Duration::from_secs(2);

/// What is read of an archive at once: a compressed block is about 100 KB.
pub const ARCHIVE_READ_BYTES: usize = 128 * KIB;

/// The longest block that a reader decodes. A stored line is at most six times as long as the line that came (every byte a `\u00XX` in JSON), and some
/// names around it; beyond that an archive is damaged, or made to exhaust memory.
pub const BLOCK_DECODED_BYTES_MAX: usize = 8 * LINE_MAX_BYTES_MAX;

/// Archives that are made durable together: one directory fsync for all. Enough to amortize it, few enough that permits come back steadily.
pub const FINISH_GROUP_MAX: usize = 32;

/// What a compress thread is nicer by than the shards: where they share a core, lines go first, and permits push back if compression can't keep up.
pub const COMPRESS_NICE: i32 = 5;

/// How long the pool waits before it tries a full disk again, at first and at most, in milliseconds.
pub const DISK_FULL_RETRY_MS_MIN: u64 = 100;
/// See [`DISK_FULL_RETRY_MS_MIN`].
pub const DISK_FULL_RETRY_MS_MAX: u64 = 2_000;

/// How often the disk thread asks for the free space, and so how late intake pauses: at 500 MB/s, 50 MB too late. It costs one system call.
pub const DISK_GUARD_INTERVAL: Duration = Duration::from_millis(100);
/// How long nobody may have met a full disk before intake resumes, in milliseconds. A quota does not show as free space, so only writes can tell; some of them go
/// through whenever a raw file goes, and this keeps intake from opening for each.
pub const DISK_FULL_QUIET_MS: u64 = 2_000;
/// Intake resumes with this share of `--min-free` more than it paused below: at the default that is five segments of 5 MB, more than what archiving takes and gives
/// back while intake is paused.
pub const MIN_FREE_BAND_SHARE: u64 = 10;
/// The least of that.
pub const MIN_FREE_BAND_BYTES_MIN: u64 = MIB as u64;
/// The largest `--min-free` and `--retain-size`: no file system has an exbibyte, and sums can't overflow.
pub const MIN_FREE_BYTES_MAX: u64 = 1 << 60;

/// The smallest `--retain-size`: less is a unit that was forgotten, and everything would be deleted.
pub const RETAIN_BYTES_MIN: u64 = 1_000_000;
/// How often retention lists the directory, however little happens, at least: archives age, and anyone may put some there.
pub const RETENTION_INTERVAL_MAX: Duration = Duration::from_secs(10);
/// And at most: names tell seconds.
pub const RETENTION_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// After an archive was finished, or when space ends, it lists sooner, but at most a twentieth of the time: a listing of 100,000 files takes a tenth of a second.
pub const RETENTION_TIME_SHARE: u32 = 20;
/// While space ends and deleting helps, a fourth of the time: else intake pauses.
pub const RETENTION_TIME_SHARE_MAX: u32 = 4;

/// How often an output looks for more when it has read everything. It costs a few loads per shard.
pub const OUTPUT_POLL: Duration = Duration::from_millis(100);
/// What an output reads of the store before it makes it durable: enough to amortize its syncs, little enough to do again after a crash.
pub const OUTPUT_COMMIT_BYTES: u64 = 8 * MIB as u64;
/// And after this time at the latest, where it is slow.
pub const OUTPUT_COMMIT_INTERVAL: Duration = Duration::from_secs(1);
/// What a CSV file is written in.
pub const OUTPUT_BUFFER_BYTES: usize = 256 * KIB;
/// How long an output waits after a failure, at first and at most.
pub const OUTPUT_RETRY_MIN: Duration = Duration::from_millis(500);
/// See [`OUTPUT_RETRY_MIN`].
pub const OUTPUT_RETRY_MAX: Duration = Duration::from_secs(15);

/// What of a followed file's beginning tells it from others.
pub const WATCH_HEAD_BYTES: usize = KIB;
/// Files that are followed at once; more are counted, and not read.
pub const WATCH_FILES_MAX: usize = 20_000;
/// Names that one look at folders lists: those of files, and of what lies beside them.
pub const WATCH_NAMES_MAX: usize = 10 * WATCH_FILES_MAX;
/// What of a copy's end must be the same in what it is a copy of.
pub const WATCH_TAIL_BYTES: u64 = 4 * KIB as u64;
/// Followed files that are read at once. Each is one task of a shard, and waits for the receive buffer like a connection.
pub const WATCH_READS_MAX: usize = 32;
/// Archives among them. Each is read in one go, and others are not to wait for that.
pub const WATCH_ARCHIVES_MAX: usize = WATCH_READS_MAX / 4;
/// Descriptors of followed files: those that are read, and those that were read last, which are held so that what is written to them while they are deleted is found.
pub const WATCH_OPEN_MAX: usize = 64;
/// How long a file that is at its end stays open.
pub const WATCH_OPEN_IDLE: Duration = Duration::from_secs(30);
/// What is read of one file before the others have their turn. More, where a line is longer; and an archive as a whole, since it can't be gone on with in its middle.
pub const WATCH_TASK_BYTES: u64 = 16 * MIB as u64;
/// A file whose last line has no newline, and that has not grown for so long, has written it.
pub const WATCH_LAST_LINE_IDLE: Duration = Duration::from_secs(5);
/// How long a file that was rotated is still read after its last line: programs go on writing until they are told to reopen.
pub const WATCH_ROTATED_IDLE: Duration = Duration::from_secs(15);
/// How long after a failed read a file is tried again.
pub const WATCH_RETRY: Duration = Duration::from_secs(5);
/// How often files are looked at although nothing was told of them: notifications may be lost, and network file systems send none.
pub const WATCH_POLL: Duration = Duration::from_secs(1);
/// The same where nothing is ever told.
pub const WATCH_POLL_ALONE: Duration = Duration::from_millis(250);
/// How often what is counted of files is published at most, since that walks through all of them.
pub const WATCH_PUBLISH: Duration = Duration::from_millis(250);
/// How often one look is taken again because it found something new. A rotation takes less time than a look; with these many, something is renamed all the time.
pub const WATCH_LOOKS_MAX: usize = 4;
/// How long notifications are gathered before files are looked at.
pub const WATCH_GATHER: Duration = Duration::from_millis(5);
/// Problems with files that are told apart, so that each is said once.
pub const WATCH_PROBLEMS_MAX: usize = KIB;
/// And at least so often, however long a look takes: last lines and rotated files end by it.
pub const WATCH_POLL_MAX: Duration = Duration::from_secs(5);
/// A look at everything takes at most this part of the time, where notifications tell of changes and it is only for those that were lost.
pub const WATCH_POLL_TIME_SHARE: u32 = 100;
/// The same where nothing is ever told.
pub const WATCH_POLL_ALONE_TIME_SHARE: u32 = 20;
/// And this one where something is told all the time.
pub const WATCH_TOLD_TIME_SHARE: u32 = 4;
/// Contents that are gone and remembered, so that a copy or archive of them is not read again as new. A file system that goes away takes all files with it.
pub const WATCH_FORMER_MAX: usize = WATCH_FILES_MAX + 4 * KIB;
/// The journal of checkpoints is written anew when it has grown by so much beyond what is in it.
pub const WATCH_JOURNAL_BYTES: u64 = MIB as u64;
/// How long `collect --once` may take to archive and output what it has read.
pub const COLLECT_ONCE_DRAIN: Duration = Duration::from_secs(3600);
/// The longest path of a followed file.
pub const WATCH_PATH_BYTES_MAX: usize = 4 * KIB;

/// The longest query: far beyond what people type, and what a link may carry.
pub const QUERY_BYTES_MAX: usize = 4 * KIB;
/// Conditions in a query: each is asked of every candidate line.
pub const QUERY_TERMS_MAX: usize = 32;
/// Parentheses and negations within each other: reading a query recurses.
pub const QUERY_DEPTH_MAX: usize = 32;
/// What one regular expression of a query may compile to, and what each direction of its lazily built automaton may keep.
pub const QUERY_REGEX_BYTES_MAX: usize = 256 * KIB;
/// Regular expressions in a query: each thread has all of them, and each may take three times [`QUERY_REGEX_BYTES_MAX`].
pub const QUERY_REGEXES_MAX: usize = 4;
/// What each direction of a literal's automaton may keep: a literal of ordinary length needs a tenth.
pub const LITERAL_AUTOMATON_BYTES_MAX: usize = 32 * KIB;

/// The longest token filter of a block: a tenth of an incompressible block is less. A longer block is one huge line.
pub const FILTER_BYTES_MAX: usize = 64 * KIB;
/// A filter takes at most this share of its compressed block: with the table's entry, below a tenth.
pub const FILTER_SHARE: usize = 12;
/// Token filters may take so many hundredths of the CPU time that zstd takes for compressing: beyond, blocks go without until there is nothing to compress.
pub const FILTER_CPU_PERCENT_ZSTD: u64 = 33;
/// The same in terms of gzip's time, which at its fastest level is 0.7 of zstd's.
pub const FILTER_CPU_PERCENT_GZIP: u64 = 47;
/// How long there must have been nothing to compress before filters are made that load left out.
pub const INDEX_LATE_REST: Duration = Duration::from_millis(250);
/// What is kept of an archive that waits for that.
pub const INDEX_LATE_SEGMENT_BYTES: usize = 40;
/// How many wait: 80 GB of raw lines in segments of 5 MB, minutes of full load.
pub const INDEX_LATE_SEGMENTS_MAX: usize = 16 * KIB;
/// The filters of one segment: enough for 2 GiB of raw lines. Blocks beyond have none. They are in memory while the segment is compressed.
pub const SEGMENT_FILTERS_BYTES_MAX: usize = 32 * MIB;

/// Filters of one segment of `rotate_bytes`, in bytes at most: what does not compress grows by an eighth at most.
pub fn segment_filters_bytes_max(rotate_bytes: u64) -> usize {
    SEGMENT_FILTERS_BYTES_MAX.min(usize::try_from(rotate_bytes / 10).unwrap_or(usize::MAX)).saturating_add(FILTER_BYTES_MAX)
}

/// Threads that one search uses at most: beyond, the disk is what it waits for.
pub const SEARCH_THREADS_MAX: usize = 16;
/// What a search keeps of each block that it may have to read.
pub const SEARCH_BLOCK_BYTES: usize = 40;
/// And of each line that waits for its turn, besides the line.
pub const SEARCH_LINE_BYTES: usize = 16;
/// Blocks that one search may have to read: half a terabyte of raw lines in blocks of usual size.
pub const SEARCH_BLOCKS_MAX: usize = MIB;
/// Sealed files that wait for their archives, or look so, and that a search holds open: what most daemons have permits for, and a fourth of the descriptors that
/// a shell allows.
pub const SEARCH_HELD_FILES_MAX: usize = 256;
/// Matching lines that wait for their turn in the order of time. Beyond, the first of them are shown before it is sure that none comes before them: blocks
/// that overlap are written at the same time, so this is a second of traffic and more.
pub const SEARCH_WAITING_BYTES_MAX: usize = 64 * MIB;
/// Searches over HTTP at once; more are told to come back. Each may take tens of megabytes, and its CPU from compression.
pub const HTTP_SEARCHES_MAX: usize = 2;
/// Threads of one, which is what [`budget`] reckons with: two searches never take more than two cores from lines.
pub const HTTP_SEARCH_THREADS: usize = 1;
/// What they are nicer by than the shards, and than compress threads: under full load two searches leave lines nine tenths of a shared core.
pub const SEARCH_NICE: i32 = 10;
/// Lines that one finds unless it is told otherwise, and at most: more are for `logboom search`.
pub const HTTP_SEARCH_LINES_DEFAULT: usize = 1_000;
/// See [`HTTP_SEARCH_LINES_DEFAULT`].
pub const HTTP_SEARCH_LINES_MAX: usize = 100_000;
/// Bytes that one answers: a browser holds them all.
pub const HTTP_SEARCH_BYTES_MAX: usize = 64 * MIB;
/// How long one may take, waiting for its reader included.
pub const HTTP_SEARCH_TIME_MAX: Duration = Duration::from_secs(30);
/// Found lines are sent in pieces of about so many bytes, of which so many wait for the connection; or as soon as the last piece is so long ago.
pub const HTTP_SEARCH_PIECE_BYTES: usize = 64 * KIB;
/// See [`HTTP_SEARCH_PIECE_BYTES`].
pub const HTTP_SEARCH_PIECES_MAX: usize = 4;
/// See [`HTTP_SEARCH_PIECE_BYTES`].
pub const HTTP_SEARCH_FLUSH: Duration = Duration::from_millis(50);
/// Blocks that one may have to read: 32 GiB of raw lines.
pub const HTTP_SEARCH_BLOCKS_MAX: usize = 64 * KIB;
/// See [`SEARCH_WAITING_BYTES_MAX`].
pub const HTTP_SEARCH_WAITING_BYTES_MAX: usize = 4 * MIB;
/// Groups that one names, the largest; the rest are told together. A day has 1,440 minutes.
pub const HTTP_SEARCH_GROUPS_MAX: usize = 2_000;

/// Live tails over HTTP at once, each with a thread.
pub const HTTP_TAILS_MAX: usize = 4;
/// What their threads are nicer by than the shards: all of them together get less than a tenth of what one busy shard does.
pub const HTTP_TAIL_NICE: i32 = 15;
/// How often one looks for new lines where there are none, and whether it is behind: nobody reads faster.
pub const HTTP_TAIL_INTERVAL: Duration = Duration::from_millis(50);
/// How often one looks for room where there is none: with the pieces that wait, for 130 MB/s.
pub const HTTP_TAIL_ROOM_INTERVAL: Duration = Duration::from_millis(2);
/// How often something is sent, so that both ends know that the other is there. Shorter than what browsers, proxies and [`HTTP_IDLE_TIMEOUT`] wait for.
pub const HTTP_TAIL_HEARTBEAT: Duration = Duration::from_secs(4);
/// Events are sent in pieces of about so many bytes, of which so many wait for the connection.
pub const HTTP_TAIL_PIECE_BYTES: usize = 64 * KIB;
/// See [`HTTP_TAIL_PIECE_BYTES`].
pub const HTTP_TAIL_PIECES_MAX: usize = 4;
/// Events that are made of one block's lines: twice what lines of usual length become. Beyond, they are counted as missed.
pub const HTTP_TAIL_EVENTS_BYTES_MAX: usize = 2 * BLOCK_BYTES;
/// With more than this left unread, as it is on disk, a listener is told what it has missed instead: what it would see is not live, and may soon be deleted.
pub const HTTP_TAIL_BEHIND_BYTES_MAX: u64 = 32 * MIB as u64;
/// How long counting what a listener has missed may take: beyond, the rest is not counted.
pub const HTTP_TAIL_CATCH_UP_MAX: Duration = Duration::from_secs(1);
/// The longest line of an event that `logboom tail` takes: longer than any that is stored.
pub const TAIL_EVENT_BYTES_MAX: u64 = BLOCK_DECODED_BYTES_MAX as u64 + KIB as u64;

/// Groups that are counted by name; the rest are counted together.
pub const SEARCH_GROUPS_MAX: usize = 10_000;
/// The longest name of one; lines whose name is longer are counted with the rest.
pub const SEARCH_GROUP_NAME_BYTES_MAX: usize = 256;

const _: () = assert!(8 * FILTER_SHARE >= 9 * 10);
const _: () = assert!(RECEIVE_BYTES <= BATCH_BYTES);
const _: () = assert!(PARTIAL_SMALL_BYTES < RECEIVE_BYTES);
const _: () = assert!(LINE_MAX_BYTES_MAX < u32::MAX as usize);
const _: () = assert!(PARTIAL_SMALL_BYTES <= RELP_ROOM_FRAMES_MIN * RELP_FRAME_BYTES_MIN);
const _: () = assert!(2 * RELP_ROOM_FRAMES_MIN <= RELP_WINDOW_FRAMES_MAX);
const _: () = assert!(BLOCK_BYTES <= BLOCK_DECODED_BYTES_MAX);

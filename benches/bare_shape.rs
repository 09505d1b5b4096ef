//! The bare pipeline of docs/PERFORMANCE.md: what the daemon's shape costs without the daemon. Nothing is counted, balanced, recovered or answered; a lost line would
//! go unnoticed. Run it beside the daemon to tell a slow machine from slow code:
//!
//! ```text
//! cargo bench --bench bare_shape -- PORT none|gzip|zstd DIR     receives until all connections have closed, then prints lines and its CPU time
//! ```
//!
//! Two shards on glommio, SO_REUSEPORT, one receive buffer each, simd-json's tape for each line, 512 KiB writes into 5 MB segments, two threads that compress whole
//! blocks at the fastest level and delete the raw file.

use std::cell::Cell;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::AsyncReadExt;
use glommio::net::{TcpListener, TcpStream};
use glommio::{LocalExecutorBuilder, Placement};

use archive::{BLOCK_BYTES as BATCH_BYTES, SEGMENT_BYTES};
use validator::Validator;

mod archive;
mod validator;

const SHARDS: usize = 2;
const RECEIVE_BYTES: usize = 256 * 1024;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let [port, codec, dir] = &args[..] else {
        // `cargo test` runs benches without arguments; then it is enough that this builds.
        return println!("usage: bare_shape PORT none|gzip|zstd DIR");
    };
    let port: u16 = port.parse().expect("a port");
    let dir = PathBuf::from(dir);
    std::fs::create_dir_all(&dir).expect("a folder");
    let (sealed, archiving) = archive::start(archive::codec(codec));
    let shards: Vec<_> = (0..SHARDS)
        .map(|id| {
            let (dir, sealed) = (dir.clone(), sealed.clone());
            LocalExecutorBuilder::new(Placement::Fixed(id))
                .preempt_timer(Duration::from_millis(2))
                .spawn(move || shard(id, port, dir, sealed))
                .expect("an executor")
        })
        .collect();
    drop(sealed);
    println!("ready tcp=127.0.0.1:{port}");
    let lines: Vec<u64> = shards.into_iter().map(|shard| shard.join().expect("a shard")).collect();
    archiving.into_iter().for_each(|thread| thread.join().expect("compressed"));
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
    println!("{} lines, {seconds:.3} s of CPU, by shard: {lines:?}", lines.iter().sum::<u64>());
}

/// Serves connections until the first have come and all have gone.
async fn shard(id: usize, port: u16, dir: PathBuf, sealed: crossbeam_channel::Sender<PathBuf>) -> u64 {
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("a listener");
    let (lines, open) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let segments = Rc::new(Cell::new(0));
    let idle = async {
        // A shard that the kernel's hash gave no connection ends too.
        for quiet in 0.. {
            glommio::timer::sleep(Duration::from_millis(500)).await;
            if open.get() == 0 && (lines.get() > 0 || quiet > 10) {
                break;
            }
        }
    };
    let accepting = async {
        loop {
            let stream = listener.accept().await.expect("a connection");
            open.set(open.get() + 1);
            let (lines, open, segments, dir, sealed) = (lines.clone(), open.clone(), segments.clone(), dir.clone(), sealed.clone());
            glommio::spawn_local(async move {
                let received = receive(id, stream, &segments, &dir, &sealed).await;
                lines.set(lines.get() + received);
                open.set(open.get() - 1);
            })
            .detach();
        }
    };
    futures_lite::future::or(idle, accepting).await;
    lines.get()
}

async fn receive(
    id: usize,
    mut stream: TcpStream,
    segments: &Cell<u64>,
    dir: &std::path::Path,
    sealed: &crossbeam_channel::Sender<PathBuf>,
) -> u64 {
    let mut buffer = vec![0; RECEIVE_BYTES + simd_json::INPUT_PADDING];
    let mut batch = Vec::with_capacity(BATCH_BYTES + RECEIVE_BYTES);
    let mut validator = Validator::default();
    let (mut kept, mut lines) = (0, 0);
    let mut segment: Option<(PathBuf, File, usize)> = None;
    loop {
        let n = stream.read(&mut buffer[kept..RECEIVE_BYTES]).await.expect("received");
        let filled = kept + n;
        let whole = memchr::memrchr(b'\n', &buffer[..filled]).map_or(0, |at| at + 1);
        batch.extend_from_slice(&buffer[..whole]);
        lines += validator.validate(&mut buffer, whole, |_| {});
        buffer.copy_within(whole..filled, 0);
        kept = filled - whole;
        if batch.len() >= BATCH_BYTES || (n == 0 && !batch.is_empty()) {
            let (path, file, written) = segment.get_or_insert_with(|| {
                segments.set(segments.get() + 1);
                let path = archive::segment_path(dir, id, segments.get());
                let file = File::create(&path).expect("created");
                (path, file, 0)
            });
            file.write_all(&batch).expect("written");
            *written += batch.len();
            batch.clear();
            if *written + BATCH_BYTES > SEGMENT_BYTES || n == 0 {
                sealed.send(path.clone()).expect("queued");
                segment = None;
            }
        }
        if n == 0 {
            return lines;
        }
        glommio::yield_if_needed().await;
    }
}

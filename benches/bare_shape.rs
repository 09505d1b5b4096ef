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
use std::rc::Rc;
use std::time::Duration;

use futures_lite::AsyncReadExt;
use glommio::net::{TcpListener, TcpStream};
use glommio::{LocalExecutorBuilder, Placement};

use bare::{Pipeline, Segments};

mod archive;
mod bare;
mod validator;

fn main() {
    bare::run("bare_shape", |port, segments| {
        let executor = LocalExecutorBuilder::new(Placement::Fixed(segments.shard)).preempt_timer(Duration::from_millis(2));
        let shard = executor.spawn(move || shard(port, segments)).expect("an executor");
        || shard.join().expect("a shard")
    });
}

/// Serves connections until the first have come and all have gone.
async fn shard(port: u16, segments: Segments) -> u64 {
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("a listener");
    let (lines, open, segments) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)), Rc::new(segments));
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
            let (lines, open, segments) = (lines.clone(), open.clone(), segments.clone());
            glommio::spawn_local(async move {
                let received = receive(stream, &segments).await;
                lines.set(lines.get() + received);
                open.set(open.get() - 1);
            })
            .detach();
        }
    };
    futures_lite::future::or(idle, accepting).await;
    lines.get()
}

async fn receive(mut stream: TcpStream, segments: &Segments) -> u64 {
    let mut pipeline = Pipeline::default();
    loop {
        let n = stream.read(pipeline.space()).await.expect("received");
        pipeline.received(n, segments);
        if n == 0 {
            return pipeline.lines;
        }
        glommio::yield_if_needed().await;
    }
}

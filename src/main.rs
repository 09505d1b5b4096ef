//! The binary: its allocator, and the way into [`logboom::cli`].

/// Shards allocate little, but the pool and HTTP do; mimalloc gives memory back, and its threads do not contend.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    logboom::cli::main(logboom::store::disk::Disk::new())
}

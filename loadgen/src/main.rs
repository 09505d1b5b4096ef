//! Drives logboom with realistic traffic and proves that nothing was lost. The work is in the library; this is the edge.

use std::process::ExitCode;

fn main() -> ExitCode {
    loadgen::cli::main()
}

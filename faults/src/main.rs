//! `logboom-faulty`: the daemon on a disk that follows the script in `LOGBOOM_FAULTS` and keeps a journal in the file `LOGBOOM_JOURNAL`.

use std::process::ExitCode;

use logboom_faults::Faults;
use logboom_faults::journal::Recorder;
use rustix::process::{Resource, Rlimit, setrlimit};

fn main() -> ExitCode {
    // It aborts on purpose, hundreds of times.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).expect("a lower limit is always granted");
    let script = std::env::var("LOGBOOM_FAULTS").unwrap_or_default().parse().unwrap_or_else(|error| panic!("LOGBOOM_FAULTS: {error}"));
    let journal = std::env::var_os("LOGBOOM_JOURNAL").map(|path| Recorder::create(path.as_ref()).expect("the journal can be created"));
    logboom::cli::main(Faults::new(script, journal).disk())
}

//! The signals that stop the daemon: the first one asks it to drain, the second one ends it at once.

use std::fmt;
use std::io;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::proc;

/// How long the message about a second signal may take: stderr can be a full pipe, or held by a thread that waits on one.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// A request to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: a service manager, `kill`.
    Terminate,
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGHUP: the terminal is gone.
    HangUp,
}

impl Signal {
    /// signal(7).
    fn number(self) -> i32 {
        match self {
            Self::Terminate => SIGTERM,
            Self::Interrupt => SIGINT,
            Self::HangUp => SIGHUP,
        }
    }

    fn of(number: i32) -> Option<Self> {
        [Self::Terminate, Self::Interrupt, Self::HangUp].into_iter().find(|signal| signal.number() == number)
    }

    /// The exit code of a process that the signal ended, as shells have it: 143, 130, 129.
    pub fn exit_code(self) -> i32 {
        128 + self.number()
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
            Self::HangUp => "SIGHUP",
        })
    }
}

/// Starts the thread that takes signals. The first one arrives at the receiver; the second one, of whichever kind, ends the process with its
/// [`exit_code`](Signal::exit_code), without destructors: what was acknowledged is on disk, and recovery makes the directory good.
///
/// SIGHUP counts like SIGTERM, unless the process was started with it ignored (`nohup`). Call this once, before other threads start anything worth draining.
pub fn start() -> io::Result<Receiver<Signal>> {
    let mut numbers = vec![SIGTERM, SIGINT];
    if !is_ignored(SIGHUP) {
        numbers.push(SIGHUP);
    }
    let signals = Signals::new(numbers)?;
    let (first, received) = crossbeam_channel::bounded(1);
    thread::Builder::new().name("signals".to_owned()).spawn(move || take(signals, &first))?;
    Ok(received)
}

fn take(mut signals: Signals, first: &Sender<Signal>) {
    let mut arrived = signals.forever().filter_map(Signal::of);
    if let Some(signal) = arrived.next() {
        let _ = first.send(signal); // nobody listens: then nothing can be drained, and the next one ends the process
    }
    if let Some(signal) = arrived.next() {
        end_at_once(signal);
    }
}

fn end_at_once(signal: Signal) -> ! {
    let (said, heard) = crossbeam_channel::bounded(1);
    let speak = move || {
        eprintln!("logboom: {signal} again: ended at once; the next start recovers the data directory");
        let _ = said.send(());
    };
    if thread::Builder::new().spawn(speak).is_ok() {
        let _ = heard.recv_timeout(LAST_WORDS);
    }
    signal_hook::low_level::exit(signal.exit_code())
}

/// Whether the process ignores the signal, from the mask in `/proc/self/status`.
fn is_ignored(number: i32) -> bool {
    let mask = proc::own_status("SigIgn").and_then(|mask| u64::from_str_radix(&mask, 16).ok());
    mask.is_some_and(|mask| mask >> (number - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Child, Command, Stdio};

    const ROLE: &str = "LOGBOOM_TEST_SIGNALS";

    /// Not a test of its own: the process that the tests below send signals to.
    #[test]
    fn child() {
        if std::env::var_os(ROLE).is_none() {
            return;
        }
        let received = start().unwrap();
        println!("\nstarted");
        println!("\nfirst {}", received.recv().unwrap());
        thread::sleep(Duration::from_secs(60));
    }

    fn spawn(prefix: &[&str]) -> (Child, BufReader<impl Read + use<>>) {
        let exe = std::env::current_exe().unwrap();
        let (program, args) = match prefix {
            [] => (exe.as_os_str(), &[][..]),
            [program, args @ ..] => (program.as_ref(), args),
        };
        let mut command = Command::new(program);
        command.args(args).args((!prefix.is_empty()).then_some(&exe));
        command.args(["--exact", "host::signals::tests::child", "--nocapture"]).env(ROLE, "1");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        wait_for(&mut stdout, "started");
        (child, stdout)
    }

    fn wait_for(stdout: &mut impl BufRead, line: &str) {
        assert!(stdout.lines().map_while(Result::ok).any(|found| found == line), "it ended before it said {line:?}");
    }

    fn send(child: &Child, signal: Signal) {
        let status = Command::new("kill").arg(format!("-{}", signal.number())).arg(child.id().to_string()).status().unwrap();
        assert!(status.success());
    }

    #[test]
    fn the_first_signal_is_delivered_and_the_second_ends_the_process() {
        for (first, second, code) in [
            (Signal::Terminate, Signal::Terminate, 143),
            (Signal::Interrupt, Signal::Interrupt, 130),
            (Signal::Interrupt, Signal::Terminate, 143),
            (Signal::Terminate, Signal::HangUp, 129),
        ] {
            if is_ignored(SIGHUP) && second == Signal::HangUp {
                continue; // the tests themselves run under nohup
            }
            let (mut child, mut stdout) = spawn(&[]);
            send(&child, first);
            wait_for(&mut stdout, &format!("first {first}"));
            send(&child, second);
            let mut stderr = String::new();
            child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(code));
            assert!(stderr.contains(&format!("logboom: {second} again: ended at once")), "{stderr}");
        }
    }

    #[test]
    fn a_process_under_nohup_outlives_its_terminal() {
        let (mut child, mut stdout) = spawn(&["nohup"]);
        send(&child, Signal::HangUp);
        send(&child, Signal::Terminate);
        wait_for(&mut stdout, "first SIGTERM"); // SIGHUP was neither the first nor deadly
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_full_stderr_does_not_keep_the_process() {
        let (mut child, mut stdout) = spawn(&[]);
        let stderr = child.stderr.take().unwrap(); // read by nobody
        let fill = std::fs::OpenOptions::new().write(true).open(format!("/proc/{}/fd/2", child.id())).unwrap();
        rustix::fs::fcntl_setfl(&fill, rustix::fs::OFlags::NONBLOCK).unwrap();
        while io::Write::write(&mut &fill, &[b'x'; 4096]).is_ok() {}
        send(&child, Signal::Terminate);
        wait_for(&mut stdout, "first SIGTERM");
        send(&child, Signal::Terminate);
        assert_eq!(child.wait().unwrap().code(), Some(143));
        drop(stderr);
    }
}

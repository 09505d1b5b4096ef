//! What the daemon tells systemd: sd_notify(3) with `Type=notify`, and the watchdog. Nothing happens unless NOTIFY_SOCKET is set.
//!
//! NOTIFY_SOCKET must be a path, as systemd has it; the crate does not speak to abstract sockets (`@…`).

use std::io;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender};
use sd_notify::NotifyState;

/// How much longer systemd is asked to wait at a time while a start goes on, and how often it is asked. Its own limits for a start are longer (90 s).
const START_EXTENSION: Duration = Duration::from_secs(60);
const START_EXTENSION_INTERVAL: Duration = Duration::from_secs(20);

/// What a stop may take beyond its own deadline: the process that gave up still says so.
const STOP_MARGIN: Duration = Duration::from_secs(5);

/// Says that the daemon is ready. `status` is the line that `systemctl status` shows.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Says that the daemon stops, and asks for at least `at_most` to do it; systemd never shortens its own `TimeoutStopSec` for this.
pub fn stopping(status: &str, at_most: Duration) {
    notify(&[NotifyState::Stopping, NotifyState::Status(status), extension(at_most + STOP_MARGIN)]);
}

/// Changes the line that `systemctl status` shows.
pub fn status(status: &str) {
    notify(&[NotifyState::Status(status)]);
}

fn extension(duration: Duration) -> NotifyState<'static> {
    NotifyState::ExtendTimeoutUsec(u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)) // 71 minutes
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("cannot notify the service manager at NOTIFY_SOCKET: {error}");
    }
}

/// Asks systemd for more time until dropped: recovery of a large directory may outlast `TimeoutStartSec`.
#[derive(Debug)]
pub struct LongStart {
    _beat: Option<Beat>,
}

impl LongStart {
    /// Shows `status` and begins to ask.
    pub fn begin(status: &str) -> io::Result<Self> {
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            return Ok(Self { _beat: None });
        }
        self::status(status);
        let beat = Beat::start("long-start", START_EXTENSION_INTERVAL, || notify(&[extension(START_EXTENSION)]))?;
        Ok(Self { _beat: Some(beat) })
    }
}

/// What systemd's watchdog allows between two signs of life; `None` if it does not watch this process (WATCHDOG_USEC, WATCHDOG_PID).
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero())
}

/// Feeds systemd's watchdog until dropped.
#[derive(Debug)]
pub struct Watchdog {
    _beat: Beat,
}

impl Watchdog {
    /// Gives a sign of life every half `interval` if `is_alive` says so, and none otherwise: systemd then ends the process (SIGABRT) and starts it again.
    /// `is_alive` must not block.
    pub fn start(interval: Duration, mut is_alive: impl FnMut() -> bool + Send + 'static) -> io::Result<Self> {
        let mut was_alive = true;
        let beat = Beat::start("watchdog", interval / 2, move || {
            let alive = is_alive();
            if alive {
                notify(&[NotifyState::Watchdog]);
            } else if was_alive {
                tracing::error!("a shard has stopped moving: systemd's watchdog will end the process within {interval:?}");
            }
            was_alive = alive;
        })?;
        Ok(Self { _beat: beat })
    }
}

/// A thread that does the same thing at once and then at every interval, until dropped.
#[derive(Debug)]
struct Beat {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Beat {
    fn start(name: &str, interval: Duration, mut action: impl FnMut() + Send + 'static) -> io::Result<Self> {
        let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
        let run = move || loop {
            action();
            if stopped.recv_timeout(interval) != Err(RecvTimeoutError::Timeout) {
                break;
            }
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(run)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic in there was printed already
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;
    use std::path::Path;
    use std::process::{Command, Stdio};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    const ROLE: &str = "LOGBOOM_TEST_SYSTEMD";

    /// Not a test of its own: the daemon's life as the tests below watch it from the service manager's side.
    #[test]
    fn child() {
        let Ok(role) = std::env::var(ROLE) else { return };
        let long = LongStart::begin("recovering").unwrap();
        drop(long);
        ready("taking lines in");
        if let Some(interval) = watchdog_interval() {
            let asked = Arc::new(AtomicU32::new(0));
            let count = asked.clone();
            let watchdog = Watchdog::start(interval, move || count.fetch_add(1, Ordering::Relaxed) < 2).unwrap();
            while asked.load(Ordering::Relaxed) < 5 {
                thread::sleep(Duration::from_millis(1));
            }
            drop(watchdog);
        }
        stopping("draining", if role == "hours" { Duration::from_secs(36_000) } else { Duration::from_secs(10) });
    }

    /// The messages that a process with these variables sends.
    fn said(socket: Option<&Path>, role: &str, variables: &[(&str, &str)]) -> Vec<String> {
        let receiver = socket.map(|path| UnixDatagram::bind(path).unwrap());
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "host::systemd::tests::child"]).env(ROLE, role);
        command.env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC").env_remove("WATCHDOG_PID");
        command.envs(socket.map(|path| ("NOTIFY_SOCKET", path))).envs(variables.iter().copied());
        // A test's own process must not run out of places in the socket's queue: read while it runs.
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let mut messages = Vec::new();
        if let Some(receiver) = receiver {
            receiver.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            while !messages.last().is_some_and(|message: &String| message.starts_with("STOPPING=1")) {
                let mut buf = [0; 1024];
                let n = receiver.recv(&mut buf).expect("it says that it stops");
                messages.push(String::from_utf8(buf[..n].to_vec()).unwrap());
            }
        }
        assert!(child.wait().unwrap().success());
        messages
    }

    #[test]
    fn a_life_in_order() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(
            said(Some(&dir.path().join("notify")), "life", &[]),
            [
                "STATUS=recovering\n",
                "EXTEND_TIMEOUT_USEC=60000000\n",
                "READY=1\nSTATUS=taking lines in\n",
                "STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC=15000000\n"
            ]
        );
    }

    #[test]
    fn the_watchdog_is_fed_only_while_the_shards_move() {
        let dir = tempfile::tempdir().unwrap();
        let fed = |messages: Vec<String>| messages.iter().filter(|message| *message == "WATCHDOG=1\n").count();
        assert_eq!(fed(said(Some(&dir.path().join("fed")), "life", &[("WATCHDOG_USEC", "2000")])), 2);
        for (index, variables) in
            [&[("WATCHDOG_USEC", "0")][..], &[("WATCHDOG_USEC", "2000"), ("WATCHDOG_PID", "1")], &[]].iter().enumerate()
        {
            assert_eq!(fed(said(Some(&dir.path().join(format!("off{index}"))), "life", variables)), 0, "{variables:?}");
        }
    }

    #[test]
    fn without_a_service_manager_nothing_happens() {
        said(None, "life", &[]);
    }

    #[test]
    fn an_endless_drain_asks_for_as_long_as_can_be_asked() {
        let dir = tempfile::tempdir().unwrap();
        let messages = said(Some(&dir.path().join("notify")), "hours", &[]);
        assert!(messages.last().unwrap().ends_with("EXTEND_TIMEOUT_USEC=4294967295\n"), "{messages:?}");
    }
}

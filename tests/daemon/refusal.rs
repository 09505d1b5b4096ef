//! What the daemon refuses at start: one clear line each, a hint, exit 1.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::{Start, TestDaemon, logboom, run, temp_dir};

/// Starts it and returns its stderr; it must end with exit code 1.
fn refused(command: &mut Command) -> String {
    let output = run(command.stdin(Stdio::null()));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(output.stdout.is_empty(), "nothing is ready");
    stderr
}

#[test]
fn a_second_process_on_the_directory_is_told_who_holds_it() {
    let dir = temp_dir();
    let first = TestDaemon::start(dir.path(), &["--shards", "1"]);
    let said = refused(&mut Start::in_dir(dir.path()).args(&["--shards", "1"]).command());
    assert!(said.contains(&first.pid().to_string()), "{said}");
    let check = |data_dir: &Path| {
        Command::new(logboom()).args(["check", "--listen", "127.0.0.1:0", "--http", "off", "--data-dir"]).arg(data_dir).output().unwrap()
    };
    let checked = check(dir.path());
    assert_eq!((checked.status.code(), String::from_utf8_lossy(&checked.stderr).into_owned()), (Some(1), said), "check says the same");
    first.stop();
    assert_eq!(check(dir.path()).status.code(), Some(0));
    assert_eq!(check(&dir.path().join("new/data")).status.code(), Some(0));
    assert!(!dir.path().join("new").exists(), "check leaves nothing behind");
}

#[test]
fn a_directory_of_a_newer_format_is_refused() {
    let dir = temp_dir();
    TestDaemon::start(dir.path(), &["--shards", "1"]).stop();
    let version = dir.path().join("logboom.format");
    let text = fs::read_to_string(&version).unwrap();
    fs::write(&version, text.replace('1', "999")).unwrap();
    let said = refused(&mut Start::in_dir(dir.path()).command());
    assert!(said.contains("999"), "{said}");
}

#[test]
fn a_port_that_is_taken_is_refused_although_shards_share_ports() {
    let dir = temp_dir();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = Command::new(logboom());
    command.args(["serve", "--http", "off", "--listen", &address, "--data-dir"]).arg(dir.path().join("a"));
    let said = refused(&mut command);
    assert!(said.contains(&address), "{said}");

    assert!(!dir.path().join("a").exists(), "nothing is left of a start that was refused");

    let running = TestDaemon::start(&dir.path().join("b"), &["--shards", "2"]);
    let address = running.tcp.to_string();
    let mut command = Command::new(logboom());
    command.args(["serve", "--http", "off", "--listen", &address, "--data-dir"]).arg(dir.path().join("c"));
    let said = refused(&mut command);
    assert!(said.contains(&address), "another logboom holds it: {said}");
    running.stop();
}

#[test]
fn directories_that_cannot_be_used_are_refused() {
    let dir = temp_dir();
    let file = dir.path().join("a-file");
    fs::write(&file, "not a directory").unwrap();
    let said = refused(&mut Start::in_dir(&file).command());
    assert!(said.contains("a-file"), "{said}");

    if fs::metadata("/proc/self").is_ok() {
        let said =
            refused(Command::new(logboom()).args(["serve", "--listen", "127.0.0.1:0", "--http", "off", "--data-dir", "/proc/logboom"]));
        assert!(said.contains("/proc/logboom"), "{said}");
    }
    let unwritable = dir.path().join("unwritable");
    fs::create_dir(&unwritable).unwrap();
    fs::set_permissions(&unwritable, fs::Permissions::from_mode(0o555)).unwrap();
    let probe = fs::write(unwritable.join("probe"), "");
    if probe.is_err() {
        // As root the permission bits do not bind; then this case has nothing to show.
        let said = refused(&mut Start::in_dir(&unwritable).command());
        assert!(said.contains("unwritable"), "{said}");
    }
}

#[test]
fn too_little_locked_memory_and_too_few_files_are_said() {
    let dir = temp_dir();
    // Both limits at once: the hard one can't go below the soft one.
    for (limit, word) in [("ulimit -l 64", "memlock"), ("ulimit -n 64", "open files")] {
        let script = format!("{limit}; exec {} serve --listen 127.0.0.1:0 --http off --data-dir {}", logboom(), dir.path().display());
        let said = refused(Command::new("bash").args(["-c", &script]));
        assert!(said.to_lowercase().contains(word), "{said}");
    }
}

#[test]
fn wrong_flags_exit_with_1() {
    let dir = temp_dir();
    for args in [
        &["--no-such-flag"][..],
        &["--listen", "udp://127.0.0.1:1"],
        &["--rotate-size", "lots"],
        &["--compression", "lzma"],
        &["--compression-level", "77"],
        &["--shards", "0"],
        &["--line-max", "1"],
    ] {
        let said = refused(&mut Start::in_dir(dir.path()).args(args).command());
        assert!(said.contains(args[0].trim_start_matches('-')) || said.contains(args[0]), "{args:?}: {said}");
    }
}

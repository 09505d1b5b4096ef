//! Lines to measure with: JSON of about 259 bytes, as applications write them, no two alike; shorter ones of other formats.
#![allow(dead_code, reason = "not every bench measures every format")]

use std::fmt::Write as _;

/// `count` lines, each with its newline.
pub(crate) fn json(count: usize) -> Vec<u8> {
    const SERVICES: [&str; 5] = ["auth", "payment", "api", "search", "mail"];
    const LEVELS: [&str; 4] = ["INFO", "INFO", "WARN", "ERROR"];
    const TASKS: [&str; 4] = ["request finished", "session renewed", "upstream answered late", "retry scheduled after a failure"];
    let mut text = String::new();
    for n in 0..count as u64 {
        let mixed = (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let pick = |shift: u32, len: usize| (mixed >> shift) as usize % len;
        writeln!(
            text,
            "{{\"timestamp\":\"2026-11-24T15:{:02}:{:02}.{:06}Z\",\"level\":\"{}\",\"service\":\"{}\",\"host\":\"web-{:02}\",\"user_id\":{},\"session_token\":\"{mixed:016x}\",\
             \"request_id\":\"{:012x}\",\"latency_ms\":{}.{},\"status\":{},\"message\":\"{} for user {} on path /v1/items/{}\"}}",
            n / 60 % 60,
            n % 60,
            mixed % 1_000_000,
            LEVELS[pick(8, 4)],
            SERVICES[pick(16, 5)],
            pick(20, 16),
            mixed % 50_000,
            mixed >> 16,
            pick(24, 900),
            pick(3, 10),
            [200, 200, 201, 404, 500][pick(28, 5)],
            TASKS[pick(32, 4)],
            mixed % 50_000,
            mixed % 9_000,
        )
        .expect("a string takes everything");
    }
    text.into_bytes()
}

/// What the other formats' lines say: a number, the second, and the text.
fn messages(count: usize) -> impl Iterator<Item = (u64, u64, String)> {
    (0..count as u64).map(|n| {
        let mixed = (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (
            mixed,
            n / 100 % 60,
            format!("Failed password for invalid user u{} from 173.234.31.{} port {} ssh2", mixed % 5000, mixed % 251, mixed % 60_000),
        )
    })
}

/// RFC 5424 with structured data, about 190 bytes.
pub(crate) fn rfc5424(count: usize) -> Vec<u8> {
    let line = |(n, s, text): (u64, u64, String)| {
        format!(
            "<{}>1 2026-11-24T15:00:{s:02}.{:06}+01:00 web-{:02} sshd {} ID{} [timeQuality tzKnown=\"1\" isSynced=\"1\" syncAccuracy=\"{}\"] {text}\n",
            n % 192,
            n % 1_000_000,
            n % 16,
            n % 32_768,
            n % 100,
            n % 1000
        )
    };
    messages(count).map(line).collect::<String>().into_bytes()
}

/// RFC 3164, about 100 bytes.
pub(crate) fn rfc3164(count: usize) -> Vec<u8> {
    let line =
        |(n, s, text): (u64, u64, String)| format!("<{}>Nov 24 15:00:{s:02} web-{:02} sshd[{}]: {text}\n", n % 192, n % 16, n % 32_768);
    messages(count).map(line).collect::<String>().into_bytes()
}

/// The same with counts before them.
pub(crate) fn octet_counted(count: usize) -> Vec<u8> {
    let lines = String::from_utf8(rfc3164(count)).expect("ASCII");
    lines.lines().map(|line| format!("{} {line}", line.len())).collect::<String>().into_bytes()
}

/// CSV of nine columns, about 140 bytes, every fourth line with quotes.
pub(crate) fn csv(count: usize) -> Vec<u8> {
    let line = |(n, s, text): (u64, u64, String)| {
        let quote = if n % 4 == 0 { "\"" } else { "" };
        format!(
            "2026-11-24T15:00:{s:02}.{:06}Z,INFO,auth,{quote}{text}{quote},u-{},{n:016x},GET /v1,{}.5,e-{n:08x}\n",
            n % 1_000_000,
            n % 5000,
            n % 900
        )
    };
    messages(count).map(line).collect::<String>().into_bytes()
}

/// Text lines of a known shape, of about 120 bytes.
pub(crate) fn log4j(count: usize) -> Vec<u8> {
    let mut text = String::new();
    for n in 0..count {
        let (level, millis) = (["INFO", "INFO", "WARN", "ERROR"][n % 4], n * 7 % 1000);
        writeln!(
            text,
            "2026-11-24 15:00:00,{millis:03} {level} [worker-{}] org.example.pay.Gateway: request {n} for user {} was answered in {millis} ms",
            n % 8,
            n * 31
        )
        .expect("a string takes everything");
    }
    text.into_bytes()
}

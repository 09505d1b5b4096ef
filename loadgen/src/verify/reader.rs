//! The lines of a file, whatever its compression.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};

use flate2::bufread::MultiGzDecoder;

use super::names::Coding;
use super::segments::Opened;

/// One read. A fixed size for files of any length; only a longer line makes the buffer grow.
const READ_BYTES: usize = 256 * 1024;
/// The longest line that is taken apart. Far beyond the lines of a run.
const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How a file ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// After a newline, or empty.
    Whole,
    /// Within a line, while it was being written.
    Torn,
}

/// Calls `each` with every line, without its newline. An error names what is wrong with the file; the lines before it have been seen.
pub fn for_each_line(opened: Opened, each: impl FnMut(&[u8])) -> io::Result<End> {
    let Opened { file, coding, growing, .. } = opened;
    let torn = match coding {
        Coding::Raw => lines(file, each)?,
        Coding::Gzip => lines(MultiGzDecoder::new(NotEmpty::of(file)?), each)?,
        Coding::Zstd => lines(zstd::Decoder::with_buffer(NotEmpty::of(file)?)?, each)?,
    };
    match torn {
        false => Ok(End::Whole),
        true if growing => Ok(End::Torn),
        true => Err(io::Error::new(ErrorKind::UnexpectedEof, "it ends within a line")),
    }
}

/// A compressed file; an empty one has no member and no frame, so it is damaged, which the decoders don't say.
struct NotEmpty;

impl NotEmpty {
    fn of(file: impl Read) -> io::Result<impl BufRead> {
        let mut reader = BufReader::with_capacity(READ_BYTES, file);
        if reader.fill_buf()?.is_empty() {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "it is empty"));
        }
        Ok(reader)
    }
}

/// Whether the last line had no newline.
fn lines(mut from: impl Read, mut each: impl FnMut(&[u8])) -> io::Result<bool> {
    let mut buf = vec![0; READ_BYTES];
    let mut filled = 0;
    loop {
        if filled == buf.len() {
            if LINE_BYTES_MAX <= buf.len() {
                return Err(io::Error::new(ErrorKind::InvalidData, "a line is longer than 64 MiB"));
            }
            buf.resize(buf.len() * 2, 0);
        }
        let n = match from.read(&mut buf[filled..]) {
            Ok(0) => return Ok(0 < filled),
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let (fresh, end) = (filled, filled + n);
        let mut start = 0;
        for at in memchr::memchr_iter(b'\n', &buf[fresh..end]) {
            each(&buf[start..fresh + at]);
            start = fresh + at + 1;
        }
        buf.copy_within(start..end, 0);
        filled = end - start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::fs::File;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8], coding: Coding, growing: bool) -> (Vec<String>, io::Result<End>) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let opened = Opened { name: String::new(), file: File::open(file.path()).unwrap(), coding, growing };
        let mut seen = Vec::new();
        let end = for_each_line(opened, |line| seen.push(String::from_utf8(line.to_vec()).unwrap()));
        (seen, end)
    }

    #[test]
    fn members_and_frames_follow_each_other() {
        let frames = [zstd::encode_all(&b"a\nb\n"[..], 1).unwrap(), zstd::encode_all(&b"c\n"[..], 1).unwrap()].concat();
        let members = [gzip(b"a\nb\n"), gzip(b"c\n")].concat();
        for (bytes, coding) in [(b"a\nb\nc\n".to_vec(), Coding::Raw), (members, Coding::Gzip), (frames, Coding::Zstd)] {
            let (seen, end) = read(&bytes, coding, false);
            assert_eq!((seen.join(" "), end.unwrap()), ("a b c".to_owned(), End::Whole), "{coding:?}");
        }
    }

    #[test]
    fn damage_is_told() {
        let text: Vec<u8> = (0..100_000u32).flat_map(|n| format!("{}\n", n.wrapping_mul(2_654_435_761)).into_bytes()).collect();
        for (bytes, coding) in [(gzip(&text), Coding::Gzip), (zstd::encode_all(text.as_slice(), 1).unwrap(), Coding::Zstd)] {
            assert!(read(&bytes[..bytes.len() / 2], coding, false).1.is_err(), "{coding:?} cut short");
            assert!(read(&[], coding, false).1.is_err(), "{coding:?} empty");
            let garbage = [bytes.as_slice(), b"garbage that is no member"].concat();
            assert!(read(&garbage, coding, false).1.is_err(), "{coding:?} with garbage");
            assert_eq!(read(&bytes, coding, false).0.len(), 100_000);
        }
        assert!(read(b"a\nb", Coding::Raw, false).1.is_err(), "a sealed file ends at a line");
        assert_eq!(read(b"a\nb", Coding::Raw, true).1.unwrap(), End::Torn);
        assert_eq!(read(b"", Coding::Raw, false).1.unwrap(), End::Whole);
    }

    #[test]
    fn a_line_longer_than_the_buffer_is_one() {
        let long = "x".repeat(3 * READ_BYTES);
        let (seen, _) = read(format!("a\n{long}\nb\n").as_bytes(), Coding::Raw, false);
        assert_eq!(seen, ["a", &long, "b"]);
    }
}

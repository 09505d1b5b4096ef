//! How hard to compress: the best ratio that the backlog allows. [pure]

/// `--compression-level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LevelChoice {
    /// Chosen per segment.
    Auto,
    /// gzip 1 to 9, zstd 1 to 19.
    Fixed(i32),
}

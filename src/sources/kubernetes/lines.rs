//! Answers that come line by line.

use std::time::Duration;

use futures::{AsyncBufRead, AsyncBufReadExt as _};

use super::request::{self, Failure};

/// The lines of an answer.
pub(super) struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    until: tokio::time::Instant,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R, time: Duration) -> Self {
        Self { reader, line: Vec::new(), until: tokio::time::Instant::now() + time }
    }

    /// The next line; `None` after the last. One that was cut off is not given.
    ///
    /// May be given up and called again: what has been read so far is kept.
    pub(super) async fn next(&mut self) -> Result<Option<&[u8]>, Failure> {
        if self.line.ends_with(b"\n") {
            self.line.clear();
        }
        let read = self.reader.read_until(b'\n', &mut self.line);
        match tokio::time::timeout_at(self.until, read).await {
            Ok(Ok(_)) if self.line.ends_with(b"\n") => Ok(Some(&self.line)),
            Ok(Ok(_)) => Ok(None),
            Ok(Err(error)) => Err(request::broken(error)),
            Err(_) => Err(Failure::Unavailable("the watch is dead".to_owned(), None)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_that_was_cut_off_is_not_given() {
        let mut lines =
            Lines::new(futures::io::Cursor::new(b"one\ntwo\nthr".to_vec()), Duration::from_secs(60));
        assert_eq!(lines.next().await, Ok(Some(&b"one\n"[..])));
        assert_eq!(lines.next().await, Ok(Some(&b"two\n"[..])));
        assert_eq!(lines.next().await, Ok(None));
    }
}

//! The end of a stream, kept for error messages.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::limits::{READ_BUFFER, STDERR_TAIL};

/// The last [`STDERR_TAIL`] bytes of a stream. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail(Arc<Mutex<VecDeque<u8>>>);

impl Tail {
    /// Reads `pipe` to its end.
    pub(super) async fn fill(self, mut pipe: impl AsyncRead + Unpin) {
        let mut buffer = vec![0; READ_BUFFER];
        while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
            self.push(&buffer[..read]);
        }
    }

    fn push(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = &bytes[bytes.len().saturating_sub(STDERR_TAIL)..];
        let over = (kept.len() + bytes.len()).saturating_sub(STDERR_TAIL);
        kept.drain(..over);
        kept.extend(bytes);
    }

    /// What is kept, as text, without the white space around it.
    pub(crate) fn text(&self) -> String {
        let kept: Vec<u8> = self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        String::from_utf8_lossy(&kept).trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_is_kept() {
        let tail = Tail::default();
        tail.push(b"first ");
        tail.push(&vec![b'x'; STDERR_TAIL]);
        tail.push(b" last");
        let text = tail.text();
        assert_eq!(text.len(), STDERR_TAIL);
        assert!(text.starts_with('x') && text.ends_with("x last"));
    }
}

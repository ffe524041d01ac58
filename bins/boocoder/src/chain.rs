//! Errors in one line.

/// An error and its sources in one line. Messages that already hold their source's are not repeated.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use boocoder_store::StoreError;
    use boocoder_worktree::WorktreeError;

    #[test]
    fn sources_are_told_once() {
        let io = std::io::Error::other("disk full");
        let error = WorktreeError::Io { action: "write", path: "/a".into(), source: io };
        assert_eq!(chain(&error), "cannot write \"/a\": disk full");
        assert_eq!(chain(&StoreError::Unreachable("gone".into())), "the database cannot be reached: gone");
    }

    #[test]
    fn context_comes_first() {
        let error = anyhow::Error::from(StoreError::Unreachable("gone".into())).context("no database");
        assert_eq!(chain(error.as_ref()), "no database: the database cannot be reached: gone");
    }
}

//! Contents in the object store, as they are: no rule of the project for line endings or filters is applied here.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::is_object_id;
use crate::{Repository, WorktreeError};

impl Repository {
    /// The contents of blobs, by their ids.
    ///
    /// # Errors
    /// [`WorktreeError::InvalidId`] for what is no id; [`WorktreeError::Gone`] if one is not in the object store;
    /// [`WorktreeError::TooLarge`] if all together are larger than the limit.
    pub async fn read_blobs(&self, ids: &BTreeSet<String>) -> Result<BTreeMap<String, Vec<u8>>, WorktreeError> {
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        if let Some(text) = ids.iter().find(|id| !is_object_id(id)) {
            return Err(WorktreeError::InvalidId { text: text.clone() });
        }
        let asked: String = ids.iter().flat_map(|id| [id.as_str(), "\n"]).collect();
        let output = self.command(["cat-file", "--batch"]).input(asked.into_bytes()).whole_tree().stdout().await?;
        let mut contents = BTreeMap::new();
        let mut rest = output.as_slice();
        for id in ids {
            let (content, after) = one_blob(rest, id)?;
            contents.insert(id.clone(), content.to_vec());
            rest = after;
        }
        Ok(contents)
    }

    /// Those of these objects that are not in the object store.
    ///
    /// # Errors
    /// What git says.
    pub async fn missing(&self, ids: &BTreeSet<String>) -> Result<BTreeSet<String>, WorktreeError> {
        let asked: String = ids.iter().flat_map(|id| [id.as_str(), "\n"]).collect();
        let check = self.command(["cat-file", "--batch-check"]).input(asked.into_bytes());
        let told = String::from_utf8_lossy(&check.whole_tree().stdout().await?).into_owned();
        Ok(told.lines().filter_map(|line| line.strip_suffix(" missing")).map(str::to_owned).collect())
    }

    /// Stores a content and returns its id.
    ///
    /// # Errors
    /// [`WorktreeError::Failed`] if the object store cannot be written.
    pub async fn write_blob(&self, content: Vec<u8>) -> Result<String, WorktreeError> {
        self.command(["hash-object", "-w", "--stdin", "--no-filters"]).input(content).line().await
    }
}

/// Reads `<id> blob <size>`, the content and a line feed; gives what follows them too.
fn one_blob<'a>(output: &'a [u8], id: &str) -> Result<(&'a [u8], &'a [u8]), WorktreeError> {
    let unreadable = |reason: String| WorktreeError::Unreadable { command: "git cat-file --batch", reason };
    let end = output.iter().position(|byte| *byte == b'\n').unwrap_or(output.len());
    let header = String::from_utf8_lossy(&output[..end]).into_owned();
    if header.strip_prefix(id) == Some(" missing") {
        return Err(WorktreeError::Gone { id: id.to_owned() });
    }
    let size = header.strip_prefix(id).and_then(|rest| rest.strip_prefix(" blob ")).and_then(|size| size.parse().ok());
    let Some(size) = size else { return Err(unreadable(format!("of {id} it says {header:?}"))) };
    let rest = output.get(end + 1..).unwrap_or_default();
    match (rest.get(..size), rest.get(size..).and_then(|rest| rest.split_first())) {
        (Some(content), Some((b'\n', after))) => Ok((content, after)),
        _ => Err(unreadable(format!("{id} is cut short"))),
    }
}

//! A change of one file as data, and the steps that it takes.

use boocoder_model::{BlobRef, Operation, PendingChange};

use crate::ids::is_object_id;
use crate::patch::LINK_MODE;
use crate::{RepoPath, WorktreeError};

/// A change of one file, whole: from one blob and mode to another. The content is in the project's object store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The file.
    pub path: RepoPath,
    /// Where it was before, for a rename.
    pub old_path: Option<RepoPath>,
    /// What happens to it.
    pub operation: Operation,
    /// What it starts from, none for a new file.
    pub base: Option<BlobRef>,
    /// What it leads to, none for a deletion.
    pub target: Option<BlobRef>,
}

/// What is to become of one path. The content is in the project's object store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The file.
    pub path: RepoPath,
    /// What is there, none for no file.
    pub before: Option<BlobRef>,
    /// What is to be there, none for no file.
    pub after: Option<BlobRef>,
}

impl Step {
    /// The step that takes this one back.
    #[must_use]
    pub fn inverse(self) -> Self {
        Self { path: self.path, before: self.after, after: self.before }
    }

    /// Whether this step removes a file where the other one needs a directory, or the other way round.
    pub fn makes_room_for(&self, other: &Self) -> bool {
        let crossed = other.path.is_below(&self.path) || self.path.is_below(&other.path);
        self.after.is_none() && other.after.is_some() && crossed
    }
}

impl Change {
    /// The steps of this change, once it is known to be well formed and to concern files alone.
    ///
    /// # Errors
    /// [`WorktreeError::Submodule`], or [`WorktreeError::MalformedChange`].
    pub fn steps(&self) -> Result<Vec<Step>, WorktreeError> {
        let (base, target) = (self.base.clone(), self.target.clone());
        let blobs = || self.base.iter().chain(&self.target);
        if blobs().any(BlobRef::is_submodule) {
            return Err(WorktreeError::Submodule { path: self.path.clone() });
        }
        let known = |mode: &str| matches!(mode, "100644" | "100755" | LINK_MODE);
        if blobs().any(|blob| !known(&blob.mode) || !is_object_id(&blob.blob)) {
            return Err(self.malformed("a blob or a mode is none of git's"));
        }
        let step = |path: &RepoPath, before, after| Step { path: path.clone(), before, after };
        match (self.operation, &self.old_path, &base, &target) {
            (Operation::Rename, Some(old_path), Some(_), Some(_)) if *old_path != self.path => {
                Ok(vec![step(&self.path, None, target), step(old_path, base, None)])
            }
            (Operation::Create, None, None, Some(_))
            | (Operation::Edit | Operation::Mode, None, Some(_), Some(_))
            | (Operation::Delete, None, Some(_), None) => Ok(vec![step(&self.path, base, target)]),
            (Operation::Create | Operation::Edit | Operation::Mode | Operation::Delete | Operation::Rename, ..) => {
                Err(self.malformed("its operation does not go with its paths and blobs"))
            }
        }
    }

    /// Whether a file becomes a link or a submodule, or one of these becomes another.
    pub(crate) fn turns_into_another_kind(&self) -> bool {
        let kind = |blob: &BlobRef| blob.mode.get(..3).map(str::to_owned);
        matches!((&self.base, &self.target), (Some(base), Some(target)) if kind(base) != kind(target))
    }

    /// Whether both sides that there are, are regular files.
    pub(crate) fn is_of_lines(&self) -> bool {
        self.base.iter().chain(&self.target).all(|blob| blob.mode.starts_with("100"))
    }

    fn malformed(&self, reason: &'static str) -> WorktreeError {
        WorktreeError::MalformedChange { path: self.path.to_string(), reason }
    }
}

impl TryFrom<&PendingChange> for Change {
    type Error = WorktreeError;

    /// Takes what a pending change says of its file, with its paths checked.
    fn try_from(pending: &PendingChange) -> Result<Self, WorktreeError> {
        Ok(Self {
            path: pending.file_path.parse()?,
            old_path: pending.old_path.as_deref().map(str::parse).transpose()?,
            operation: pending.operation,
            base: pending.base.clone(),
            target: pending.target.clone(),
        })
    }
}

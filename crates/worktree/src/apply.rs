//! Decisions carried out on the files of a checkout: apply, revert, reject. Index and HEAD are never touched.
//!
//! Every step is checked before the first is taken: the file must be exactly what the step starts from, or already what
//! it leads to. So a decision that was cut short is simply made again.

use boocoder_model::BlobRef;

use crate::change::Step;
use crate::patch::LINK_MODE;
use crate::place::{Place, Put, Seen, Stamp};
use crate::repository::{blocking, path_option};
use crate::{Change, Checkout, Conflict, Found, RepoPath, Repository, WorktreeError};

/// What a decision did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The files that were written or removed. Empty if all of them were as decided already.
    pub written: Vec<RepoPath>,
}

/// How a file's content becomes a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rules {
    /// By the project's rules for its path.
    Known,
    /// The same, and it is put into the object store.
    Stored,
    /// As it is.
    None,
}

/// A step that was found fit to be taken.
struct Ready {
    step: Step,
    stamp: Option<Stamp>,
    order: Order,
}

/// When a step is taken, among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    /// What is removed stands in the way of what is written.
    MakesRoom,
    /// The rules by which git turns contents into files. What is written after them is written by them.
    Attributes,
    /// Content is written before it is removed elsewhere.
    Writes,
    Removes,
}

impl Checkout {
    /// Takes changes out of the worktree, all of them or none: its files are as before them again.
    ///
    /// # Errors
    /// As [`Repository::revert`].
    pub async fn reject(&self, changes: &[Change]) -> Result<Applied, WorktreeError> {
        self.repository.revert(changes).await
    }
}

impl Repository {
    /// Writes changes to the checkout's files, all of them or none. A file that is already as wanted is left alone.
    ///
    /// # Errors
    /// [`WorktreeError::Conflict`] if a file is neither what its change starts from nor what it leads to;
    /// [`WorktreeError::UnsafePath`] if a directory on its way is a symbolic link.
    pub async fn apply(&self, changes: &[Change]) -> Result<Applied, WorktreeError> {
        self.carry_out(&steps(changes)?).await
    }

    /// Takes changes back, all of them or none. A file that is as before its change is left alone.
    ///
    /// # Errors
    /// As [`Repository::apply`], the other way round.
    pub async fn revert(&self, changes: &[Change]) -> Result<Applied, WorktreeError> {
        self.carry_out(&steps(changes)?.into_iter().map(Step::inverse).collect::<Vec<_>>()).await
    }

    /// What a path of the checkout holds, by the project's rules for line endings and filters. Its content is put into
    /// the object store.
    ///
    /// # Errors
    /// [`WorktreeError::UnsafePath`] in a repository inside the project, [`WorktreeError::TooLarge`], or what git says.
    pub async fn holds(&self, path: &RepoPath) -> Result<Found, WorktreeError> {
        let seen = self.look(path).await?;
        self.identify(path, &seen, Rules::Stored).await
    }

    /// The same, where one of these contents is expected: one that was stored against the rules is recognised as it is.
    ///
    /// # Errors
    /// As [`Repository::holds`].
    pub async fn holds_one_of(&self, path: &RepoPath, expected: &[&BlobRef]) -> Result<Found, WorktreeError> {
        let seen = self.look(path).await?;
        self.recognise(path, &seen, Rules::Stored, expected).await
    }

    /// Takes steps, all of them or none. One that was taken before is left alone, so whoever was cut short takes them
    /// all again.
    ///
    /// # Errors
    /// As [`Repository::apply`].
    pub async fn carry_out(&self, steps: &[Step]) -> Result<Applied, WorktreeError> {
        let (done, result) = self.attempt(steps).await?;
        let Err(error) = result else {
            return Ok(Applied { written: done.into_iter().map(|step| step.path).collect() });
        };
        let undo: Vec<Step> = done.into_iter().map(Step::inverse).collect();
        if let Err(undo) = self.attempt(&undo).await.and_then(|(_, result)| result) {
            tracing::error!(%error, %undo, root = %self.root().display(), "a decision stopped halfway");
        }
        Err(error)
    }

    /// Checks all steps, then takes them one by one; says which were taken, and what stopped the others.
    async fn attempt(&self, steps: &[Step]) -> Result<(Vec<Step>, Result<(), WorktreeError>), WorktreeError> {
        let mut ready = Vec::new();
        for step in steps {
            ready.extend(self.prepare(step, steps).await?);
        }
        ready.sort_by_key(|ready| ready.order);
        let begins = ready.partition_point(|ready| ready.order <= Order::Attributes);
        let has_rules = ready.iter().any(|ready| ready.order == Order::Attributes);
        let rest = if has_rules { ready.split_off(begins) } else { Vec::new() };
        let (mut done, mut result) = self.take(ready).await?;
        if result.is_ok() && !rest.is_empty() {
            let (more, ended) = match self.take(rest).await {
                Ok(taken) => taken,
                Err(error) => (Vec::new(), Err(error)),
            };
            done.extend(more);
            result = ended;
        }
        Ok((done, result))
    }

    /// Takes steps one by one, once all that they write is at hand.
    async fn take(&self, ready: Vec<Ready>) -> Result<(Vec<Step>, Result<(), WorktreeError>), WorktreeError> {
        let mut puts = Vec::new();
        for Ready { step, stamp, .. } in ready {
            let put = self.content(&step).await?;
            puts.push((step, stamp, put));
        }
        let root = self.root().to_owned();
        let taken = blocking(move || Place::open(&root).map(|place| take(&place, puts)));
        taken.await.map_err(WorktreeError::io("open", self.root()))
    }

    /// What a step writes, by the rules for its path.
    async fn content(&self, step: &Step) -> Result<Put, WorktreeError> {
        Ok(match &step.after {
            None => Put::Nothing,
            Some(BlobRef { blob, mode }) if mode == LINK_MODE => {
                Put::Link { target: self.command(["cat-file", "blob", blob]).stdout().await? }
            }
            Some(BlobRef { blob, mode }) => {
                let (rules, blob) = (path_option(&step.path), blob.into());
                let content = self.command(["cat-file".into(), "--filters".into(), rules, blob]).stdout().await?;
                Put::File { content, executable: mode == "100755" }
            }
        })
    }

    /// Checks one step. None if there is nothing to do.
    async fn prepare(&self, step: &Step, steps: &[Step]) -> Result<Option<Ready>, WorktreeError> {
        let seen = self.look(&step.path).await?;
        let expected: Vec<_> = step.before.iter().chain(&step.after).collect();
        let found = self.recognise(&step.path, &seen, Rules::Known, &expected).await?;
        let no_file = matches!(found, Found::Absent | Found::Directory | Found::BehindLink | Found::BehindFile);
        if self.is(&found, step.after.as_ref()) || (no_file && step.after.is_none()) {
            return Ok(None);
        }
        let makes_way = no_file && steps.iter().any(|other| other.makes_room_for(step));
        let is_full = makes_way && found == Found::Directory && !self.will_be_empty(step, steps).await?;
        if !self.is(&found, step.before.as_ref()) && (!makes_way || is_full) {
            return Err(refusal(step, found));
        }
        Ok(Some(Ready { step: step.clone(), stamp: seen.stamp(), order: order(step, steps) }))
    }

    /// Whether the directory that is where a step writes is empty after the others, and so gone.
    async fn will_be_empty(&self, step: &Step, steps: &[Step]) -> Result<bool, WorktreeError> {
        let removed: Vec<RepoPath> =
            steps.iter().filter(|other| other.makes_room_for(step)).map(|other| other.path.clone()).collect();
        let (root, path) = (self.root().to_owned(), step.path.clone());
        let only =
            blocking(move || Place::open(&root)?.holds_only(&path, &removed.iter().map(RepoPath::as_path).collect()));
        only.await.map_err(WorktreeError::io("read", self.root().join(step.path.as_path())))
    }

    async fn look(&self, path: &RepoPath) -> Result<Seen, WorktreeError> {
        let (root, own_path, limit) = (self.root().to_owned(), path.clone(), self.git.limits().output_bytes);
        let seen = blocking(move || Place::open(&root)?.look(&own_path, limit)).await;
        let seen = seen.map_err(WorktreeError::io("read", self.root().join(path.as_path())))?;
        if matches!(seen, Seen::InOtherRepository) {
            let reason = "one of its directories is a repository of its own";
            return Err(WorktreeError::UnsafePath { path: path.to_string(), reason });
        }
        if matches!(seen, Seen::TooLarge) {
            return Err(WorktreeError::TooLarge { what: path.to_string(), limit });
        }
        Ok(seen)
    }

    /// What was seen in git's terms. Content that was stored against the project's rules, for line endings say, is only
    /// recognised as it is, where it is expected.
    async fn recognise(
        &self,
        path: &RepoPath,
        seen: &Seen,
        rules: Rules,
        expected: &[&BlobRef],
    ) -> Result<Found, WorktreeError> {
        let by_rules = self.identify(path, seen, rules).await;
        let is_expected = |found: &Found| expected.iter().any(|blob| self.is(found, Some(blob)));
        if matches!(&by_rules, Ok(found) if is_expected(found) || !matches!(found, Found::File(_))) {
            return by_rules;
        }
        let as_it_is = self.identify(path, seen, Rules::None).await?;
        if by_rules.is_err() || is_expected(&as_it_is) { Ok(as_it_is) } else { by_rules }
    }

    /// What was seen in git's terms, by these rules.
    async fn identify(&self, path: &RepoPath, seen: &Seen, rules: Rules) -> Result<Found, WorktreeError> {
        let (content, mode, by_rules) = match seen {
            Seen::Absent => return Ok(Found::Absent),
            Seen::Directory => return Ok(Found::Directory),
            Seen::BehindLink => return Ok(Found::BehindLink),
            Seen::BehindFile => return Ok(Found::BehindFile),
            Seen::Special | Seen::InOtherRepository | Seen::TooLarge => return Ok(Found::Special),
            Seen::Link { target, .. } => (target, LINK_MODE, false),
            Seen::File { content, executable, .. } => {
                let mode = if *executable { "100755" } else { "100644" };
                (content, mode, rules != Rules::None)
            }
        };
        let filters = if by_rules { path_option(path) } else { "--no-filters".into() };
        let mut args = vec!["hash-object".into(), "--stdin".into(), filters];
        args.extend((rules == Rules::Stored).then(|| "-w".into()));
        let hash = self.command(args).input(content.clone());
        Ok(Found::File(BlobRef { blob: hash.line().await?, mode: mode.to_owned() }))
    }

    /// Whether what was found is this file, or, with none wanted, no file.
    pub fn is(&self, found: &Found, wanted: Option<&BlobRef>) -> bool {
        match (found, wanted) {
            (Found::Absent, None) => true,
            (Found::File(found), Some(wanted)) => {
                let regular = |blob: &BlobRef| blob.mode != LINK_MODE;
                let same_kind = !self.tracks_modes() && regular(found) && regular(wanted);
                found.blob == wanted.blob && (same_kind || found.mode == wanted.mode)
            }
            (_, None | Some(_)) => false,
        }
    }
}

fn steps(changes: &[Change]) -> Result<Vec<Step>, WorktreeError> {
    let steps: Result<Vec<_>, _> = changes.iter().map(Change::steps).collect();
    Ok(steps?.into_iter().flatten().collect())
}

fn order(step: &Step, steps: &[Step]) -> Order {
    match step.after {
        None if steps.iter().any(|other| step.makes_room_for(other)) => Order::MakesRoom,
        _ if step.path.as_path().file_name().is_some_and(|name| name == ".gitattributes") => Order::Attributes,
        Some(_) => Order::Writes,
        None => Order::Removes,
    }
}

/// Why a step is not taken, given what was found instead.
fn refusal(step: &Step, found: Found) -> WorktreeError {
    if found == Found::BehindLink {
        let reason = "one of its directories is a symbolic link";
        return WorktreeError::UnsafePath { path: step.path.to_string(), reason };
    }
    Conflict::error(step, found)
}

/// Takes the steps until one fails.
fn take(place: &Place, puts: Vec<(Step, Option<Stamp>, Put)>) -> (Vec<Step>, Result<(), WorktreeError>) {
    let mut done = Vec::new();
    for (step, stamp, put) in puts {
        match place.put(&step.path, stamp, &put) {
            Ok(true) => done.push(step),
            Ok(false) => return (done, Err(Conflict::error(&step, Found::Changing))),
            Err(source) => return (done, Err(WorktreeError::io("write", step.path.as_path())(source))),
        }
    }
    (done, Ok(()))
}

//! Rows through turns and decisions.

use std::collections::BTreeSet;

use boocoder_model::{
    AgentName, BlobRef, HunkId, Operation, PendingChange, PendingStatus, SessionId, TaskId, WorktreeId,
};
use boocoder_store::Change;
use boocoder_worktree::{Change as FileChange, FileDiff, Found, RepoPath};
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Carried, Contents, Located, Origin, Refusal, Side, Steps, Verdict, Wanted, accepted, choose, contributors, follow,
    go, outcome, put_off, state, without_rejected,
};

/// A session with one file, its rows, and the contents of all blobs.
#[derive(Default)]
struct Bench {
    rows: Vec<PendingChange>,
    contents: Contents,
    ids: u128,
    tasks: u128,
}

fn numbered(changes: &[(usize, &str)]) -> String {
    let line = |number: usize| {
        let changed = changes.iter().find(|(at, _)| *at == number);
        changed.map_or_else(|| format!("line {number}\n"), |(_, text)| (*text).to_owned())
    };
    (1..=40).map(line).collect()
}

impl Bench {
    fn blob(&mut self, content: Option<&str>) -> Option<BlobRef> {
        // Any injective id will do.
        let content = content?;
        let known = self.contents.iter().find(|(_, known)| *known == content.as_bytes()).map(|(id, _)| id.clone());
        let blob = known.unwrap_or_else(|| format!("{:040x}", self.contents.len() + 1));
        self.contents.insert(blob.clone(), content.as_bytes().to_vec());
        Some(BlobRef { blob, mode: "100644".into() })
    }

    fn file(&mut self, base: Option<&str>, target: Option<&str>) -> FileDiff {
        let (base, target) = (self.blob(base), self.blob(target));
        let operation = match (&base, &target) {
            (None, _) => Operation::Create,
            (_, None) => Operation::Delete,
            _ => Operation::Edit,
        };
        let change = FileChange { path: "a".parse().unwrap(), old_path: None, operation, base, target };
        FileDiff { change, binary: false, omitted: false, diff: "--- a/a\n+++ b/a\n".into(), hunks: Vec::new() }
    }

    /// What the project should hold, after a base.
    fn accepted(&self, base: Option<&str>) -> Option<String> {
        let Some(row) = self.rows.iter().rev().find(|row| row.hunks.iter().any(|h| h.status == PendingStatus::Applied))
        else {
            return base.map(str::to_owned);
        };
        self.text(row, accepted(row, &self.contents))
    }

    fn text(&self, row: &PendingChange, side: Side) -> Option<String> {
        let blob = |blob: &Option<BlobRef>| {
            blob.as_ref().map(|blob| String::from_utf8(self.contents[&blob.blob].clone()).unwrap())
        };
        match side {
            Side::Base => blob(&row.base),
            Side::Target => blob(&row.target),
            Side::Between(text) => Some(String::from_utf8(text).unwrap()),
        }
    }

    /// A turn of an agent leaves the worktree's file so.
    fn turn(&mut self, agent: Option<&str>, base: Option<&str>, target: Option<&str>) -> Vec<Change> {
        let base = self.accepted(base);
        let files = if base.as_deref() == target { Vec::new() } else { vec![self.file(base.as_deref(), target)] };
        self.tasks += 1;
        let task_id = agent.map(|_| TaskId::from_uuid(Uuid::from_u128(self.tasks)));
        let origin = Origin { agent: agent.map(AgentName::from), task_id, ..origin() };
        let mut ids = self.ids;
        let mut new_id = || {
            ids += 1;
            Uuid::from_u128(ids)
        };
        let texts: Vec<_> =
            self.rows.iter().map(|row| (row.id, self.text(row, accepted(row, &self.contents)))).collect();
        let sides: Vec<_> = texts.into_iter().map(|(id, text)| (id, self.blob(text.as_deref()))).collect();
        let side = |row: &PendingChange| sides.iter().find(|(id, _)| *id == row.id).unwrap().1.clone();
        let at = Timestamp::UNIX_EPOCH;
        let changes = follow(&self.rows, &files, &self.contents, &side, &origin, at, &mut new_id);
        self.ids = ids;
        self.take(&changes);
        changes
    }

    fn take(&mut self, changes: &[Change]) {
        for change in changes {
            if let Change::AddPending(row) = change {
                self.rows.push((**row).clone());
            } else {
                let Change::RevisePending(row) = change else { panic!("{change:?} is of another kind") };
                let before = self.rows.iter_mut().find(|before| before.id == row.id).unwrap();
                assert_eq!(before.revision + 1, row.revision);
                *before = (**row).clone();
            }
        }
    }

    fn decide(&mut self, verdict: Verdict, place: usize, hunks: &[usize]) {
        let row = self.rows[place].clone();
        let ids: Vec<_> = hunks.iter().map(|hunk| row.hunks[*hunk].id).collect();
        let (chosen, any) = choose(&row, &ids, verdict).unwrap();
        assert!(any);
        let rest = if verdict == Verdict::Reject {
            let mut refused = row.clone();
            let is_refused = |id: &HunkId| chosen.contains(id);
            for hunk in refused.hunks.iter_mut().filter(|hunk| is_refused(&hunk.id)) {
                hunk.status = PendingStatus::Rejected;
            }
            // As if it had been put off, so that its lines count as being there.
            refused.decisions.push(decision(&chosen));
            match without_rejected(&refused, &self.contents) {
                Side::Between(text) => self.blob(Some(&String::from_utf8(text).unwrap())),
                Side::Base | Side::Target => None,
            }
        } else {
            None
        };
        let carried = Carried {
            kind: verdict,
            hunks: chosen,
            against: "x".into(),
            before: row.base.clone(),
            after: row.target.clone(),
            rest,
            at: Timestamp::UNIX_EPOCH,
        };
        self.rows[place] = outcome(&row, &carried, &self.contents);
    }

    fn makers(&self, place: usize) -> Vec<Option<&str>> {
        self.rows[place].hunks.iter().map(|hunk| hunk.agent.as_ref().map(AgentName::as_str)).collect()
    }

    fn states(&self, place: usize) -> Vec<PendingStatus> {
        self.rows[place].hunks.iter().map(|hunk| hunk.status).collect()
    }
}

fn decision(hunks: &BTreeSet<HunkId>) -> boocoder_model::PendingDecision {
    boocoder_model::PendingDecision {
        kind: boocoder_model::PendingDecisionKind::Reject,
        hunks: hunks.iter().copied().collect(),
        decided_by: boocoder_model::DecidedBy::User,
        at: Timestamp::UNIX_EPOCH,
        against: String::new(),
        before: None,
        after: None,
    }
}

fn origin() -> Origin {
    Origin {
        session_id: Some(SessionId::from_uuid(Uuid::from_u128(9))),
        task_id: None,
        worktree_id: Some(WorktreeId::from_uuid(Uuid::from_u128(8))),
        ..Origin::default()
    }
}

use PendingStatus::{Applied, Pending, Rejected, Reverted, Superseded};

#[test]
fn two_agents_have_a_hunk_each_and_the_first_ones_keeps_its_id() {
    let mut bench = Bench::default();
    let base = numbered(&[]);
    bench.turn(Some("goose"), Some(&base), Some(&numbered(&[(5, "goose\n")])));
    let first = bench.rows[0].hunks[0].id;
    let both = numbered(&[(5, "goose\n"), (7, "qwen\n")]);
    let changes = bench.turn(Some("qwen"), Some(&base), Some(&both));
    assert_eq!(bench.makers(1), [Some("goose"), Some("qwen")]);
    assert_eq!(bench.rows[1].hunks[0].id, first);
    assert_eq!((bench.rows[0].status, bench.rows[0].hunks.len()), (Superseded, 0), "its hunk has moved on");
    assert_eq!(bench.rows[1].agent, Some("qwen".into()));
    let agents = contributors(&[], &changes);
    assert_eq!(agents, [Some("goose".into()), Some("qwen".into())]);
    // A turn that changes nothing changes no row.
    assert_eq!(bench.turn(Some("third"), Some(&base), Some(&both)), []);
}

#[test]
fn what_was_replaced_is_superseded_and_nothing_else() {
    let mut bench = Bench::default();
    let base = numbered(&[]);
    bench.turn(Some("goose"), Some(&base), Some(&numbered(&[(5, "goose\n"), (25, "goose\n")])));
    bench.turn(Some("qwen"), Some(&base), Some(&numbered(&[(5, "qwen\n"), (25, "goose\n")])));
    assert_eq!(bench.states(0), [Superseded], "the hunk that was changed again");
    assert_eq!(bench.makers(1), [Some("qwen"), Some("goose")]);
    bench.turn(Some("qwen"), Some(&base), Some(&base));
    assert_eq!((bench.rows[1].status, bench.states(1)), (Superseded, vec![Superseded, Superseded]));
    assert_eq!(bench.rows.len(), 2);
}

#[test]
fn a_humans_edit_in_the_worktree_is_nobodys() {
    let mut bench = Bench::default();
    let base = numbered(&[]);
    bench.turn(Some("goose"), Some(&base), Some(&numbered(&[(5, "goose\n")])));
    bench.turn(None, Some(&base), Some(&numbered(&[(5, "goose\n"), (9, "mine\n")])));
    bench.turn(Some("qwen"), Some(&base), Some(&numbered(&[(5, "goose\n"), (9, "mine\n"), (20, "qwen\n")])));
    assert_eq!(bench.makers(2), [Some("goose"), None, Some("qwen")]);
}

#[test]
fn decisions_already_taken_stand_while_the_file_goes_on() {
    let mut bench = Bench::default();
    let base = numbered(&[]);
    let first = numbered(&[(5, "a\n"), (20, "b\n"), (35, "c\n")]);
    bench.turn(Some("goose"), Some(&base), Some(&first));
    bench.decide(Verdict::Apply, 0, &[0]);
    assert_eq!((bench.rows[0].status, bench.states(0)), (Pending, vec![Applied, Pending, Pending]));
    assert_eq!(bench.accepted(Some(&base)), Some(numbered(&[(5, "a\n")])));
    let kept = bench.rows[0].hunks[1].id;
    bench.turn(Some("qwen"), Some(&base), Some(&numbered(&[(5, "a\n"), (20, "b\n"), (35, "C\n")])));
    assert_eq!((bench.rows[0].status, bench.states(0)), (Applied, vec![Applied, Superseded]));
    assert_eq!((bench.states(1), bench.makers(1)), (vec![Pending, Pending], vec![Some("goose"), Some("qwen")]));
    assert_eq!(bench.rows[1].hunks[0].id, kept);
    // All applied, the project holds what the worktree holds.
    bench.decide(Verdict::Apply, 1, &[]);
    assert_eq!(bench.accepted(Some(&base)), Some(numbered(&[(5, "a\n"), (20, "b\n"), (35, "C\n")])));
}

#[test]
fn what_was_accepted_of_a_file_stays_so_when_another_turn_goes_on_or_takes_it_away() {
    let base = numbered(&[]);
    let both = numbered(&[(5, "five\n"), (30, "thirty\n")]);
    let accepted = numbered(&[(5, "five\n")]);
    for next in [None, Some(numbered(&[(5, "five\n"), (30, "thirty\n"), (20, "twenty\n")]))] {
        let mut bench = Bench::default();
        bench.turn(Some("demo"), Some(&base), Some(&both));
        bench.decide(Verdict::Apply, 0, &[0]);
        bench.turn(Some("demo"), Some(&base), next.as_deref());
        assert_eq!(bench.accepted(Some(&base)).as_ref(), Some(&accepted), "{next:?}");
        bench.turn(None, Some(&base), next.as_deref());
        assert_eq!(bench.rows.len(), 2, "and nothing is told anew: {next:?}");
    }
}

#[test]
fn what_was_taken_back_is_not_offered_again_as_it_was() {
    let mut bench = Bench::default();
    let base = numbered(&[]);
    let target = numbered(&[(5, "a\n")]);
    bench.turn(Some("goose"), Some(&base), Some(&target));
    bench.decide(Verdict::Apply, 0, &[]);
    bench.decide(Verdict::Revert, 0, &[]);
    assert_eq!((bench.rows[0].status, bench.accepted(Some(&base))), (Reverted, Some(base.clone())));
    assert_eq!(bench.turn(Some("goose"), Some(&base), Some(&target)), []);
    bench.turn(Some("goose"), Some(&base), Some(&numbered(&[(5, "a\n"), (30, "b\n")])));
    assert_eq!((bench.rows[1].status, bench.states(1)), (Pending, vec![Reverted, Pending]));
    // Unless the agent takes it back itself, and then does it again.
    bench.turn(Some("goose"), Some(&base), Some(&base));
    bench.turn(Some("goose"), Some(&base), Some(&target));
    assert_eq!((bench.rows.len(), bench.states(2)), (3, vec![Pending]));
}

#[test]
fn a_refused_hunk_leaves_the_target_and_the_others_stay_where_they_are() {
    let mut bench = Bench::default();
    let base = numbered(&[]);
    bench.turn(Some("goose"), Some(&base), Some(&numbered(&[(5, ""), (20, "b\nb\n"), (35, "c\n")])));
    bench.decide(Verdict::Reject, 0, &[0]);
    let row = bench.rows[0].clone();
    assert_eq!(bench.states(0), [Rejected, Pending, Pending]);
    assert_eq!(bench.text(&row, Side::Target), Some(numbered(&[(20, "b\nb\n"), (35, "c\n")])));
    assert!(row.diff.starts_with("--- a/a\n+++ b/a\n@@ -17,7 +17,8 @@\n"), "{}", row.diff);
    bench.decide(Verdict::Apply, 0, &[2]);
    assert_eq!(bench.accepted(Some(&base)), Some(numbered(&[(35, "c\n")])));
    // The agent does the same once more: it is offered once more.
    bench.turn(Some("goose"), Some(&base), Some(&numbered(&[(5, ""), (20, "b\nb\n"), (35, "c\n")])));
    assert_eq!(bench.states(1), [Pending, Pending]);
    // All refused, the row stays as a record.
    bench.decide(Verdict::Reject, 1, &[]);
    assert_eq!((bench.rows[1].status, state(&bench.rows[1])), (Rejected, Rejected));
}

#[test]
fn a_refusal_that_is_put_off_leaves_the_lines_where_they_are() {
    let mut bench = Bench::default();
    let base = numbered(&[]);
    bench.turn(Some("goose"), Some(&base), Some(&numbered(&[(5, "a\n"), (30, "b\n")])));
    let row = bench.rows[0].clone();
    let (hunks, _) = choose(&row, &[row.hunks[0].id], Verdict::Reject).unwrap();
    let later = Carried {
        kind: Verdict::Reject,
        hunks: hunks.clone(),
        against: String::new(),
        before: None,
        after: None,
        rest: None,
        at: Timestamp::UNIX_EPOCH,
    };
    let after = outcome(&row, &later, &bench.contents);
    assert_eq!((after.target.clone(), put_off(&after)), (row.target, hunks));
    assert_eq!(
        bench.text(&after, without_rejected(&after, &bench.contents)),
        Some(numbered(&[(30, "b\n")])),
        "what is to be left of it"
    );
}

#[test]
fn a_decision_is_harmless_to_repeat_and_refused_when_it_was_another() {
    let mut bench = Bench::default();
    bench.turn(Some("goose"), Some(&numbered(&[])), Some(&numbered(&[(5, "a\n"), (30, "b\n")])));
    bench.decide(Verdict::Apply, 0, &[0]);
    let row = &bench.rows[0];
    let (applied, pending) = (row.hunks[0].id, row.hunks[1].id);
    assert_eq!(choose(row, &[applied], Verdict::Apply), Ok((BTreeSet::new(), false)));
    assert_eq!(choose(row, &[], Verdict::Apply), Ok(([pending].into(), true)));
    assert_eq!(choose(row, &[applied, pending], Verdict::Apply), Ok(([pending].into(), true)));
    assert_eq!(choose(row, &[applied], Verdict::Reject), Err(Refusal::Decided(Applied)));
    assert_eq!(choose(row, &[pending], Verdict::Revert), Err(Refusal::Decided(Pending)));
    let other = HunkId::from_uuid(Uuid::from_u128(77));
    assert_eq!(choose(row, &[other], Verdict::Apply), Err(Refusal::UnknownHunk(other)));
}

#[test]
fn a_file_without_lines_is_decided_on_as_a_whole() {
    let mut bench = Bench::default();
    bench.turn(Some("goose"), Some("\0a"), Some("\0b"));
    assert_eq!((bench.rows[0].hunks.len(), bench.rows[0].status), (0, Pending));
    bench.turn(Some("qwen"), Some("\0a"), Some("\0c"));
    assert_eq!((bench.rows[0].status, bench.rows[1].agent.clone()), (Superseded, Some("qwen".into())));
    assert_eq!(choose(&bench.rows[1], &[], Verdict::Apply), Ok((BTreeSet::new(), true)));
}

#[test]
fn rows_of_others_are_left_alone() {
    let mut bench = Bench::default();
    bench.turn(None, Some("a\n"), Some("b\n"));
    bench.rows[0].worktree_id = None;
    let human = bench.rows[0].clone();
    bench.turn(Some("goose"), Some("a\n"), Some("a\n"));
    assert_eq!(bench.rows, [human]);
}

#[test]
fn a_file_that_moved_on_is_merged_or_clashes_and_never_lost() {
    let mut bench = Bench::default();
    let mut blob = |changes: &[(usize, &str)]| bench.blob(Some(&numbered(changes))).unwrap();
    let (base, theirs) = (blob(&[]), blob(&[(5, "theirs\n")]));
    let (apart, same) = (blob(&[(20, "ours\n")]), blob(&[(5, "ours\n")]));
    let located = |blob: &BlobRef| Located { path: "a".parse().unwrap(), blob: Some(blob.clone()) };
    let go = |found: Option<&BlobRef>, to: &Located| go(found, &located(&base), to, &bench.contents);
    assert!(matches!(go(Some(&base), &located(&theirs)), Ok(Wanted::Blob(Some(blob))) if blob == theirs));
    assert!(matches!(go(Some(&theirs), &located(&theirs)), Ok(Wanted::Blob(Some(blob))) if blob == theirs));
    let Ok(Wanted::Merged(text, _)) = go(Some(&apart), &located(&theirs)) else { panic!("they are apart") };
    assert_eq!(String::from_utf8(text).unwrap(), numbered(&[(5, "theirs\n"), (20, "ours\n")]));
    let Err(clash) = go(Some(&same), &located(&theirs)) else { panic!("they clash") };
    assert_eq!((clash.ours.as_deref(), clash.theirs.as_deref()), (Some("ours\n"), Some("theirs\n")));
    let gone = Located { path: "a".parse().unwrap(), blob: None };
    assert!(go(Some(&apart), &gone).is_err(), "a file that was changed is not deleted");
    assert!(go(None, &located(&theirs)).is_err());
}

#[test]
fn a_file_and_a_directory_in_each_others_place_need_somebody_who_makes_room() {
    let path = |text: &str| text.parse::<RepoPath>().unwrap();
    let blob = || Some(BlobRef { blob: "1".repeat(40), mode: "100644".into() });
    let behind = |steps: &mut Steps| assert_eq!(steps.found(&path("d/x"), Found::BehindFile), Ok(None));
    // What comes back and goes again in one decision is in nobody's way.
    let mut steps = Steps::default();
    steps.add(path("d"), blob(), None);
    behind(&mut steps);
    steps.add(path("d/x"), None, blob());
    steps.add(path("d/x"), blob(), None);
    assert_eq!((steps.in_the_way(), steps.into_steps().len()), (Vec::new(), 1));

    let mut steps = Steps::default();
    behind(&mut steps);
    steps.add(path("d/x"), None, blob());
    let stuck = || vec![(path("d/x"), "a file is in place of one of its directories".to_owned())];
    assert_eq!(steps.in_the_way(), stuck());

    for (takes_its_place, expected) in [(false, stuck()), (true, Vec::new())] {
        let mut steps = Steps::default();
        behind(&mut steps);
        steps.note_gone(&path("d/x"));
        steps.add(path("d/x"), None, None);
        if takes_its_place {
            steps.add(path("d"), blob(), blob());
        }
        assert_eq!(steps.in_the_way(), expected);
    }
}

//! Chosen texts.

use boocoder_hunks::{Clash, Hunk, attribute, choose, hunks, merge, recall, without};

fn numbered(changes: &[(usize, &str)]) -> Vec<u8> {
    let line = |number: usize| {
        let changed = changes.iter().find(|(at, _)| *at == number);
        changed.map_or_else(|| format!("line {number}\n"), |(_, text)| (*text).to_owned())
    };
    (1..=30).map(line).collect::<String>().into_bytes()
}

fn origins<O: Copy>(hunks: &[Hunk<O>]) -> Vec<O> {
    hunks.iter().map(|hunk| hunk.origin).collect()
}

#[test]
fn changes_near_each_other_are_one_hunk_and_far_ones_two() {
    let base = numbered(&[]);
    assert_eq!(hunks(&base, &numbered(&[(5, "A\n"), (12, "B\n")]), ()).len(), 1);
    assert_eq!(hunks(&base, &numbered(&[(5, "A\n"), (13, "B\n")]), ()).len(), 2);
}

#[test]
fn a_hunk_reads_as_git_writes_it() {
    let (base, target) = (numbered(&[]), numbered(&[(2, "two\n"), (30, "thirty")]));
    let made = hunks(&base, &target, ());
    assert_eq!(made[0].text(&base, &target), "@@ -1,5 +1,5 @@\n line 1\n-line 2\n+two\n line 3\n line 4\n line 5\n");
    let last = made[1].text(&base, &target);
    assert!(last.ends_with("-line 30\n+thirty\n\\ No newline at end of file\n"), "{last}");
    let made = hunks(b"", b"new\n", ());
    assert_eq!(made[0].text(b"", b"new\n"), "@@ -0,0 +1,1 @@\n+new\n");
    let made = hunks(b"old\n", b"", ());
    assert_eq!(made[0].text(b"old\n", b""), "@@ -1,1 +0,0 @@\n-old\n");
}

#[test]
fn two_that_change_lines_near_each_other_have_a_hunk_each() {
    let (base, first) = (numbered(&[]), numbered(&[(5, "first\n")]));
    let made = hunks(&base, &first, "first");
    let second = numbered(&[(5, "first\n"), (7, "second\n")]);
    let both = attribute(&base, &first, &made, &second, "second");
    assert_eq!(origins(&both), ["first", "second"]);
    assert_eq!(both[0].effect(&base, &second), made[0].effect(&base, &first), "it is the same hunk still");
    assert_eq!(choose(&base, &second, &both, |hunk| hunk.origin == "first"), first);
    assert_eq!(choose(&base, &second, &both, |hunk| hunk.origin == "second"), numbered(&[(7, "second\n")]));
}

#[test]
fn a_hunk_belongs_to_whoever_touched_it_last() {
    let (base, first) = (numbered(&[]), numbered(&[(5, "first\n"), (20, "first\n")]));
    let made = hunks(&base, &first, "first");
    let second = numbered(&[(5, "second\n"), (20, "first\n")]);
    let both = attribute(&base, &first, &made, &second, "second");
    assert_eq!(origins(&both), ["second", "first"]);
    // A line that is put in above moves the others, and that is no touch.
    let moved = [b"zero\n".as_slice(), &second].concat();
    let all = attribute(&base, &second, &both, &moved, "third");
    assert_eq!(origins(&all), ["third", "second", "first"]);
}

#[test]
fn lines_that_several_put_in_at_one_place_have_an_owner_each() {
    let base = numbered(&[]);
    let first = [base.as_slice(), b"by the first\n"].concat();
    let made = hunks(&base, &first, "first");
    let second = [first.as_slice(), b"by the second\n"].concat();
    let both = attribute(&base, &first, &made, &second, "second");
    assert_eq!(origins(&both), ["first", "second"]);
    assert_eq!(choose(&base, &second, &both, |hunk| hunk.origin == "first"), first);
    let alone = choose(&base, &second, &both, |hunk| hunk.origin == "second");
    assert_eq!(alone, [base.as_slice(), b"by the second\n"].concat());
}

#[test]
fn a_new_text_that_several_wrote_has_an_owner_for_each_line() {
    let first = b"1\n2\n3\n4\n";
    let made = hunks(b"", first, "first");
    let second = b"1\n2\nII\n4\n";
    let both = attribute(b"", first, &made, second, "second");
    assert_eq!(origins(&both), ["first", "second", "first"]);
    assert_eq!(choose(b"", second, &both, |hunk| hunk.origin == "first"), b"1\n2\n4\n");
    let third = attribute(b"", second, &both, b"1\n2\nII\n4\n5\n", "third");
    assert_eq!(origins(&third), ["first", "second", "first", "third"]);
    let (text, left) = without(b"", b"1\n2\nII\n4\n5\n", &third, |hunk| hunk.origin == "first");
    assert_eq!((text.as_slice(), origins(&left)), (b"II\n5\n".as_slice(), vec!["second", "third"]));
}

#[test]
fn lines_that_are_taken_out_belong_to_whoever_did() {
    let (base, first) = (numbered(&[]), numbered(&[(5, "")]));
    let made = hunks(&base, &first, "first");
    let second = numbered(&[(5, ""), (25, "")]);
    assert_eq!(origins(&attribute(&base, &first, &made, &second, "second")), ["first", "second"]);
}

#[test]
fn what_is_back_as_it_was_has_no_hunk() {
    let (base, first) = (numbered(&[]), numbered(&[(5, "first\n")]));
    let made = hunks(&base, &first, "first");
    assert_eq!(attribute(&base, &first, &made, &base, "second"), []);
}

#[test]
fn what_was_accepted_meanwhile_is_no_hunk_any_more() {
    let (base, first) = (numbered(&[]), numbered(&[(5, "first\n"), (20, "first\n")]));
    let made = hunks(&base, &first, "first");
    let accepted = choose(&base, &first, &made[..1], |_| true);
    let second = numbered(&[(5, "first\n"), (20, "first\n"), (28, "second\n")]);
    let left = attribute(&accepted, &first, &made, &second, "second");
    assert_eq!(origins(&left), ["first", "second"]);
    assert!(left[0].old.contains(&19) && left[1].old.contains(&27));
}

#[test]
fn hunks_that_stand_are_found_again_after_others_were_taken_out() {
    let (base, target) = (numbered(&[]), numbered(&[(3, ""), (15, "a\nb\n"), (28, "c\n")]));
    let made = hunks(&base, &target, ());
    let (text, left) = without(&base, &target, &made, |hunk| *hunk == made[0]);
    assert_eq!(text, numbered(&[(15, "a\nb\n"), (28, "c\n")]));
    assert_eq!(left, hunks(&base, &text, ())[..]);
    let known = left.iter().map(|hunk| (hunk.old.clone(), hunk.new.clone(), ()));
    assert_eq!(recall(&base, &text, known), left);
}

#[test]
fn changes_apart_merge_and_changes_of_the_same_or_of_neighbouring_lines_clash() {
    let base = numbered(&[]);
    let (ours, theirs) = (numbered(&[(5, "ours\n")]), numbered(&[(7, "theirs\n")]));
    assert_eq!(merge(&base, &ours, &theirs).unwrap(), numbered(&[(5, "ours\n"), (7, "theirs\n")]));
    assert_eq!(merge(&base, &ours, &ours).unwrap(), ours);
    let same = numbered(&[(5, "theirs\n")]);
    let clash = Clash { base: b"line 5\n".to_vec(), ours: b"ours\n".to_vec(), theirs: b"theirs\n".to_vec() };
    assert_eq!(merge(&base, &ours, &same).unwrap_err(), [clash]);
    let beside = numbered(&[(6, "theirs\n")]);
    let clashes = merge(&base, &ours, &beside).unwrap_err();
    assert_eq!(clashes[0].ours, b"ours\nline 6\n");
    assert_eq!(clashes[0].theirs, b"line 5\ntheirs\n");
}

//! What holds for all texts.

use boocoder_hunks::{attribute, choose, from_git_range, git_range, hunks, merge, recall, without};
use proptest::prelude::*;
use proptest::sample::select;

/// Few lines, so that texts meet; with carriage returns, no line feed at the end, and bytes that are no text.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let line = select(vec![b"a\n".as_slice(), b"b\n", b"c\r\n", b"\n", b"d", b"\xff\0\n", b"\r"]);
    prop::collection::vec(line, 0..24).prop_map(|lines| lines.concat())
}

proptest! {
    #[test]
    fn all_hunks_give_the_target_and_none_the_base(base in text(), target in text()) {
        let made = hunks(&base, &target, ());
        prop_assert_eq!(choose(&base, &target, &made, |_| true), target.clone());
        prop_assert_eq!(choose(&base, &target, &made, |_| false), base.clone());
        prop_assert_eq!(made.is_empty(), base == target);
        let known = made.iter().map(|hunk| (hunk.old.clone(), hunk.new.clone(), ()));
        prop_assert_eq!(recall(&base, &target, known), made);
    }

    #[test]
    fn hunks_follow_each_other_and_their_ranges_are_gits(base in text(), target in text()) {
        let made = hunks(&base, &target, ());
        prop_assert!(made.is_sorted_by(|one, next| one.old.end <= next.old.start && one.new.end <= next.new.start));
        for hunk in &made {
            let (start, lines) = git_range(&hunk.old);
            prop_assert_eq!(from_git_range(start, lines), hunk.old.clone());
        }
    }

    #[test]
    fn taking_hunks_out_one_after_the_other_or_at_once_is_the_same(
        base in text(), target in text(), out in prop::collection::vec(any::<bool>(), 24)
    ) {
        let marks = hunks(&base, &target, ());
        let all: Vec<_> = marks.iter().zip(&out).map(|(hunk, out)| (hunk.old.clone(), hunk.new.clone(), *out)).collect();
        let all = recall(&base, &target, all);
        let (text, left) = without(&base, &target, &all, |hunk| hunk.origin);
        prop_assert_eq!(choose(&base, &text, &left, |_| true), text.clone());
        prop_assert_eq!(choose(&base, &text, &left, |_| false), base.clone());
        let (mut stepwise, mut rest) = (target.clone(), all);
        while let Some(at) = rest.iter().position(|hunk| hunk.origin) {
            let old = rest[at].old.clone();
            (stepwise, rest) = without(&base, &stepwise, &rest, |hunk| hunk.old == old && hunk.origin);
        }
        prop_assert_eq!(stepwise, text);
    }

    #[test]
    fn several_hands_leave_no_change_without_an_owner(base in text(), steps in prop::collection::vec(text(), 1..5)) {
        let (mut old, mut made) = (base.clone(), Vec::new());
        for (number, new) in steps.iter().enumerate() {
            let next = attribute(&base, &old, &made, new, number);
            prop_assert_eq!(choose(&base, new, &next, |_| true), new.clone());
            prop_assert_eq!(choose(&base, new, &next, |_| false), base.clone());
            prop_assert!(next.iter().all(|hunk| hunk.origin <= number));
            let known = next.iter().map(|hunk| (hunk.old.clone(), hunk.new.clone(), hunk.origin));
            prop_assert_eq!(&recall(&base, new, known), &next);
            if old == *new {
                prop_assert_eq!(&next, &attribute(&base, &old, &next, new, number + 1));
            }
            (old, made) = (new.clone(), next);
        }
    }

    #[test]
    fn a_merge_with_an_unchanged_side_is_the_other_side(base in text(), changed in text()) {
        prop_assert_eq!(merge(&base, &changed, &base).unwrap(), changed.clone());
        prop_assert_eq!(merge(&base, &base, &changed).unwrap(), changed.clone());
        prop_assert_eq!(merge(&base, &changed, &changed).unwrap(), changed);
    }

    #[test]
    fn a_merge_is_the_same_from_both_sides(base in text(), ours in text(), theirs in text()) {
        match (merge(&base, &ours, &theirs), merge(&base, &theirs, &ours)) {
            (Ok(one), Ok(other)) => prop_assert_eq!(one, other),
            (Err(one), Err(other)) => prop_assert_eq!(one.len(), other.len()),
            (one, other) => prop_assert!(false, "{one:?} and {other:?}"),
        }
    }
}

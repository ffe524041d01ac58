//! A journal from both of its ends.

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::Write;

use boocoder_model::{AgentEvent, TurnId};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::runner::protocol::samples;
use crate::runner::record::{Entry, Record, Sent};
use crate::{SessionEvent, SessionInfo};

const SMALL: u64 = 2000;

fn said(text: &str) -> Entry {
    Entry::Event(SessionEvent::Agent { turn: None, event: AgentEvent::Text(text.to_owned()) })
}

fn journal() -> (TempDir, Writer) {
    let dir = tempfile::tempdir().expect("a directory");
    let writer = Writer::create(dir.path().to_owned(), SMALL).expect("begun");
    (dir, writer)
}

fn write(writer: &mut Writer, entries: impl IntoIterator<Item = Entry>) {
    writer.append(&mut entries.into_iter().collect()).expect("written");
}

fn read(dir: &TempDir, after: u64) -> Vec<Record> {
    let mut reader = Reader::open(dir.path(), Position(after)).expect("readable").expect("there");
    let mut all = Vec::new();
    loop {
        let some = reader.read(None, 700).expect("readable");
        if some.is_empty() {
            return all;
        }
        all.extend(some);
    }
}

fn texts(records: &[Record]) -> Vec<String> {
    let text = |record: &Record| {
        let Entry::Event(SessionEvent::Agent { event: AgentEvent::Text(text), .. }) = &record.entry else {
            panic!("{record:?}")
        };
        text.clone()
    };
    records.iter().map(text).collect()
}

fn files(dir: &TempDir) -> Vec<u64> {
    segments(dir.path()).expect("readable").into_iter().map(|first| first.0).collect()
}

#[test]
fn what_was_written_is_read_from_any_position_across_segments() {
    let (dir, mut writer) = journal();
    for number in 0..100 {
        write(&mut writer, [said(&format!("{number} {}", "x".repeat(50)))]);
    }
    assert!(files(&dir).len() > 3, "{:?}", files(&dir));
    for after in [0, 1, 17, 50, 99] {
        let records = read(&dir, after);
        let numbers: Vec<u64> = records.iter().map(|record| record.n.0).collect();
        assert_eq!(numbers, (after + 1..=100).collect::<Vec<_>>());
        assert!(texts(&records)[0].starts_with(&format!("{after} ")));
    }
    assert!(read(&dir, 100).is_empty());
    assert_eq!(read_state(dir.path()).expect("readable").as_ref(), Some(writer.state()));
}

#[test]
fn a_reader_follows_a_writer_and_reads_no_further_than_it_is_told() {
    let (dir, mut writer) = journal();
    let mut reader = Reader::open(dir.path(), Position::ZERO).expect("readable").expect("there");
    let mut next = |upto| texts(&reader.read(Some(Position(upto)), 1_000_000).expect("readable"));
    assert!(next(0).is_empty());
    write(&mut writer, [said("a"), said("b"), said("c")]);
    assert_eq!(next(2), ["a", "b"]);
    assert!(next(2).is_empty());
    let long = "x".repeat(usize::try_from(SMALL).expect("small"));
    write(&mut writer, [said(&long)]);
    assert_eq!(next(4), ["c"], "the rest of a segment comes first");
    assert_eq!(next(4), [long]);
}

#[test]
fn a_segment_whose_beginning_is_more_than_is_read_at_a_time_is_not_the_end() {
    let (dir, mut writer) = journal();
    let agent_version = Some("x".repeat(3000));
    write(&mut writer, [Entry::Opened(Box::new(SessionInfo { agent_version, ..samples::info() })), said("a")]);
    write(&mut writer, [said("b")]);
    write(&mut writer, [said("c")]);
    assert!(files(&dir).len() > 1, "the last ones stand in a segment that begins with the version");
    assert_eq!(texts(&read(&dir, 1)), ["a", "b", "c"]);
}

#[test]
fn a_torn_last_line_is_no_record() {
    let (dir, mut writer) = journal();
    write(&mut writer, [said("whole"), said("whole, too")]);
    let path = segment(dir.path(), Position(1));
    let mut file = OpenOptions::new().append(true).open(path).expect("there");
    file.write_all(br#"{"n":3,"event":{"agent":{"turn":nu"#).expect("written");
    assert_eq!(texts(&read(&dir, 0)), ["whole", "whole, too"]);
    assert_eq!(read_state(dir.path()).expect("readable").expect("there").last, Position(2));
    // The beginning of the next segment may be torn, too.
    std::fs::write(segment(dir.path(), Position(3)), br#"{"n":2,"sta"#).expect("written");
    assert_eq!(read_state(dir.path()).expect("readable").expect("there").last, Position(2));
    assert!(read(&dir, 2).is_empty());
}

#[test]
fn a_full_disk_leaves_nothing_torn_and_skips_nothing() {
    let (dir, mut writer) = journal();
    write(&mut writer, [said("first")]);
    let mut entries: VecDeque<_> = [said("second"), said(&"y".repeat(3000)), said("third")].into();
    for room in [0, 1, 70, 1500, 2999] {
        writer.limit_disk(Some(room));
        let error = writer.append(&mut entries).expect_err("no room");
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        let seen = texts(&read(&dir, 0));
        assert_eq!(seen[0], "first");
        assert_eq!(seen.len() as u64, writer.state().last.0, "what is not written has no number");
    }
    writer.limit_disk(None);
    writer.append(&mut entries).expect("room again");
    assert!(entries.is_empty());
    assert_eq!(texts(&read(&dir, 0)), ["first", "second", &"y".repeat(3000), "third"]);
}

#[test]
fn acknowledged_segments_are_removed_and_the_rest_still_tells_everything() {
    let (dir, mut writer) = journal();
    let turn = TurnId::from_uuid(uuid::Uuid::from_u128(1));
    write(&mut writer, [Entry::Opened(Box::new(samples::info()))]);
    write(&mut writer, [Entry::Sent(Sent::Prompt(samples::plain_prompt(turn)))]);
    (0..100).for_each(|_| write(&mut writer, [said(&"x".repeat(50))]));
    let (before, bytes) = (files(&dir), writer.bytes());
    writer.forget(Position(before[2] - 2)).expect("removed");
    assert_eq!(files(&dir), before[1..], "one record of the second segment is not acknowledged");
    writer.forget(Position(before[2] - 1)).expect("removed");
    assert_eq!(files(&dir), before[2..]);
    assert!(writer.bytes() < bytes);
    writer.forget(Position(102)).expect("removed");
    assert_eq!(files(&dir).len(), 1, "the last one stays");
    let state = read_state(dir.path()).expect("readable").expect("there");
    assert_eq!((state.info, state.running, state.last), (Some(samples::info()), Some(turn), Position(102)));
    assert!(matches!(Reader::open(dir.path(), Position(1)), Err(JournalError::Gap { .. })), "it is gone");
}

#[test]
fn a_hole_is_an_error() {
    let (dir, mut writer) = journal();
    write(&mut writer, [said("one")]);
    let line = Record { n: Position(3), entry: said("three") }.encode();
    std::fs::OpenOptions::new()
        .append(true)
        .open(segment(dir.path(), Position(1)))
        .and_then(|mut file| file.write_all(&line))
        .expect("written");
    let mut reader = Reader::open(dir.path(), Position::ZERO).expect("readable").expect("there");
    let error = reader.read(None, 1000).expect_err("a hole");
    assert_eq!(error.to_string(), "record 2 was expected, and 3 is there");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_events_come_back_in_order(events in prop::collection::vec(samples::session_event(), 1..40)) {
        let (dir, mut writer) = journal();
        for batch in events.chunks(3) {
            write(&mut writer, batch.iter().cloned().map(Entry::Event));
        }
        let read: Vec<_> = read(&dir, 0).into_iter().map(|record| record.entry).collect();
        prop_assert_eq!(read, events.into_iter().map(Entry::Event).collect::<Vec<_>>());
        let state = read_state(dir.path()).expect("readable");
        prop_assert_eq!(state.as_ref(), Some(writer.state()));
    }
}

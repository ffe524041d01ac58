//! A log that does not end where its writer thinks that it does.

use boocoder_model::{Position, Seq};
use boocoder_store::{StoredFrame, WriteBatch};

use super::faulty::{Fault, Faulty};
use super::tests::{ALL, RUNNERS, SESSION, changing, entry, expected, journaled, project, run, said, start, stored};
use super::{Entry, Store};
use crate::broker::Subscription;
use crate::limits;

async fn kept(store: &Faulty) -> Vec<String> {
    stored(&store.frames_after(SESSION, Seq::ZERO, ALL).await.unwrap())
}

async fn seen(client: &mut Subscription, count: usize) -> Vec<String> {
    let mut seen = Vec::new();
    while seen.len() < count {
        seen.extend(client.next().await.unwrap().unwrap());
    }
    stored(&seen)
}

#[test]
fn what_was_shown_and_is_not_there_is_written_again_and_its_numbers_are_not_given_to_others() {
    for (second, third) in [
        (entry("two"), entry("three")),
        (entry("two"), journaled("three", RUNNERS[0], 1)),
        (changing("two"), changing("three")),
    ] {
        run(async {
            let (store, log, broker) = start(vec![Fault::None, Fault::Lie]).await;
            let mut client = broker.subscribe(SESSION, Seq::ZERO).await.unwrap();
            log.write(entry("one")).await.unwrap();
            log.write(second).await.unwrap();
            log.write(third).await.unwrap();
            let texts = ["one", "two", "three"].map(str::to_owned);
            assert_eq!(kept(&store).await, expected(&texts));
            assert_eq!(seen(&mut client, texts.len()).await, expected(&texts));
        });
    }
}

#[test]
fn what_nobody_remembers_leaves_its_numbers_to_nothing_else() {
    run(async {
        let (store, log, _) = start(vec![Fault::None, Fault::Lie]).await;
        log.write(entry("one")).await.unwrap();
        let lost = usize::try_from(limits::REFILL).unwrap() * 2 + 1;
        let frames = (0..lost).map(|n| said(&n.to_string())).collect();
        log.write(Entry { session: Some(SESSION), changes: Vec::new(), frames }).await.unwrap();
        log.write(entry("last")).await.unwrap();
        let kept = kept(&store).await;
        assert_eq!(kept.len(), lost + 2);
        assert_eq!(kept.first(), Some(&said("one").encode(Seq(1))));
        assert_eq!(kept.last(), Some(&said("last").encode(Seq(lost as u64 + 2))));
        assert!(kept[1..=lost].iter().all(|frame| frame.contains(r#""type":"resync""#)), "{kept:?}");
    });
}

#[test]
fn what_was_lost_before_what_a_journal_would_make_again_does_not_keep_that_from_the_disk() {
    for elsewhere in [false, true] {
        run(async {
            let (store, log, broker) = start(vec![Fault::Lie, Fault::Lie]).await;
            let _client = broker.subscribe(SESSION, Seq::ZERO).await.unwrap();
            log.write(entry("one")).await.unwrap();
            log.write(journaled("two", RUNNERS[0], 1)).await.unwrap();
            if elsewhere {
                let entry = Entry { session: None, changes: vec![project("another")], frames: Vec::new() };
                log.write(entry).await.unwrap();
            } else {
                tokio::time::sleep(limits::VOLATILE.1 * 2).await;
            }
            assert_eq!(kept(&store).await, expected(&["one", "two"].map(str::to_owned)));
            assert_eq!(store.inner.last_seq(SESSION).await.unwrap(), Seq(2), "on disk");
            assert_eq!(store.runner(RUNNERS[0]).await.unwrap().unwrap().consumed.position, Position(1));
        });
    }
}

#[test]
fn a_log_that_is_longer_than_was_thought_is_gone_on_with_behind_its_end() {
    run(async {
        let (store, log, broker) = start(Vec::new()).await;
        let mut client = broker.subscribe(SESSION, Seq::ZERO).await.unwrap();
        log.write(entry("one")).await.unwrap();
        let body = said("two").encode(Seq(2)).into();
        let frames = vec![StoredFrame { session_id: SESSION, seq: Seq(2), body }];
        store.inner.commit(WriteBatch { frames, durable: true, ..WriteBatch::default() }).await.unwrap();
        log.write(changing("three")).await.unwrap();
        let texts = ["one", "two", "three"].map(str::to_owned);
        assert_eq!(kept(&store).await, expected(&texts));
        assert_eq!(seen(&mut client, texts.len()).await, expected(&texts));
    });
}

#[test]
fn what_is_written_though_it_is_said_not_to_fit_is_shown_and_not_written_again() {
    run(async {
        let (store, log, broker) = start(vec![Fault::None, Fault::Denial]).await;
        let mut client = broker.subscribe(SESSION, Seq::ZERO).await.unwrap();
        for text in ["one", "two", "three"] {
            log.write(changing(text)).await.unwrap();
        }
        let texts = ["one", "two", "three"].map(str::to_owned);
        assert_eq!(kept(&store).await, expected(&texts));
        assert_eq!(seen(&mut client, texts.len()).await, expected(&texts));
    });
}

//! A server that writes while another one takes over: the one waits for the other, and nothing is lost between them.

use std::time::Duration;

use boocoder_model::{Seq, ServerId, Task, TaskState};
use boocoder_store::conformance::PATIENCE;
use boocoder_store::{Change, PgStore, Store, StoreError, WriteBatch, Writer};
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::database::Database;
use crate::postgres::{AT, SESSION, add, batch, frame, log, settle, task};

async fn server(store: &dyn Store, number: u128, lease: Duration) -> Writer {
    let server = ServerId::from_uuid(Uuid::from_u128(number));
    Writer { server, fence: store.register(server, lease, AT).await.unwrap() }
}

/// Two servers, the lease of the first over, with a task that it runs.
async fn two(here: &PgStore, there: &PgStore) -> (Writer, Writer, Task) {
    settle(here).await;
    let (first, second) = (server(here, 71, Duration::ZERO).await, server(there, 72, Duration::from_secs(600)).await);
    here.commit(batch(vec![add(10)], Vec::new())).await.unwrap();
    let task = here.claim_task(Some(first), AT).await.unwrap().unwrap();
    (first, second, task)
}

/// Waits until so many connections wait for a lock.
async fn waiting(client: &Client, count: i64) {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let all_wait = async {
        while client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) < count {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, all_wait).await.unwrap();
}

/// What the first has under way when it is taken over is written, and the taker sees it.
#[tokio::test]
async fn a_take_over_waits_for_what_is_under_way() {
    let database = Database::create().await;
    let (here, there) = (database.store().await, database.store().await);
    let (first, second, running) = two(&here, &there).await;
    let (watcher, mut holder) = (database.client().await, database.client().await);
    let hold = holder.transaction().await.unwrap();
    hold.execute("SELECT FROM tasks WHERE id = $1 FOR UPDATE", &[&running.id.as_uuid()]).await.unwrap();

    let done = Task { state: TaskState::Completed, ..running.clone() };
    let end = Change::UpdateTask { task: Box::new(done), from: TaskState::Running };
    let write = here.commit(WriteBatch { writer: Some(first), ..batch(vec![end], vec![frame(1)]) });
    let take = async {
        waiting(&watcher, 1).await;
        let release = async {
            waiting(&watcher, 2).await;
            hold.commit().await.unwrap();
        };
        tokio::join!(there.take_over(second, first, AT), release).0
    };
    let (written, taken) = tokio::join!(write, take);
    written.unwrap();
    assert_eq!(taken.unwrap(), []);
    assert_eq!(there.owned(second.server).await.unwrap().taken_over, [], "the task had ended by then");
    assert_eq!(log(&there).await, [frame(1)]);
    let late = here.commit(WriteBatch { writer: Some(first), ..batch(Vec::new(), vec![frame(2)]) }).await;
    assert!(matches!(late, Err(StoreError::FencedOff)), "{late:?}");
    for store in [here, there] {
        store.close().await;
    }
    database.end().await;
}

/// What the first begins while it is being taken over waits, and is refused, in every way that a batch is written.
#[tokio::test]
async fn a_write_waits_for_a_take_over_and_is_refused() {
    let database = Database::create().await;
    let (here, there) = (database.store().await, database.store().await);
    let (first, second, running) = two(&here, &there).await;
    let (watcher, mut holder) = (database.client().await, database.client().await);
    // The take-over comes as far as the task, and is held there.
    let hold = holder.transaction().await.unwrap();
    hold.execute("SELECT FROM tasks WHERE id = $1 FOR UPDATE", &[&running.id.as_uuid()]).await.unwrap();

    let done = Task { state: TaskState::Completed, ..running.clone() };
    let end = Change::UpdateTask { task: Box::new(done), from: TaskState::Running };
    let by_first = |changes, frames| WriteBatch { writer: Some(first), ..batch(changes, frames) };
    let writes = async {
        waiting(&watcher, 1).await;
        let release = async {
            waiting(&watcher, 4).await;
            hold.commit().await.unwrap();
        };
        tokio::join!(
            here.commit(by_first(Vec::new(), vec![frame(1)])),
            here.commit(by_first(vec![end], vec![frame(1)])),
            here.claim_task(Some(first), AT),
            release,
        )
    };
    let (taken, (frames, changes, claimed, ())) = tokio::join!(there.take_over(second, first, AT), writes);
    assert_eq!(taken.unwrap(), []);
    assert!(matches!(frames, Err(StoreError::FencedOff)), "{frames:?}");
    assert!(matches!(changes, Err(StoreError::FencedOff)), "{changes:?}");
    assert!(matches!(claimed, Err(StoreError::FencedOff)), "{claimed:?}");
    assert_eq!(there.last_seq(SESSION).await.unwrap(), Seq::ZERO);
    let left = there.owned(second.server).await.unwrap().taken_over;
    assert_eq!(left.iter().map(|task| task.id).collect::<Vec<_>>(), [task(10).id]);
    for store in [here, there] {
        store.close().await;
    }
    database.end().await;
}

/// Two that take each other over at once: one of them wins, whatever the database makes of it.
#[tokio::test]
async fn two_that_take_each_other_over_do_not_both_win() {
    let database = Database::create().await;
    let (here, there) = (database.store().await, database.store().await);
    let (first, second, _) = two(&here, &there).await;
    there.renew(second, Duration::ZERO, AT).await.unwrap();
    let (one, other) = tokio::join!(here.take_over(first, second, AT), there.take_over(second, first, AT));
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    for store in [here, there] {
        store.close().await;
    }
    database.end().await;
}

/// Servers that write all the time renew their leases all the same, and each hears of what the other wrote.
#[tokio::test]
async fn renewals_go_on_while_a_server_writes() {
    let database = Database::create().await;
    let (here, there) = (database.store().await, database.store().await);
    settle(&here).await;
    let writer = server(&here, 71, Duration::from_secs(600)).await;
    let writes = async {
        for seq in 1..=300 {
            here.commit(WriteBatch { writer: Some(writer), ..batch(Vec::new(), vec![frame(seq)]) }).await.unwrap();
        }
    };
    let renewals = async {
        for _ in 0..100 {
            here.renew(writer, Duration::from_secs(600), AT).await.unwrap();
        }
    };
    timeout(PATIENCE, async { tokio::join!(writes, renewals) }).await.unwrap();
    assert_eq!(there.last_seq(SESSION).await.unwrap(), Seq(300));
    for store in [here, there] {
        store.close().await;
    }
    database.end().await;
}

//! Servers that share a store: leases, fences, what each owns, and what they tell each other.

use std::time::Duration;

use boocoder_model::{
    AgentSession, AgentSessionStatus, DecidedBy, Fence, InteractionOutcome, Position, Runner, Seq, ServerId, Task,
    TaskId, TaskState,
};
use futures::future::join;
use tokio::time::timeout;

use super::sample::{self, World, add, agent_session, at, consumed, frame, interaction, moved, runner};
use super::{PATIENCE, write};
use crate::{About, Change, News, Owned, Store, StoreError, StoredFrame, Wish, WriteBatch, Writer};

/// A lease that outlasts every test, by the database's clock and by the one of these cases.
const LONG: Duration = Duration::from_secs(3600);
/// One that has ended as soon as it began.
const OVER: Duration = Duration::ZERO;

async fn registered(store: &dyn Store, server: ServerId, lease: Duration) -> Writer {
    Writer { server, fence: store.register(server, lease, at(50)).await.expect("a fence") }
}

async fn server(store: &dyn Store, lease: Duration) -> Writer {
    registered(store, ServerId::from_uuid(sample::fresh()), lease).await
}

async fn commit(
    store: &dyn Store,
    writer: Writer,
    changes: Vec<Change>,
    frames: Vec<StoredFrame>,
) -> Result<(), StoreError> {
    store.commit(WriteBatch { changes, frames, durable: true, writer: Some(writer) }).await
}

async fn claim(store: &dyn Store, by: Writer) -> Option<TaskId> {
    store.claim_task(Some(by), at(77)).await.expect("a claim").map(|task| task.id)
}

async fn owned(store: &dyn Store, writer: Writer) -> Owned {
    store.owned(writer.server).await.expect("a read")
}

async fn lapsed(store: &dyn Store) -> Vec<Writer> {
    store.lapsed(at(60)).await.expect("a read")
}

async fn take_over(store: &dyn Store, taker: Writer, lapsed: Writer) -> Result<Vec<Runner>, StoreError> {
    store.take_over(taker, lapsed, at(60)).await
}

fn is_fenced_off<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::FencedOff))
}

fn is_refused(result: &Result<Vec<Runner>, StoreError>) -> bool {
    matches!(result, Err(StoreError::Conflict { what: "server", .. }))
}

/// A task of the chat that a server has claimed, and a runner that it started for it.
async fn at_work(store: &dyn Store, world: &World, by: Writer) -> (Task, Runner) {
    let task = world.stored_task(store).await;
    assert_eq!(claim(store, by).await, Some(task.id));
    let runner = runner(&task, "demo");
    commit(store, by, vec![Change::AddRunner(Box::new(runner.clone()))], vec![]).await.expect("a batch that fits");
    (store.task(task.id).await.expect("a read").expect("a task"), runner)
}

/// Each process that speaks for a server has a higher fence, and the one before can neither renew nor write. What the
/// server owned stays its own.
pub async fn a_server_that_registers_again_fences_off_what_spoke_for_it(store: &dyn Store) {
    let world = World::stored(store).await;
    let first = server(store, LONG).await;
    let (task, runner) = at_work(store, &world, first).await;
    let second = registered(store, first.server, LONG).await;
    assert_eq!((first.fence, second.fence), (Fence(1), Fence(2)));
    assert!(is_fenced_off(&store.renew(first, LONG, at(51)).await));
    store.renew(second, LONG, at(51)).await.expect("it is not fenced off");
    let expected = Owned { running: vec![task.clone()], taken_over: vec![], runners: vec![runner] };
    assert_eq!(owned(store, second).await, expected);
    assert_eq!(store.server_of(task.id).await.expect("a read"), Some(first.server));
    let stranger = Writer { server: ServerId::from_uuid(sample::fresh()), fence: Fence(1) };
    assert!(is_fenced_off(&store.renew(stranger, LONG, at(51)).await), "nobody has registered it");
}

/// Only servers that own something are told of: nothing is to be done about the others.
pub async fn a_lease_ends_unless_it_is_renewed(store: &dyn Store) {
    let world = World::stored(store).await;
    let idle = server(store, OVER).await;
    let busy = server(store, LONG).await;
    let (task, runner) = at_work(store, &world, busy).await;
    assert_eq!(lapsed(store).await, []);
    store.renew(busy, OVER, at(55)).await.expect("it is not fenced off");
    assert_eq!(lapsed(store).await, [busy]);
    store.renew(busy, LONG, at(55)).await.expect("it is not fenced off");
    assert_eq!(lapsed(store).await, []);
    assert!(is_refused(&take_over(store, idle, busy).await), "it is alive");
    store.renew(busy, OVER, at(55)).await.expect("it is not fenced off");
    commit(store, busy, vec![moved(&task, TaskState::Completed)], vec![]).await.expect("a batch that fits");
    assert_eq!(lapsed(store).await, [busy], "it has a runner still");
    let ended = Change::EndRunner { id: runner.id, at: at(56) };
    commit(store, busy, vec![ended], vec![]).await.expect("that its lease has ended keeps nobody from writing");
    assert_eq!(lapsed(store).await, []);
}

/// What a server without a name left goes to the one that registers, unless another one is there.
pub async fn what_nobody_owns_is_the_first_servers(store: &dyn Store) {
    let world = World::stored(store).await;
    let task = world.stored_task(store).await;
    let running = store.claim_task(None, at(77)).await.expect("a claim").expect("a task");
    let runner = runner(&task, "demo");
    write(store, [Change::AddRunner(Box::new(runner.clone()))]).await;
    assert_eq!(store.server_of(task.id).await.expect("a read"), None);
    let first = server(store, OVER).await;
    let expected = Owned { running: vec![running], taken_over: vec![], runners: vec![runner.clone()] };
    assert_eq!(owned(store, first).await, expected);
    let second = server(store, LONG).await;
    assert_eq!(owned(store, second).await, Owned::default(), "it has an owner, alive or not");

    write(store, [Change::EndRunner { id: runner.id, at: at(80) }]).await;
    let loose = sample::runner(&task, "qwen");
    write(store, [Change::AddRunner(Box::new(loose))]).await;
    let third = server(store, LONG).await;
    assert_eq!(owned(store, third).await, Owned::default(), "another one is alive");
}

/// Two that see the same lease end at once do not both act on it.
pub async fn one_of_two_takers_takes_over(store: &dyn Store) {
    let world = World::stored(store).await;
    let gone = server(store, OVER).await;
    let (task, runner) = at_work(store, &world, gone).await;
    let (here, there) = (server(store, LONG).await, server(store, LONG).await);
    let (first, second) = join(take_over(store, here, gone), take_over(store, there, gone)).await;
    let (winner, runners, other) = if first.is_ok() { (here, first, second) } else { (there, second, first) };
    assert_eq!(runners.expect("one takes it over"), [runner]);
    assert!(is_refused(&other), "{other:?}");
    assert_eq!(owned(store, winner).await.taken_over, [task]);
    assert!(is_refused(&take_over(store, winner, gone).await), "nobody takes over twice under one fence");
    assert_eq!(lapsed(store).await, [], "it owns nothing any more");
}

/// Its running tasks are the taker's, to be settled; its runners have ended, and their agents are not live.
pub async fn what_is_taken_over_is_to_be_settled(store: &dyn Store) {
    let world = World::stored(store).await;
    let gone = server(store, OVER).await;
    let (task, runner) = at_work(store, &world, gone).await;
    let session = AgentSession { status: AgentSessionStatus::Active, ..agent_session(&world.chat, "demo", None) };
    let other = AgentSession { status: AgentSessionStatus::Active, ..agent_session(&world.chat, "qwen", None) };
    write(store, [&session, &other].map(|session| Change::PutAgentSession(Box::new(session.clone())))).await;
    let taker = server(store, LONG).await;
    take_over(store, taker, gone).await.expect("its lease has ended");
    assert_eq!(store.runners().await.expect("a read"), []);
    let expected = Owned { running: vec![], taken_over: vec![task.clone()], runners: vec![] };
    assert_eq!(owned(store, taker).await, expected);
    assert_eq!(store.server_of(task.id).await.expect("a read"), Some(taker.server));
    let status = async |session: &AgentSession| {
        let kept = store.agent_session(session.chat_id, &session.agent).await.expect("a read");
        kept.expect("an agent session").status
    };
    assert_eq!(status(&session).await, AgentSessionStatus::Crashed);
    assert_eq!(status(&other).await, AgentSessionStatus::Active, "its runner, if it has one, is not of that server");

    // When it comes back, nothing of it is its own.
    let back = registered(store, gone.server, LONG).await;
    assert_eq!(back.fence, Fence(3));
    assert_eq!(owned(store, back).await, Owned::default());
    let ended = Change::EndRunner { id: runner.id, at: at(90) };
    let refused = commit(store, back, vec![ended], vec![]).await;
    assert!(matches!(refused, Err(StoreError::Conflict { what: "runner", .. })), "{refused:?}");

    // A taker that dies before it has settled them leaves them to the next.
    store.renew(taker, OVER, at(55)).await.expect("it is not fenced off");
    assert_eq!(lapsed(store).await, [taker]);
    take_over(store, back, taker).await.expect("its lease has ended");
    assert_eq!(owned(store, back).await.taken_over, std::slice::from_ref(&task));
    commit(store, back, vec![moved(&task, TaskState::Failed)], vec![]).await.expect("a batch that fits");
    assert_eq!(owned(store, back).await, Owned::default());
}

/// Whatever the batch is made of, and claims as well. That is no conflict: nothing about the batch is wrong.
pub async fn a_fenced_off_writer_writes_nothing(store: &dyn Store) {
    let world = World::stored(store).await;
    let old = server(store, OVER).await;
    let (task, runner) = at_work(store, &world, old).await;
    let other = sample::chat(&world.session);
    let waiting = sample::task(&world.project, Some(&other));
    write(store, [Change::AddChat(other), add(&waiting)]).await;
    let next = |seq| frame(&world.session, seq);
    let consume = |position| Change::Consume { runner: runner.id, consumed: consumed(position) };
    commit(store, old, vec![consume(1)], vec![next(1)]).await.expect("it is not fenced off yet");
    let taker = server(store, LONG).await;
    take_over(store, taker, old).await.expect("its lease has ended");

    let chat = Change::AddChat(sample::chat(&world.session));
    for (changes, frames) in [
        (vec![], vec![next(2)]),
        (vec![], vec![next(2), next(3)]),
        (vec![consume(2)], vec![]),
        (vec![consume(2)], vec![next(2)]),
        (vec![chat.clone()], vec![]),
        (vec![chat, consume(2)], vec![next(2)]),
        (vec![moved(&task, TaskState::Completed)], vec![next(2)]),
        // Also what would not fit is refused because of its writer.
        (vec![], vec![next(7)]),
        (vec![moved(&waiting, TaskState::Completed), consume(0)], vec![next(7)]),
    ] {
        let shown = format!("{changes:?} {frames:?}");
        let result = commit(store, old, changes, frames).await;
        assert!(is_fenced_off(&result), "{shown}: {result:?}");
    }
    assert!(is_fenced_off(&store.claim_task(Some(old), at(78)).await));
    assert!(is_fenced_off(&take_over(store, old, taker).await));
    assert_eq!(store.last_seq(world.session.id).await.expect("a read"), Seq(1));
    let kept = store.runner(runner.id).await.expect("a read").expect("a runner");
    assert_eq!(kept.consumed.position, Position(1));
    assert_eq!(claim(store, taker).await, Some(waiting.id));
    commit(store, taker, vec![], vec![next(2)]).await.expect("the taker writes on");
    commit(store, taker, vec![], vec![next(2)]).await.expect_err("and what does not fit is a conflict for it");
}

/// Others pass it over, until the runner has ended; then whoever waits is woken.
pub async fn a_task_waits_for_the_server_that_keeps_its_agent(store: &dyn Store) {
    let world = World::stored(store).await;
    let (here, there) = (server(store, LONG).await, server(store, LONG).await);
    let (task, runner) = at_work(store, &world, here).await;
    let [second, third] = [world.stored_task(store).await, world.stored_task(store).await];
    assert_eq!(claim(store, there).await, None);
    commit(store, here, vec![moved(&task, TaskState::Completed)], vec![]).await.expect("a batch that fits");
    assert_eq!(claim(store, there).await, None);
    assert_eq!(claim(store, here).await, Some(second.id));
    let running = Task { state: TaskState::Running, ..second };
    commit(store, here, vec![moved(&running, TaskState::Completed)], vec![]).await.expect("a batch that fits");

    let loose = sample::task(&world.project, None);
    write(store, [add(&loose)]).await;
    assert_eq!(claim(store, there).await, Some(loose.id), "a task without a chat waits for nobody");
    let mut wakeups = store.wakeups();
    wakeups.mark_unchanged();
    let ended = Change::EndRunner { id: runner.id, at: at(90) };
    commit(store, here, vec![ended], vec![]).await.expect("a batch that fits");
    timeout(PATIENCE, wakeups.changed()).await.expect("a wake-up in time").expect("the store is there");
    assert_eq!(claim(store, there).await, Some(third.id));
}

/// Ids alone, each once a batch, and nothing of batches without a writer.
pub async fn what_is_written_is_told_once(store: &dyn Store) {
    let world = World::stored(store).await;
    let writer = server(store, LONG).await;
    let mut news = store.news();
    let mut hear = async || loop {
        match timeout(PATIENCE, news.recv()).await.expect("news in time").expect("the store is there") {
            News::Written { by, about } if by == writer.server => return about,
            // A database that begins to listen says so.
            News::Written { .. } | News::Missed => {}
        }
    };
    let next = |seq| frame(&world.session, seq);
    write(store, [Change::AddChat(sample::chat(&world.session))]).await;
    commit(store, writer, vec![], vec![next(1), next(2)]).await.expect("a batch that fits");
    assert_eq!(hear().await, About::Frames(world.session.id));

    let (task, _) = at_work(store, &world, writer).await;
    let asked = interaction(&task);
    let wish = Wish { interaction_id: asked.id, outcome: InteractionOutcome::Declined, wished_at: at(70) };
    let changes = vec![
        Change::OpenInteraction(Box::new(asked.clone())),
        Change::RequestCancel { task: task.id, by: DecidedBy::User },
        Change::PutWish(wish),
        Change::RemoveChat { id: world.chat.id, at: at(71) },
        Change::RemoveSession { id: world.session.id, at: at(71) },
    ];
    commit(store, writer, changes, vec![next(3)]).await.expect("a batch that fits");
    let mut heard = Vec::new();
    while heard.len() < 5 {
        heard.push(hear().await);
    }
    for about in [
        About::Frames(world.session.id),
        About::CancelRequested(task.id),
        About::Wished(asked.id),
        About::ChatRemoved(world.chat.id),
        About::SessionRemoved(world.session.id),
    ] {
        assert!(heard.contains(&about), "{about:?} in {heard:?}");
    }
}

/// The last one that is said before the question is settled.
pub async fn a_wish_is_kept_for_the_server_that_runs_the_task(store: &dyn Store) {
    let world = World::stored(store).await;
    let (here, there) = (server(store, LONG).await, server(store, LONG).await);
    let (task, _) = at_work(store, &world, here).await;
    let asked = interaction(&task);
    let wish = |outcome| Wish { interaction_id: asked.id, outcome, wished_at: at(70) };
    let wishes = async |of: Writer| store.wishes(of.server).await.expect("a read");
    let put = Change::PutWish(wish(InteractionOutcome::Declined));
    let early = commit(store, there, vec![put.clone()], vec![]).await;
    assert!(matches!(early, Err(StoreError::Conflict { what: "interaction", .. })), "{early:?}");
    write(store, [Change::OpenInteraction(Box::new(asked.clone()))]).await;
    assert_eq!(wishes(here).await, []);
    commit(store, there, vec![put.clone()], vec![]).await.expect("a batch that fits");
    let last = wish(InteractionOutcome::Selected("yes\0".into()));
    commit(store, there, vec![Change::PutWish(last.clone())], vec![]).await.expect("a batch that fits");
    assert_eq!(wishes(here).await, [last]);
    assert_eq!(wishes(there).await, []);
    let settled = Change::SettleInteraction {
        id: asked.id,
        outcome: InteractionOutcome::Declined,
        decided_by: DecidedBy::User,
        at: at(71),
    };
    commit(store, here, vec![settled], vec![]).await.expect("a batch that fits");
    assert_eq!(wishes(here).await, []);
    let late = commit(store, there, vec![put], vec![]).await;
    assert!(matches!(late, Err(StoreError::Conflict { what: "interaction", .. })), "{late:?}");
}

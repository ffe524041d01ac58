//! Interactions.

use boocoder_model::{DecidedBy, Interaction, InteractionOutcome, Question, RawJson};

use super::sample::{World, at, interaction};
use super::{refused, write};
use crate::{Change, InteractionFilter, Store};

fn settle(interaction: &Interaction, outcome: InteractionOutcome, decided_by: DecidedBy) -> Change {
    Change::SettleInteraction { id: interaction.id, outcome, decided_by, at: at(90) }
}

/// Whoever comes second learns how it was settled and by whom.
pub async fn interactions_are_settled_once(store: &dyn Store) {
    let world = World::stored(store).await;
    let task = world.stored_task(store).await;
    for (outcome, decided_by, words) in [
        (InteractionOutcome::Selected("yes".into()), DecidedBy::User, "selected by user"),
        (InteractionOutcome::Accepted(Some(RawJson::new("{\"b\":1,\"a\":2}"))), DecidedBy::Agent, "accepted by agent"),
        (InteractionOutcome::Accepted(None), DecidedBy::Policy, "accepted by policy"),
        (InteractionOutcome::Declined, DecidedBy::Watchdog, "declined by watchdog"),
        (InteractionOutcome::Cancelled, DecidedBy::Crash, "cancelled by crash"),
    ] {
        let open = interaction(&task);
        write(store, [Change::OpenInteraction(Box::new(open.clone()))]).await;
        write(store, [settle(&open, outcome.clone(), decided_by)]).await;
        let settled = Interaction { settled: Some((outcome, decided_by)), ..open.clone() };
        assert_eq!(store.interaction(open.id).await.expect("a read"), Some(settled.clone()));

        let detail = refused(store, "interaction", settle(&open, InteractionOutcome::Declined, DecidedBy::User)).await;
        assert_eq!(detail, format!("already settled: {words}"));
        let reopened = Interaction { id: interaction(&task).id, ..settled };
        refused(store, "interaction", Change::OpenInteraction(Box::new(reopened))).await;
    }
    let unknown = interaction(&task);
    let detail = refused(store, "interaction", settle(&unknown, InteractionOutcome::Declined, DecidedBy::User)).await;
    assert_eq!(detail, "there is none with this id");
    assert_eq!(store.interaction(unknown.id).await.expect("a read"), None);
}

/// Open ones, oldest first, unless settled ones are asked for, too.
pub async fn interactions_are_listed_as_narrowed(store: &dyn Store) {
    let (here, there) = (World::stored(store).await, World::stored(store).await);
    let (first, second) = (here.stored_task(store).await, here.stored_task(store).await);
    let elsewhere = there.stored_task(store).await;
    let form = Question::Form { title: "how sweet?".into(), schema: RawJson::new("{\"type\":\"object\"}") };
    let url = Question::Url { title: "log in".into(), url: "https://example.org".into() };
    let asked = [
        interaction(&first),
        Interaction { question: form, ..interaction(&second) },
        Interaction { question: url, ..interaction(&elsewhere) },
    ];
    write(store, asked.iter().map(|open| Change::OpenInteraction(Box::new(open.clone())))).await;
    let list = async |filter| store.interactions(filter).await.expect("a read");
    let all = InteractionFilter::default();
    assert_eq!(list(all).await, asked);
    assert_eq!(list(InteractionFilter { session_id: Some(here.session.id), ..all }).await, asked[..2]);
    assert_eq!(list(InteractionFilter { task_id: Some(second.id), ..all }).await, asked[1..2]);

    write(store, [settle(&asked[0], InteractionOutcome::Cancelled, DecidedBy::User)]).await;
    assert_eq!(list(all).await, asked[1..]);
    let with_settled = list(InteractionFilter { settled: true, ..all }).await;
    assert_eq!(with_settled.len(), 3);
    assert!(with_settled[0].settled.is_some());
}

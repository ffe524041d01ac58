//! Agent sessions.

use boocoder_model::{AgentSessionStatus, ExecutionPath, Resumed};

use super::sample::{World, agent_session, at, chat};
use super::write;
use crate::{Change, Store};

/// Freshest first, those without activity last, then by agent in the order of bytes. A row is replaced by its key.
pub async fn agent_sessions_are_listed_freshest_first(store: &dyn Store) {
    let world = World::stored(store).await;
    let other = chat(&world.session);
    write(store, [Change::AddChat(other.clone())]).await;
    let put = |row| Change::PutAgentSession(Box::new(row));
    let mut fresh = agent_session(&other, "qwen", Some(at(3)));
    let older = agent_session(&world.chat, "goose", Some(at(2)));
    let same_age = [agent_session(&world.chat, "B", Some(at(1))), agent_session(&world.chat, "a", Some(at(1)))];
    let idle = agent_session(&other, "demo", None);
    write(store, [&idle, &same_age[1], &older, &same_age[0], &fresh].map(|row| put(row.clone()))).await;

    let expected = [fresh.clone(), older, same_age[0].clone(), same_age[1].clone(), idle];
    assert_eq!(store.agent_sessions(world.session.id).await.expect("a read"), expected);
    assert_eq!(store.live_agent_sessions().await.expect("a read").len(), expected.len());

    for (status, backend) in AgentSessionStatus::ALL.iter().zip(ExecutionPath::ALL) {
        for resumed in [None, Some(Resumed::Native), Some(Resumed::History), Some(Resumed::New)] {
            (fresh.status, fresh.backend, fresh.resumed) = (*status, *backend, resumed);
            fresh.native_id = None;
            fresh.config_fingerprint = None;
            write(store, [put(fresh.clone())]).await;
            let found = store.agent_session(fresh.chat_id, &fresh.agent).await.expect("a read");
            assert_eq!(found, Some(fresh.clone()));
            let live = store.live_agent_sessions().await.expect("a read");
            let is_live = matches!(status, AgentSessionStatus::Active | AgentSessionStatus::Idle);
            assert_eq!(live.contains(&fresh), is_live, "{status}");
        }
    }
    assert_eq!(store.agent_session(world.chat.id, &"nobody".into()).await.expect("a read"), None);
}

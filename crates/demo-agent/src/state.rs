//! Sessions: what is kept of them in memory, and on disk so that another process can load them.

use std::{
    collections::{BTreeSet, VecDeque},
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use tokio::fs;
use tokio_util::sync::CancellationToken;

use crate::{
    DemoError,
    limits::{HISTORY_ENTRIES, HISTORY_ENTRY_BYTES, TITLE_CHARS},
    settings::Settings,
};

/// What of a session outlives its process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) cwd: PathBuf,
    pub(crate) title: Option<String>,
    pub(crate) settings: Settings,
    pub(crate) remembered: Option<String>,
    /// Turns begun; part of the ids of tool calls, so that these never repeat within a session.
    pub(crate) turns: u64,
    /// Tokens that `usage` has reported so far, and their cost in US dollars.
    pub(crate) tokens: u64,
    pub(crate) cost: f64,
    pub(crate) history: History,
}

impl Session {
    pub(crate) fn new(id: String, cwd: PathBuf) -> Self {
        Self {
            id,
            cwd,
            title: None,
            settings: Settings::default(),
            remembered: None,
            turns: 0,
            tokens: 0,
            cost: 0.0,
            history: History::default(),
        }
    }

    /// Counts a turn and notes its prompt. Returns the turn's number.
    pub(crate) fn begin_turn(&mut self, prompt: &str) -> u64 {
        self.turns += 1;
        if self.title.is_none() {
            let first_line = prompt.lines().find(|line| !line.trim().is_empty());
            self.title = first_line.map(|line| line.trim().chars().take(TITLE_CHARS).collect());
        }
        self.history.push(Speaker::User, prompt);
        self.turns
    }
}

/// Who said an entry of the history, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Speaker {
    User,
    Agent,
    Thought,
}

/// Neighbouring chunks of one speaker, joined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) speaker: Speaker,
    pub(crate) text: String,
    /// Whether the text went on past what is kept.
    pub(crate) cut: bool,
}

/// The newest part of a conversation, within fixed bounds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct History {
    pub(crate) entries: VecDeque<Entry>,
    /// How many older entries are gone.
    pub(crate) dropped: u64,
}

impl History {
    /// Adds to the last entry if it is the same speaker's, else begins a new one.
    pub(crate) fn extend(&mut self, speaker: Speaker, text: &str) {
        match self.entries.back_mut() {
            Some(last) if last.speaker == speaker => last.append(text),
            Some(_) | None => self.push(speaker, text),
        }
    }

    fn push(&mut self, speaker: Speaker, text: &str) {
        if self.entries.len() == HISTORY_ENTRIES {
            self.entries.pop_front();
            self.dropped += 1;
        }
        let mut entry = Entry { speaker, text: String::new(), cut: false };
        entry.append(text);
        self.entries.push_back(entry);
    }
}

impl Entry {
    fn append(&mut self, text: &str) {
        if self.cut {
            return;
        }
        let kept = text.floor_char_boundary(HISTORY_ENTRY_BYTES - self.text.len());
        self.text.push_str(&text[..kept]);
        self.cut = kept < text.len();
    }
}

/// A session that is open in this process.
#[derive(Debug)]
pub(crate) struct OpenSession {
    pub(crate) session: Session,
    /// The names of the MCP servers that the client handed over.
    pub(crate) mcp_servers: Vec<String>,
    /// Whether a permission was granted for all edits to come.
    pub(crate) edits_allowed: bool,
    /// Cancels the turn that is running, if one is.
    pub(crate) running: Option<CancellationToken>,
    /// Whether the client has deleted the session, so that a late save does not bring it back.
    pub(crate) deleted: bool,
}

/// An open session, shared by the handlers and its turn.
#[derive(Debug, Clone)]
pub(crate) struct Shared(Arc<Mutex<OpenSession>>);

impl Shared {
    pub(crate) fn new(session: Session, mcp_servers: Vec<String>) -> Self {
        let open = OpenSession { session, mcp_servers, edits_allowed: false, running: None, deleted: false };
        Self(Arc::new(Mutex::new(open)))
    }

    /// The session itself. Never held across an await.
    pub(crate) fn lock(&self) -> MutexGuard<'_, OpenSession> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cancels the turn that is running, if one is.
    pub(crate) fn cancel(&self) {
        if let Some(running) = &self.lock().running {
            running.cancel();
        }
    }
}

/// The state directory: one JSON file a session. Without a directory nothing outlives the process.
#[derive(Debug)]
pub(crate) struct Store {
    dir: Option<PathBuf>,
    /// Held while writing, so that an older state never replaces a newer one.
    writing: tokio::sync::Mutex<()>,
}

impl Store {
    pub(crate) async fn open(dir: Option<PathBuf>) -> Result<Self, DemoError> {
        if let Some(dir) = &dir {
            fs::create_dir_all(dir).await.map_err(|source| DemoError::State { path: dir.clone(), source })?;
        }
        Ok(Self { dir, writing: tokio::sync::Mutex::new(()) })
    }

    /// Whether sessions outlive the process.
    pub(crate) fn is_durable(&self) -> bool {
        self.dir.is_some()
    }

    /// The file of a session, if the id is one that this agent gives: it must not lead out of the directory.
    fn file(&self, id: &str) -> Option<PathBuf> {
        let plain = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        self.dir.as_ref().filter(|_| plain).map(|dir| dir.join(format!("{id}.json")))
    }

    /// Writes the session's present state: whole or not at all.
    pub(crate) async fn save(&self, open: &Shared) -> Result<(), DemoError> {
        let _turn = self.writing.lock().await;
        let session = {
            let open = open.lock();
            if open.deleted {
                return Ok(());
            }
            open.session.clone()
        };
        let Some(path) = self.file(&session.id) else { return Ok(()) };
        let failed = |source| DemoError::State { path: path.clone(), source };
        let json = serde_json::to_vec(&session).map_err(|error| failed(io::Error::other(error)))?;
        let draft = path.with_extension("draft");
        fs::write(&draft, json).await.map_err(failed)?;
        fs::rename(&draft, &path).await.map_err(failed)
    }

    /// Reads a session; `None` if there is none of that id.
    pub(crate) async fn load(&self, id: &str) -> Result<Option<Session>, DemoError> {
        let Some(path) = self.file(id) else { return Ok(None) };
        match fs::read(&path).await {
            Ok(json) => serde_json::from_slice(&json).map_err(|source| DemoError::Corrupt { path, source }).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DemoError::State { path, source }),
        }
    }

    /// Removes a session's file. Returns whether there was one.
    pub(crate) async fn delete(&self, id: &str) -> Result<bool, DemoError> {
        let Some(path) = self.file(id) else { return Ok(false) };
        let _turn = self.writing.lock().await;
        match fs::remove_file(&path).await {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(DemoError::State { path, source }),
        }
    }

    /// The ids of all stored sessions, oldest first, as ids begin with their time.
    pub(crate) async fn ids(&self) -> Result<BTreeSet<String>, DemoError> {
        let Some(dir) = &self.dir else { return Ok(BTreeSet::new()) };
        let failed = |source| DemoError::State { path: dir.clone(), source };
        let mut ids = BTreeSet::new();
        let mut files = fs::read_dir(dir).await.map_err(failed)?;
        while let Some(file) = files.next_entry().await.map_err(failed)? {
            let path = PathBuf::from(file.file_name());
            if path.extension().is_some_and(|extension| extension == "json") {
                ids.extend(path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned));
            }
        }
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_joins_speakers_and_says_what_it_lost() {
        let mut session = Session::new("s".into(), "/w".into());
        session.begin_turn("\nfirst line\nsecond");
        session.history.extend(Speaker::Agent, "a");
        session.history.extend(Speaker::Agent, "b");
        session.begin_turn("next");
        assert_eq!(session.title.as_deref(), Some("first line"));
        assert_eq!((session.turns, session.history.entries.len()), (2, 3));
        assert_eq!(session.history.entries[1].text, "ab");

        session.history.extend(Speaker::Agent, &"é".repeat(HISTORY_ENTRY_BYTES));
        session.history.extend(Speaker::Agent, "more");
        let last = session.history.entries.back().unwrap();
        assert!(last.cut && last.text.len() == HISTORY_ENTRY_BYTES && !last.text.ends_with("more"));

        for _ in 0..HISTORY_ENTRIES {
            session.begin_turn("again");
        }
        assert_eq!(session.history.entries.len(), HISTORY_ENTRIES);
        assert_eq!(session.history.dropped, 4);
    }

    #[tokio::test]
    async fn a_session_survives_on_disk_and_its_id_cannot_leave_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(Some(dir.path().join("state"))).await.unwrap();
        let open = Shared::new(Session::new("0199-a".into(), "/w".into()), Vec::new());
        open.lock().session.remembered = Some("milk".into());
        store.save(&open).await.unwrap();

        assert_eq!(store.load("0199-a").await.unwrap().unwrap().remembered.as_deref(), Some("milk"));
        assert_eq!(store.ids().await.unwrap(), BTreeSet::from(["0199-a".to_owned()]));
        std::fs::write(dir.path().join("outside.json"), "{}").unwrap();
        assert!(store.load("../outside").await.unwrap().is_none());

        open.lock().deleted = true;
        assert!(store.delete("0199-a").await.unwrap());
        store.save(&open).await.unwrap();
        assert!(store.load("0199-a").await.unwrap().is_none(), "a late save does not bring it back");
    }

    #[tokio::test]
    async fn a_damaged_file_is_told_from_a_missing_one() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(Some(dir.path().into())).await.unwrap();
        std::fs::write(dir.path().join("a.json"), "{").unwrap();
        assert!(matches!(store.load("a").await, Err(DemoError::Corrupt { .. })));
        assert!(store.load("b").await.unwrap().is_none());
    }
}

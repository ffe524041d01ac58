//! The routes without a socket, a process or a database: warp's own test client over a store in memory.

use std::path::PathBuf;
use std::sync::Arc;

use boocoder::auth::{Access, Token};
use boocoder::limits::ServerLimits;
use boocoder::{App, routes};
use boocoder_backend::{AcpBackend, AgentOverride, Environment, OneshotBackend, Registry, builtins};
use boocoder_dispatch::{DispatchConfig, DispatchLimits, Dispatcher, Parts, PriceTable};
use boocoder_store::MemStore;
use boocoder_testkit::repo::TestRepo;
use boocoder_worktree::{Git, Limits};
use serde_json::Value;
use tempfile::TempDir;
use warp::filters::BoxedFilter;
use warp::http::HeaderMap;
use warp::reply::Response;
use warp::test::RequestBuilder;

/// The name under which the routes are asked.
pub(crate) const HOST: &str = "127.0.0.1:4317";

/// A server in memory.
pub(crate) struct Memory {
    pub(crate) dispatcher: Dispatcher,
    pub(crate) repo: TestRepo,
    pub(crate) token: Token,
    routes: BoxedFilter<(Response,)>,
    _dir: TempDir,
}

/// An answer, with its body as JSON (null if it is none).
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Memory {
    pub(crate) async fn start() -> Self {
        Self::with(ServerLimits::default()).await
    }

    pub(crate) async fn with(limits: ServerLimits) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let environment: Environment = std::env::vars_os().collect();
        let disabled = AgentOverride { enabled: Some(false), ..AgentOverride::new("goose".into()) };
        let absent =
            AgentOverride { command: Some("/nonexistent/agent".into()), ..AgentOverride::new("absent".into()) };
        let program = PathBuf::from(env!("CARGO_BIN_EXE_boocoder"));
        let parts = Parts {
            store: Arc::new(MemStore::new()),
            registry: Registry::new(builtins(&program), [disabled, absent]),
            warm: Arc::new(AcpBackend::new(environment.clone())),
            oneshot: Arc::new(OneshotBackend::new(AcpBackend::new(environment.clone()))),
            git: Git::new(Limits::default()),
            server: None,
            config: DispatchConfig {
                preparations: boocoder_dispatch::Preparations::default(),
                worktrees: dir.path().join("worktrees"),
                limits: DispatchLimits::default(),
                agents: [].into(),
                prices: PriceTable::default(),
            },
        };
        let dispatcher = Dispatcher::start(parts).await.expect("a dispatcher");
        let token = Token::from_random([7; Token::BYTES]);
        let access = Access::new(token.clone(), HOST.parse().expect("an address"), vec!["coder.example".into()]);
        let app = App::new(dispatcher.clone(), access, limits, environment);
        Self { dispatcher, repo: TestRepo::new().expect("a repository"), token, routes: routes(&app), _dir: dir }
    }

    /// A request that has all it needs.
    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let bearer = format!("Bearer {}", self.token.reveal());
        warp::test::request().method(method).path(path).header("host", HOST).header("authorization", bearer)
    }

    pub(crate) async fn answer(&self, request: RequestBuilder) -> Answer {
        let answer = request.reply(&self.routes).await;
        let text = String::from_utf8(answer.body().to_vec()).expect("a text");
        let json = serde_json::from_str(&text).unwrap_or_default();
        Answer { status: answer.status().as_u16(), headers: answer.headers().clone(), text, json }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.answer(self.request("GET", path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.answer(self.request("DELETE", path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.answer(self.request("POST", path).json(&body)).await
    }

    /// The body of a request that has to succeed.
    pub(crate) async fn made(&self, path: &str, body: Value) -> Value {
        let answer = self.post(path, body).await;
        assert!(answer.status < 300, "{path}: {answer:?}");
        answer.json
    }

    /// A new session on the repository.
    pub(crate) async fn session(&self) -> String {
        let project = self.made("/api/projects", serde_json::json!({"path": self.repo.path()})).await;
        let session = self.made("/api/sessions", serde_json::json!({"project_id": project["id"]})).await;
        session["id"].as_str().expect("an id").to_owned()
    }
}

//! Pooled connections. Nothing else touches the driver's client, so that no statement is prepared twice.

use std::borrow::Cow;
use std::fmt;
use std::pin::pin;
use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, RecyclingMethod, Runtime, Timeouts};
use futures::future::maybe_done;
use futures::poll;
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Config, NoTls, Row};

use super::failure::Failure;
use crate::StoreError;
use crate::limits::PgLimits;

/// Values for the placeholders of one statement.
pub(super) type Params<'a> = Vec<Box<dyn ToSql + Sync + Send + 'a>>;

/// One statement with its values.
pub(super) struct Query<'a> {
    pub(super) sql: Cow<'static, str>,
    pub(super) params: Params<'a>,
}

impl<'a> Query<'a> {
    pub(super) fn new(sql: impl Into<Cow<'static, str>>, params: Params<'a>) -> Self {
        Self { sql: sql.into(), params }
    }

    fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.params.iter().map(|param| &**param as &(dyn ToSql + Sync)).collect()
    }
}

/// The values of a statement, each of a type of its own.
macro_rules! params {
    ($($value:expr),* $(,)?) => { vec![$(Box::new($value) as Box<dyn tokio_postgres::types::ToSql + Sync + Send + '_>),*] };
}
pub(super) use params;

/// Connections that all commit in the same way.
#[derive(Clone)]
pub(super) struct Pool {
    inner: deadpool_postgres::Pool,
    answer: Duration,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({:?})", self.inner.status())
    }
}

impl Pool {
    /// A pool that connects when it is asked to. The settings are what its connections are told first.
    pub(super) fn new(
        target: &Config,
        settings: &'static str,
        size: usize,
        limits: &PgLimits,
    ) -> Result<Self, StoreError> {
        let settings = format!(
            "{settings}; SET statement_timeout = {answer}; \
             SET idle_in_transaction_session_timeout = {answer}",
            answer = limits.answer.as_millis()
        );
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let inner = deadpool_postgres::Pool::builder(Manager::from_config(target.clone(), NoTls, recycling))
            .max_size(size)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(limits.acquire),
                create: Some(limits.connect),
                recycle: Some(limits.connect),
            })
            .post_create(Hook::async_fn(move |client, _| {
                let settings = settings.clone();
                Box::pin(async move { client.batch_execute(&settings).await.map_err(HookError::Backend) })
            }))
            .build()
            .map_err(|error| StoreError::Driver(error.into()))?;
        Ok(Self { inner, answer: limits.answer })
    }

    pub(super) async fn get(&self) -> Result<Conn, Failure> {
        Ok(Conn { object: Some(self.inner.get().await?), at_rest: true, answer: self.answer })
    }

    pub(super) fn close(&self) {
        self.inner.close();
    }
}

/// One connection. It goes back to the pool only if its last round trip came to an end; else it is closed, and the
/// server takes back whatever was open on it.
pub(super) struct Conn {
    object: Option<Object>,
    at_rest: bool,
    answer: Duration,
}

impl Drop for Conn {
    fn drop(&mut self) {
        if let Some(object) = self.object.take().filter(|_| !self.at_rest) {
            drop(Object::take(object));
        }
    }
}

impl Conn {
    /// Runs one statement in a transaction of its own.
    pub(super) async fn query(&mut self, query: &Query<'_>) -> Result<Vec<Row>, Failure> {
        let answer = self.answer;
        let client = self.leave();
        let result = within(answer, async {
            let statement = client.prepare_cached(&query.sql).await?;
            client.query(&statement, &query.values()).await
        })
        .await;
        self.arrive(result)
    }

    /// Opens a transaction and runs the statements in it, all in one round trip. Once one has failed, those after it
    /// fail, too.
    pub(super) async fn begin(&mut self, queries: &[&Query<'_>]) -> Result<Vec<Result<Vec<Row>, Failure>>, Failure> {
        let answer = self.answer;
        let client = self.leave();
        within(answer, async {
            let mut statements = Vec::with_capacity(queries.len());
            for query in queries {
                statements.push((client.prepare_cached(&query.sql).await?, query.values()));
            }
            // The driver sends a request when it is first polled, so polling each once, in order, sends them together.
            let mut begin = pin!(maybe_done(client.batch_execute("BEGIN")));
            let _ = poll!(begin.as_mut());
            let mut answers: Vec<_> = Vec::with_capacity(queries.len());
            for (statement, values) in &statements {
                let mut rows = Box::pin(maybe_done(client.query(statement, values)));
                let _ = poll!(rows.as_mut());
                answers.push(rows);
            }
            begin.as_mut().await;
            begin.take_output().unwrap_or(Ok(()))?;
            let mut results = Vec::with_capacity(queries.len());
            for mut rows in answers {
                rows.as_mut().await;
                results.extend(rows.as_mut().take_output().map(|result| result.map_err(Failure::Driver)));
            }
            Ok(results)
        })
        .await
    }

    /// Ends the transaction that [`Conn::begin`] opened.
    pub(super) async fn commit(&mut self) -> Result<(), Failure> {
        self.end("COMMIT").await
    }

    /// Takes back the transaction that [`Conn::begin`] opened.
    pub(super) async fn rollback(&mut self) -> Result<(), Failure> {
        self.end("ROLLBACK").await
    }

    async fn end(&mut self, how: &str) -> Result<(), Failure> {
        let answer = self.answer;
        let client = self.leave();
        let result = within(answer, client.batch_execute(how)).await;
        self.arrive(result)
    }

    fn leave(&mut self) -> &Object {
        self.at_rest = false;
        self.object.as_ref().expect("a connection has its client until it is dropped")
    }

    fn arrive<T>(&mut self, result: Result<T, Failure>) -> Result<T, Failure> {
        self.at_rest = result.as_ref().map_or_else(Failure::is_verdict, |_| true);
        result
    }
}

/// Waits for an answer, but not for ever.
async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Failure> {
    Ok(timeout(limit, answer).await.map_err(|_| Failure::Silent(limit))??)
}

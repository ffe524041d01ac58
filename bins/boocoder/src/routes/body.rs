//! Request bodies: read within a limit of size and time, whether or not their length is announced.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::{Stream, StreamExt};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::StatusCode;

use crate::app::App;
use crate::limits::ServerLimits;
use crate::reject::ApiError;

/// A body that was read, or why it was not.
pub(super) struct Body(Result<Bytes, ApiError>);

/// Reads the body. It never rejects, since the path has been taken by then.
pub(super) fn body(app: &App) -> BoxedFilter<(Body,)> {
    let limits = app.limits().clone();
    warp::body::stream()
        .then(move |stream| {
            let limits = limits.clone();
            async move { Body(read(stream, &limits).await) }
        })
        .boxed()
}

impl Body {
    /// The body as JSON.
    ///
    /// # Errors
    /// 413 or 408 if it could not be read, 400 if it is no JSON, 422 if it is not the JSON that was asked for.
    pub(super) fn json<T: DeserializeOwned>(self) -> Result<T, ApiError> {
        let bytes = self.0?;
        serde_json::from_slice(&bytes).map_err(|error| match error.classify() {
            Category::Data => ApiError::unprocessable("invalid_body", format!("the body does not fit: {error}")),
            Category::Syntax | Category::Eof | Category::Io => {
                ApiError::bad_request("invalid_json", format!("the body is not JSON: {error}"))
            }
        })
    }

    /// The body as JSON; an empty one stands for the default.
    ///
    /// # Errors
    /// As for [`Body::json`].
    pub(super) fn json_or_default<T: DeserializeOwned + Default>(self) -> Result<T, ApiError> {
        match &self.0 {
            Ok(bytes) if bytes.is_empty() => Ok(T::default()),
            Ok(_) | Err(_) => self.json(),
        }
    }
}

async fn read<B: Buf>(
    stream: impl Stream<Item = Result<B, warp::Error>>,
    limits: &ServerLimits,
) -> Result<Bytes, ApiError> {
    let max = limits.body_bytes;
    let whole = async {
        let mut stream = std::pin::pin!(stream);
        let mut body = BytesMut::new();
        while let Some(part) = stream.next().await {
            let part = part.map_err(|error| {
                ApiError::bad_request("incomplete_body", format!("the body ended before its end: {error}"))
            })?;
            if body.len() + part.remaining() > max {
                let message = format!("the body is larger than {max} bytes");
                return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message));
            }
            body.put(part);
        }
        Ok(body.freeze())
    };
    tokio::time::timeout(limits.body_read, whole).await.unwrap_or_else(|_| {
        let message = format!("the body did not come within {} s", limits.body_read.as_secs_f32());
        Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", message))
    })
}

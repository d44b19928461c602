//! A small HTTP client for tests: one method per verb, and no fuss about errors.

mod content;
mod response;

pub use self::{content::Content, response::Response};
pub use hyper::Method;

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes, header::CONTENT_TYPE};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

/// Longer than anything the API waits for by itself, so that a hanging test says where it hangs.
const DEADLINE: Duration = Duration::from_secs(60);

/// A client of one server, with headers that go with every request. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    base_url: String,
    headers: Vec<(String, String)>,
    connections: legacy::Client<HttpConnector, Full<Bytes>>,
}

impl Client {
    /// A client of the server at `base_url`, without credentials.
    #[must_use]
    pub fn new(base_url: &str) -> Self {
        Self {
            base_url: base_url.trim_end_matches('/').to_owned(),
            headers: Vec::new(),
            connections: legacy::Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    /// The same client, with `Authorization: Bearer …`.
    #[must_use]
    pub fn bearer(&self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// The same client, with `X-API-Key: …`.
    #[must_use]
    pub fn api_key(&self, key: &str) -> Self {
        self.header("x-api-key", key)
    }

    /// The same client, with one more header.
    #[must_use]
    pub fn header(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.push((name.to_owned(), value.to_owned()));
        client
    }

    /// Sends `GET path`.
    pub async fn get(&self, path: &str) -> Response {
        self.send(Method::GET, path, None).await
    }

    /// Sends `DELETE path`.
    pub async fn delete(&self, path: &str) -> Response {
        self.send(Method::DELETE, path, None).await
    }

    /// Sends `POST path` without a body.
    pub async fn post_empty(&self, path: &str) -> Response {
        self.send(Method::POST, path, None).await
    }

    /// Sends `POST path` with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Response {
        self.send(Method::POST, path, Some(Content::json(body)))
            .await
    }

    /// Sends `POST path` with a form.
    pub async fn post_form(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.send(Method::POST, path, Some(Content::form(fields)))
            .await
    }

    /// Sends `POST path` with a body of any kind.
    pub async fn post_raw(
        &self,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Response {
        self.send(Method::POST, path, Some(Content::new(content_type, body)))
            .await
    }

    /// Sends `PATCH path` with a JSON body.
    pub async fn patch(&self, path: &str, body: &Value) -> Response {
        self.send(Method::PATCH, path, Some(Content::json(body)))
            .await
    }

    /// Sends `PUT path` with a JSON body.
    pub async fn put(&self, path: &str, body: &Value) -> Response {
        self.send(Method::PUT, path, Some(Content::json(body)))
            .await
    }

    /// Sends any request.
    ///
    /// # Panics
    ///
    /// When no complete response comes.
    pub async fn send(&self, method: Method, path: &str, content: Option<Content>) -> Response {
        self.try_send(method, path, content)
            .await
            .unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Sends any request, for those who expect that the server may be away.
    ///
    /// # Errors
    ///
    /// When no complete response comes within a minute.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        content: Option<Content>,
    ) -> Result<Response> {
        let what = format!("{method} {}{path}", self.base_url);
        crate::polling::wait_for(DEADLINE, self.exchange(method, path, content))
            .await
            .unwrap_or_else(|| Err(anyhow!("no answer within {DEADLINE:?}")))
            .context(what)
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        content: Option<Content>,
    ) -> Result<Response> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base_url));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let body = match content {
            Some(content) => {
                request = request.header(CONTENT_TYPE, content.media_type);
                content.body
            }
            None => Bytes::new(),
        };
        let response = self.connections.request(request.body(body.into())?).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Response {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
        })
    }
}

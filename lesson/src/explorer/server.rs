//! HTTP: the page, its events, and its requests. Only for this machine.

use super::board::{Board, Record};
use super::menu::Menu;
use super::request::{Problem, Request};
use crate::error::{Error, Result};
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Request as HttpRequest, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::future::{Either, select};
use futures_util::stream::{self, Stream};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;

const PAGE: &str = include_str!("../../../web/index.html");
const STYLE: &str = include_str!("../../../web/style.css");
const EXPLORER_STYLE: &str = include_str!("../../../web/explorer.css");
const SCRIPT: &str = include_str!("../../../web/explorer.js");
const SOURCE: &str = include_str!("../../../web/explorer-server.js");
const CHARTS: &str = include_str!("../../../web/charts.js");
/// Maximum size of a request in bytes.
const LONGEST_BODY: usize = 4096;

#[derive(Clone)]
struct Shared {
    menu: Arc<Menu>,
    board: Arc<Board>,
}

/// Serves until `until` resolves.
pub(super) async fn serve(
    listener: tokio::net::TcpListener,
    menu: Arc<Menu>,
    board: Arc<Board>,
    until: impl Future<Output = ()>,
) -> Result<()> {
    let file =
        |kind: &'static str, text: &'static str| get(async move || ([(header::CONTENT_TYPE, kind)], text));
    let app = Router::new()
        .route("/", file("text/html; charset=utf-8", PAGE))
        .route("/style.css", file("text/css; charset=utf-8", STYLE))
        .route("/explorer.css", file("text/css; charset=utf-8", EXPLORER_STYLE))
        .route("/explorer-server.js", file("text/javascript; charset=utf-8", SOURCE))
        .route("/explorer.js", file("text/javascript; charset=utf-8", SCRIPT))
        .route("/charts.js", file("text/javascript; charset=utf-8", CHARTS))
        .route("/state", get(state))
        .route("/events", get(events))
        .route("/run", post(run))
        .route("/cancel", post(cancel))
        .fallback(async || Refusal::new(StatusCode::NOT_FOUND, "there is nothing here; the page is at /"))
        .method_not_allowed_fallback(async || {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this address does not accept this method")
        })
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .layer(middleware::from_fn(guard))
        .with_state(Shared { menu, board });
    match select(pin!(axum::serve(listener, app).into_future()), pin!(until)).await {
        Either::Left((served, _)) => served.map_err(Error::server),
        Either::Right(_) => Ok(()),
    }
}

/// A message in place of the result.
struct Refusal {
    status: StatusCode,
    field: Option<&'static str>,
    error: String,
}

impl Refusal {
    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, field: None, error: error.into() }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self { status: StatusCode::BAD_REQUEST, field: Some(problem.field()), error: problem.to_string() }
    }
}

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Self {
        let status = match &rejection {
            // JSON of another shape gets the same error as text that is not JSON.
            JsonRejection::JsonDataError(_) | JsonRejection::JsonSyntaxError(_) => StatusCode::BAD_REQUEST,
            other => other.status(),
        };
        Self::new(status, rejection.body_text())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.error, "field": self.field }))).into_response()
    }
}

/// Answers only requests for this machine by name. The name of another site could be made to point here (DNS
/// rebinding), but its page cannot put another name into the header.
async fn guard(request: HttpRequest, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
        .map_or(host, |(name, _)| name);
    if !["127.0.0.1", "localhost", "[::1]"].contains(&name) {
        return Refusal::new(StatusCode::FORBIDDEN, "the explorer answers only at 127.0.0.1 and localhost")
            .into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'self'; img-src 'self' data:; frame-ancestors 'none'"),
    );
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn run(
    State(shared): State<Shared>,
    wish: Result<Json<Request>, JsonRejection>,
) -> Result<Json<Value>, Refusal> {
    let Json(wish) = wish?;
    let wish = wish.check(&shared.menu)?;
    let task = shared.menu.domain(&wish.domain).map_or(String::new(), |domain| domain.task.clone());
    Ok(Json(json!({ "run": shared.board.ask(wish, &task) })))
}

/// No fields: the body is there so that only this page can send it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

async fn cancel(
    State(shared): State<Shared>,
    body: Result<Json<Nothing>, JsonRejection>,
) -> Result<Json<Value>, Refusal> {
    let Json(Nothing {}) = body?;
    Ok(Json(json!({ "cancelled": shared.board.cancel() })))
}

/// The complete state.
#[derive(Serialize)]
struct Whole<'a> {
    menu: &'a Menu,
    runs: &'a [Record],
}

async fn state(State(Shared { menu, board }): State<Shared>) -> Response {
    Json(Whole { menu: &menu, runs: &board.records() }).into_response()
}

/// First a `state` with all runs; then a `run` for each change of one.
async fn events(State(shared): State<Shared>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let changes = stream::unfold((shared, None), async |(shared, changes)| {
        let mut changes = changes;
        if let Some(mut receiver) = changes.take() {
            match tokio::sync::broadcast::Receiver::<Arc<Record>>::recv(&mut receiver).await {
                Ok(record) => return Some((event("run", &*record), (shared, Some(receiver)))),
                Err(RecvError::Closed) => return None,
                // A page that missed changes starts again.
                Err(RecvError::Lagged(_)) => {}
            }
        }
        let (runs, receiver) = shared.board.watch();
        Some((event("state", &Whole { menu: &shared.menu, runs: &runs }), (shared, Some(receiver))))
    });
    Sse::new(changes).keep_alive(KeepAlive::default())
}

fn event(name: &str, value: &impl Serialize) -> Result<Event, Infallible> {
    // Numbers, strings and lists always become JSON.
    let text = serde_json::to_string(value).unwrap_or_default();
    Ok(Event::default().event(name).data(text))
}

//! HTTP: the page, the description of the model, and the endpoint for photos.

use super::upload;
use super::{Answer, Queue, Refusal, bare};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::Value;
use std::net::{IpAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};

const PAGE: &str = include_str!("../../../web/serve.html");
/// The page loads nothing from other origins, whatever the class names contain. `blob:` is the dropped photo.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
    img-src blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The longest time of an upload, so that no request holds memory forever.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is served.
pub struct Site {
    /// The description of the model at `/model`.
    pub model: Value,
    /// The queue that classifies photos.
    pub queue: Queue<Answer>,
    /// The names, besides `localhost` and addresses, that requests may use for this machine.
    pub names: Vec<String>,
    room: Semaphore,
}

impl Site {
    /// A site that describes its model by `model`, sends photos to `queue`, and accepts requests for `names`.
    pub fn new(model: Value, queue: Queue<Answer>, names: Vec<String>) -> Self {
        Self { model, queue, names, room: Semaphore::new(upload::ROOM) }
    }
}

/// Serves at `listener` until `stop` resolves; requests that have arrived by then are still answered.
///
/// # Errors
/// If the system does not let it.
pub fn serve(listener: TcpListener, site: Site, stop: oneshot::Receiver<()>) -> std::io::Result<()> {
    let site = Arc::new(site);
    let page = async || ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], PAGE);
    let app = Router::new()
        .route("/", get(page))
        .route("/model", get(async |State(site): State<Arc<Site>>| Json(site.model.clone())))
        .route("/predict", post(predict))
        .fallback(async || {
            let known = "the page is at /, photos go to /predict, and /model describes the model";
            Refusal::new(StatusCode::NOT_FOUND, known)
        })
        .method_not_allowed_fallback(async || {
            let known = "request / and /model with GET, and /predict with POST and the photo as the body";
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, known)
        })
        // `upload` limits bodies itself.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(site.clone(), guard))
        .with_state(site);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let stopped = async || drop(stop.await);
        axum::serve(listener, app).with_graceful_shutdown(stopped()).await
    })
}

async fn predict(State(site): State<Arc<Site>>, request: Request) -> Result<Json<Answer>, Refusal> {
    let (photo, _held) =
        tokio::time::timeout(PATIENCE, upload::photo(request, &site.room)).await.map_err(|_| {
            let text = format!("the photo did not arrive within {} seconds", PATIENCE.as_secs());
            Refusal::new(StatusCode::REQUEST_TIMEOUT, text)
        })??;
    site.queue.ask(photo).await.map(Json)
}

/// Answers only requests for this machine. The name of another site could be made to point here (DNS
/// rebinding), but its page cannot put another name into the header.
async fn guard(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    if !is_here(request.headers(), &site.names) {
        let text = "address this server as localhost, by its address, by the name given with --host, or, if \
                    others may send photos, by the machine's name";
        return Refusal::new(StatusCode::FORBIDDEN, text).into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Whether `Host` is `localhost`, an address, which no name server can change, or one of `names`.
fn is_here(headers: &HeaderMap, names: &[String]) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let host = host.rsplit_once(':').filter(|(_, end)| port(end)).map_or(host, |(host, _)| host);
    host.eq_ignore_ascii_case("localhost")
        || names.iter().any(|name| host.eq_ignore_ascii_case(name))
        || bare(host).parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_sites_name_is_not_this_machine() {
        let here = |host: &'static str, name: &str| {
            let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]);
            is_here(&headers, &[name.to_owned()])
        };
        for host in ["localhost", "LOCALHOST:7878", "127.0.0.1:7878", "[::1]:7878", "[::1]", "192.168.1.7:80"]
        {
            assert!(here(host, "127.0.0.1"), "{host}");
        }
        for host in
            ["", "evil.example", "localhost.evil.example:7878", "127.0.0.1.evil.example", "localhost:x"]
        {
            assert!(!here(host, "127.0.0.1"), "{host}");
        }
        assert!(here("photos.local:7878", "photos.local") && !here("photos.local", "0.0.0.0"));
        assert!(!is_here(&HeaderMap::new(), &["127.0.0.1".to_owned()]));
    }
}

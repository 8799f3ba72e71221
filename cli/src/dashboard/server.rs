//! The server of the page, on loopback. In: a source of runs, a login. Out: responses: documents,
//! updates, and the answer to a request. Listens on loopback.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Path as PathPart, RawQuery, Request, State};
use axum::http::header::{CONTENT_TYPE, SET_COOKIE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::sse::{Event, Sse};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use futures::Stream;
use jiff::Timestamp;
use kinesis_demo_api::error_chain::error_chain;
use kinesis_demo_connections::Connections;
use maud::Markup;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::guard::{HEADERS, LOGIN, refusal};
use super::login::Login;
use super::page::plots::Screen;
use super::page::{self, Part};
use super::replay::Replay;
use super::view::{Choice, verb, word};
use super::watching::{READ_ONLY, Watching};
use crate::error::CliError;

/// How often a page is updated. The figures come with every second update.
const TICK: Duration = Duration::from_millis(500);
/// The largest body of a request.
const MOST_BYTES: usize = 2 * 1024;

/// Where the runs come from.
pub enum Source {
    Cluster { watching: Watching, is_read_only: bool },
    Replay(Replay),
}

impl Source {
    /// What the page begins with; nothing if with the list.
    fn first(&self) -> Vec<Choice> {
        match self {
            Self::Cluster { watching, .. } => watching.names().iter().cloned().map(Choice::Demo).collect(),
            Self::Replay(replay) => replay.choices(),
        }
    }

    /// The parts of the page of these choices; of the list if there are none.
    fn parts(&self, choices: &[Choice], screen: Screen) -> (Clock, Vec<Part>) {
        let now = Timestamp::now();
        if choices.is_empty() {
            let list = match self {
                Self::Cluster { watching, .. } => watching.list(),
                Self::Replay(replay) => replay.list(now),
            };
            return (
                Clock { millis: list.now.as_micros() / 1_000, speed: list.speed },
                page::list_parts(&list),
            );
        }
        let view = self.view(choices);
        (Clock { millis: view.now.as_micros() / 1_000, speed: view.speed }, page::parts(&view, screen))
    }

    fn view(&self, choices: &[Choice]) -> super::view::View {
        match self {
            Self::Cluster { watching, .. } => watching.view(choices),
            Self::Replay(replay) => replay.view(choices, Timestamp::now()),
        }
    }

    fn document(&self, choices: &[Choice], screen: Screen) -> Markup {
        let events = format!("/events?{}", Choice::query(choices));
        if !choices.is_empty() {
            return page::show(&self.view(choices), &events, screen);
        }
        let list = match self {
            Self::Cluster { watching, .. } => watching.list(),
            Self::Replay(replay) => replay.list(Timestamp::now()),
        };
        page::list(&list, &events)
    }
}

/// The page's clock: its instant, and how fast it goes.
struct Clock {
    millis: i64,
    speed: u32,
}

/// A server that runs until it is dropped.
pub struct Serving {
    server: Arc<Server>,
    task: JoinHandle<std::io::Result<()>>,
}

/// The most connections. A page has two or three; whoever else connects and says nothing makes
/// room for others after ten seconds.
const MOST_CONNECTIONS: usize = 64;

/// Where to listen. A port that the user chose may be the same at the next start, and a browser
/// keeps what pages of one address have left behind, such as service workers: also those of another
/// user who listened there in between. So each start has another address of 127.0.0.0/8 then, where
/// the system has more than one and the browser runs on it.
fn address(port: u16) -> Ipv4Addr {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // Under WSL the browser is on Windows, which forwards 127.0.0.1 only.
    if port == 0 || !cfg!(target_os = "linux") || kernel.to_lowercase().contains("microsoft") {
        return Ipv4Addr::LOCALHOST;
    }
    let [a, b, c, ..] = *uuid::Uuid::new_v4().as_bytes();
    Ipv4Addr::new(127, a, b, c.clamp(1, 254))
}

struct Server {
    login: Login,
    /// Address and port.
    host: String,
    source: Source,
}

impl Serving {
    /// Listens on that port, or on any if it is zero. The login file is written to `folder`.
    pub async fn start(folder: &Path, port: u16, source: Source) -> Result<Self, CliError> {
        let failed = |error: std::io::Error| {
            CliError::Refused(format!(
                "could not listen on 127.0.0.1:{port}: {error}; choose another port with --port"
            ))
        };
        let listener = TcpListener::bind((address(port), port)).await.map_err(failed)?;
        let host = listener.local_addr().map_err(failed)?.to_string();
        let server = Arc::new(Server { login: Login::open(folder, &host)?, host, source });
        let router = router(Arc::clone(&server));
        // It ends with its task.
        let never = CancellationToken::new();
        let task = Connections::new(MOST_CONNECTIONS).serve(listener, router, &never);
        Ok(Self { server, task })
    }

    /// The file that leads to the page, once for each token.
    #[must_use]
    pub fn file(&self) -> &Path {
        self.server.login.file()
    }

    /// The address that the page has then.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://{}/", self.server.host)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
        // Connections outlive the task for a moment, and with them the login that owns the file.
        self.server.login.close();
    }
}

fn router(server: Arc<Server>) -> Router {
    let text = |kind: &'static str, text: &'static str| {
        get(move || async move { ([(CONTENT_TYPE, HeaderValue::from_static(kind))], text) })
    };
    Router::new()
        .route("/", get(first))
        .route("/list", get(list))
        .route("/show", get(show))
        .route("/events", get(events))
        .route(LOGIN, get(login))
        .route("/requests/{verb}", post(request))
        .route("/page.js", text("text/javascript; charset=utf-8", include_str!("page.js")))
        .route("/login.js", text("text/javascript; charset=utf-8", include_str!("login.js")))
        .route("/page.css", text("text/css; charset=utf-8", include_str!("page.css")))
        .route("/plot.css", text("text/css; charset=utf-8", page::plots::STYLE))
        .route("/icon.svg", text("image/svg+xml", include_str!("icon.svg")))
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .layer(middleware::from_fn_with_state(Arc::clone(&server), guarded))
        .with_state(server)
}

/// Refuses what [`refusal`] says, and adds the headers to every response.
async fn guarded(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let refused =
        refusal(&server.login, &server.host, request.method(), request.uri().path(), request.headers());
    let mut response = match refused {
        Some(refused) => refused.into_response(),
        None => next.run(request).await,
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, value);
    }
    response
}

async fn first(State(server): State<Arc<Server>>) -> Html<String> {
    let choices = server.source.first();
    html(&server.source.document(&choices, Screen::default()))
}

async fn list(State(server): State<Arc<Server>>) -> Html<String> {
    html(&server.source.document(&[], Screen::default()))
}

async fn show(State(server): State<Arc<Server>>, RawQuery(query): RawQuery) -> Response {
    let choices = Choice::all_in(&query.unwrap_or_default());
    if choices.is_empty() {
        return Redirect::to("/list").into_response();
    }
    html(&server.source.document(&choices, Screen::default())).into_response()
}

/// Exchanges the token for the cookie. The response is a page that goes on to the clean address: a
/// redirect would not carry the cookie, since the login file is another site to the browser.
async fn login(State(server): State<Arc<Server>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let token = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "token");
    if !token.is_some_and(|(_, token)| server.login.exchange(&token)) {
        let why =
            "this link was used or is of an earlier start: open the file that the command line printed again";
        return (StatusCode::FORBIDDEN, why).into_response();
    }
    match HeaderValue::from_str(&server.login.set_cookie()) {
        Ok(cookie) => {
            ([(SET_COOKIE, cookie)], html(&page::welcome(server.login.key(), server.login.witness())))
                .into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn html(markup: &Markup) -> Html<String> {
    Html(markup.clone().into_string())
}

/// The run that a request is for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    demo: String,
    run: Option<u32>,
}

/// Sends a request to the operator. Its outcome appears on the page, with the object's status.
async fn request(
    State(server): State<Arc<Server>>,
    PathPart(name): PathPart<String>,
    Json(Target { demo, run }): Json<Target>,
) -> (StatusCode, String) {
    let watching = match &server.source {
        Source::Replay(_) => return (StatusCode::FORBIDDEN, "a replay takes no requests".into()),
        Source::Cluster { is_read_only: true, .. } => return (StatusCode::FORBIDDEN, READ_ONLY.into()),
        Source::Cluster { watching, .. } => watching,
    };
    let Some(verb) = verb(&name) else { return (StatusCode::NOT_FOUND, "there is no such request".into()) };
    if !watching.has(&demo) {
        return (StatusCode::NOT_FOUND, "this page does not have that object".into());
    }
    match watching.cluster().put_request(&demo, verb, run).await {
        Ok(_) => (
            StatusCode::ACCEPTED,
            format!("Requested: {} {demo}. The operator answers in a moment.", word(verb)),
        ),
        Err(error) => {
            let next = error.next_step().map(|next| format!(" Next: {next}.")).unwrap_or_default();
            (StatusCode::BAD_GATEWAY, format!("{}.{next}", error_chain(&error)))
        }
    }
}

/// The updates of one open page.
struct Updates {
    server: Arc<Server>,
    choices: Vec<Choice>,
    screen: Screen,
    tick: Interval,
    count: u64,
    /// What each part was when it was last sent.
    sent: HashMap<String, u64>,
}

async fn events(
    State(server): State<Arc<Server>>,
    RawQuery(query): RawQuery,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let query = query.unwrap_or_default();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let updates = Updates {
        server,
        choices: Choice::all_in(&query),
        screen: Screen::of(&query),
        tick,
        count: 0,
        sent: HashMap::new(),
    };
    Sse::new(futures::stream::unfold(updates, |mut updates| async move {
        updates.tick.tick().await;
        Some((Ok(updates.next()), updates))
    }))
}

impl Updates {
    /// The parts that have changed. Sent also if none has: the page shows when updates stop.
    fn next(&mut self) -> Event {
        let (Clock { millis, speed }, parts) = self.server.source.parts(&self.choices, self.screen);
        let mut changed = serde_json::Map::new();
        for (id, markup) in parts {
            // Figures are large, and a second is little on their axis.
            if id == "plots" && !self.count.is_multiple_of(2) {
                continue;
            }
            let html = markup.into_string();
            let mut hasher = DefaultHasher::new();
            html.hash(&mut hasher);
            let hash = hasher.finish();
            if self.sent.insert(id.clone(), hash) != Some(hash) {
                changed.insert(id, html.into());
            }
        }
        self.count += 1;
        let witness = self.server.login.witness();
        let data = json!({"now": millis, "speed": speed, "parts": changed, "witness": witness}).to_string();
        Event::default().event("parts").retry(Duration::from_secs(1)).data(data)
    }
}

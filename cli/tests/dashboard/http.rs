//! Requests that are refused, headers, text, sizes; and the program itself.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::json;

use super::{Page, stored};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

async fn assert_refused(what: &str, request: RequestBuilder, expected: StatusCode) {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), expected, "{what}");
    assert_safe_headers(what, &response);
    assert!(!response.headers().contains_key("set-cookie"), "{what}");
}

fn assert_safe_headers(what: &str, response: &Response) {
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(response.headers().get(name).and_then(|value| value.to_str().ok()), Some(value), "{what}");
    }
    assert!(!response.headers().keys().any(|name| name.as_str().starts_with("access-control-")), "{what}");
}

const PATHS: [&str; 9] = [
    "/",
    "/list",
    "/show?run=1",
    "/events?run=1",
    "/page.js",
    "/login.js",
    "/page.css",
    "/plot.css",
    "/icon.svg",
];

#[tokio::test]
async fn every_request_needs_the_cookie_the_host_and_our_origin() {
    let page = Page::of_replay(&stored(20, "a")).await.logged_in().await;
    for path in PATHS {
        let get = || page.request(Method::GET, path);
        let ours = || get().header("cookie", &page.cookie);
        let response = ours().send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_safe_headers(path, &response);
        assert_refused("no login", get(), StatusCode::UNAUTHORIZED).await;
        let wrong = page.cookie.replace('=', "=0");
        assert_refused("another cookie", get().header("cookie", wrong), StatusCode::UNAUTHORIZED).await;
        for host in ["evil.example", "127.0.0.1", "localhost", "127.0.0.1:1", ""] {
            assert_refused(host, ours().header("host", host), StatusCode::FORBIDDEN).await;
        }
        let port = page.host().replace("127.0.0.1:", "");
        let evil = format!("evil.example:{port}");
        assert_refused("rebound name", ours().header("host", evil), StatusCode::FORBIDDEN).await;
        for origin in ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1"] {
            assert_refused(origin, ours().header("origin", origin), StatusCode::FORBIDDEN).await;
        }
        let named = format!("localhost:{port}");
        assert_eq!(ours().header("host", named).send().await.unwrap().status(), StatusCode::OK, "{path}");
    }
    for (what, request, status) in [
        (
            "unknown path",
            page.request(Method::GET, "/nothing").header("cookie", &page.cookie),
            StatusCode::NOT_FOUND,
        ),
        (
            "method",
            page.request(Method::PUT, "/").header("cookie", &page.cookie),
            StatusCode::METHOD_NOT_ALLOWED,
        ),
        ("preflight", page.request(Method::OPTIONS, "/requests/abort"), StatusCode::METHOD_NOT_ALLOWED),
        (
            "no choice",
            page.request(Method::GET, "/show").header("cookie", &page.cookie),
            StatusCode::SEE_OTHER,
        ),
    ] {
        assert_refused(what, request, status).await;
    }
}

#[tokio::test]
async fn a_token_works_once_and_its_file_is_private() {
    let page = Page::of_replay(&stored(20, "a")).await;
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(page.serving.file()), 0o600);
    for token in ["/login", "/login?token=", "/login?token=0", "/login?tokens=1"] {
        assert_refused(token, page.request(Method::GET, token), StatusCode::FORBIDDEN).await;
    }
    let used = page.login_path();
    assert_refused("login by POST", page.request(Method::POST, &used), StatusCode::UNAUTHORIZED).await;
    let page = page.logged_in().await;
    assert_refused("replayed", page.request(Method::GET, &used), StatusCode::FORBIDDEN).await;
    assert_ne!(page.login_path(), used, "the file has a new token");
    assert_eq!(mode(page.serving.file()), 0o600);
    assert!(!page.text("/").await.contains(&page.key), "the key is only in the response to the token");
    let file = page.serving.file().to_path_buf();
    drop(page.serving);
    assert!(!file.exists() && page.folder.path().exists());
}

#[tokio::test]
async fn a_request_that_changes_something_is_a_json_post_of_this_page() {
    let page = Page::of_replay(&stored(20, "a")).await.logged_in().await;
    let body = json!({"demo": "a", "run": 1});
    let path = "/requests/abort";
    let get = page.request(Method::GET, path).header("cookie", &page.cookie);
    assert_refused("GET", get, StatusCode::METHOD_NOT_ALLOWED).await;
    let without = |name: &'static str| {
        let mut request = page.request(Method::POST, path).body(body.to_string());
        for (header, value) in [
            ("cookie", page.cookie.clone()),
            ("origin", page.origin()),
            ("content-type", "application/json".into()),
            ("x-kinesisdemo-key", page.key.clone()),
        ] {
            if header != name {
                request = request.header(header, value);
            }
        }
        request
    };
    assert_refused("no cookie", without("cookie"), StatusCode::UNAUTHORIZED).await;
    assert_refused("no origin", without("origin"), StatusCode::FORBIDDEN).await;
    assert_refused("no key", without("x-kinesisdemo-key"), StatusCode::FORBIDDEN).await;
    assert_refused("no type", without("content-type"), StatusCode::UNSUPPORTED_MEDIA_TYPE).await;
    for kind in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx"]
    {
        let request = without("content-type").header("content-type", kind);
        assert_refused(kind, request, StatusCode::UNSUPPORTED_MEDIA_TYPE).await;
    }
    let foreign = without("origin").header("origin", "http://evil.example");
    assert_refused("foreign origin", foreign, StatusCode::FORBIDDEN).await;
    let large = json!({"demo": "a".repeat(4_000)});
    assert_refused("large", page.post(path, &large), StatusCode::PAYLOAD_TOO_LARGE).await;
    assert_refused(
        "unknown field",
        page.post(path, &json!({"demo": "a", "x": 1})),
        StatusCode::UNPROCESSABLE_ENTITY,
    )
    .await;
    let refused = page.post(path, &body).send().await.unwrap();
    assert_eq!(
        (refused.status(), refused.text().await.unwrap().as_str()),
        (StatusCode::FORBIDDEN, "a replay takes no requests")
    );
}

#[tokio::test]
async fn text_of_a_replay_is_never_markup() {
    let script = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u{202e}";
    let page =
        Page::of_ended_replay(&json!([stored(20, script), stored(20, script)])).await.logged_in().await;
    let query = format!(
        "/show?{}",
        form_urlencoded::Serializer::new(String::new()).append_pair("demo", script).finish()
    );
    for path in ["/", "/list", "/show?run=1&run=2", "/show?run=9%3Cscript%3E", &query] {
        let html = page.text(path).await;
        let own = html.matches("<script src=\"/page.js\">").count();
        assert_eq!((html.matches("<script").count(), own), (1, 1), "{path}");
        assert!(!html.contains("<img") && !html.contains('\u{202e}'), "{path}");
        assert!(html.contains("&lt;script&gt;"), "{path}");
        let events = path.replace("/show", "/events").replace("/list", "/events");
        let (update, _) = page.update(if path == "/" { "/events?run=1&run=2" } else { &events }).await;
        for (id, part) in update["parts"].as_object().into_iter().flatten() {
            let part = part.as_str().unwrap();
            assert!(!part.contains("<script") && !part.contains("<img"), "{path} {id}");
        }
    }
}

#[tokio::test]
async fn page_of_an_eight_hour_run_is_below_a_mebibyte() {
    let page =
        Page::of_ended_replay(&stored(500, "a-phase-with-a-long-name-0123456789")).await.logged_in().await;
    let mut assets = 0;
    for path in ["/page.js", "/page.css", "/plot.css", "/icon.svg"] {
        assets += page.text(path).await.len();
    }
    let document = page.text("/").await;
    assert!(document.contains("Failed") && document.contains("<path"), "the whole run is drawn");
    for screen in ["desk", "presenter", "phone"] {
        let (_, update) = page.update(&format!("/events?run=1&screen={screen}")).await;
        let all = assets + document.len() + update;
        assert!(all < 1024 * 1024, "{screen}: {all} bytes, of which {update} of the update");
        eprintln!("{screen}: {assets} + {} + {update} = {all} bytes", document.len());
    }
}

/// The program with `--replay`, as a user starts it.
#[tokio::test]
async fn the_command_prints_file_and_address_and_ends_cleanly() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.yaml");
    std::fs::write(&file, serde_saphyr::to_string(&stored(20, "a")).unwrap()).unwrap();
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_kubectl-kinesisdemo"))
        .args(["dashboard", "--speed", "60", "--replay"])
        .arg(&file)
        .env("XDG_RUNTIME_DIR", folder.path())
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines =
        tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(child.stdout.take().unwrap()));
    let opened = lines.next_line().await.unwrap().unwrap();
    let path = opened.strip_prefix("The page: open ").unwrap().split(" in a browser").next().unwrap();
    let path = PathBuf::from(path.trim_matches('\''));
    assert!(path.starts_with(folder.path()), "{opened}");
    let parent = path.parent().unwrap().metadata().unwrap().permissions().mode();
    assert_eq!((path.metadata().unwrap().permissions().mode() & 0o777, parent & 0o777), (0o600, 0o700));
    let address = lines.next_line().await.unwrap().unwrap();
    assert!(
        address.starts_with("Then its address is http://127.0.0.1:") && !address.contains("token"),
        "{address}"
    );
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("Ctrl-C ends it."));
    let pid = nix::unistd::Pid::from_raw(child.id().unwrap().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
    assert!(!path.exists() && !path.parent().unwrap().exists());
}

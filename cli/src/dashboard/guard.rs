//! Which requests the page answers, and the headers of every response. In: method, path, headers.
//! Out: a refusal, or none. Pure.
//!
//! Loopback is shared: any user of this machine can connect, and any page in the user's browser can
//! send requests. A request needs our name in Host (or a foreign name could be pointed to us), our
//! own Origin if it has any, and the cookie. One that changes something needs more.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HOST, HeaderName, HeaderValue, ORIGIN,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, Method, StatusCode};

use super::login::Login;

/// The path at which a token is exchanged for the cookie: the only one without it.
pub const LOGIN: &str = "/login";
/// The header with the key.
pub const KEY: &str = "x-kinesisdemo-key";

/// The headers of every response, whatever its status.
pub const HEADERS: [(HeaderName, HeaderValue); 8] = [
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
             frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        ),
    ),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), microphone=(), geolocation=()"),
    ),
];

/// Why a request is not answered; None if it is.
#[must_use]
pub fn refusal(
    login: &Login,
    ours: &str,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Option<(StatusCode, &'static str)> {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let host = text(&HOST).unwrap_or_default();
    let port = ours.rsplit(':').next().unwrap_or_default();
    let is_ours = host == ours || host == format!("localhost:{port}");
    if !is_ours || headers.get_all(&HOST).iter().count() != 1 {
        return Some((
            StatusCode::FORBIDDEN,
            "this server has another name: open the address that it printed",
        ));
    }
    let origin = text(&ORIGIN);
    if origin.is_some_and(|origin| origin != format!("http://{host}")) {
        return Some((StatusCode::FORBIDDEN, "requests from other pages are refused"));
    }
    let reads = matches!(*method, Method::GET | Method::HEAD);
    if !reads && *method != Method::POST {
        return Some((StatusCode::METHOD_NOT_ALLOWED, "only GET and POST are answered"));
    }
    if reads && path == LOGIN {
        return None;
    }
    let cookies = headers.get_all(COOKIE);
    if !cookies.iter().filter_map(|value| value.to_str().ok()).any(|value| login.is_session(value)) {
        return Some((
            StatusCode::UNAUTHORIZED,
            "not logged in: open the file that the command line printed (it works once; then it has a new token)",
        ));
    }
    if reads {
        return None;
    }
    let is_json = text(&CONTENT_TYPE)
        .and_then(|value| value.split(';').next())
        .is_some_and(|value| value.trim().eq_ignore_ascii_case("application/json"));
    if !is_json {
        return Some((StatusCode::UNSUPPORTED_MEDIA_TYPE, "a request that changes something is JSON"));
    }
    if origin.is_none() {
        return Some((StatusCode::FORBIDDEN, "a request that changes something needs an Origin"));
    }
    let key = headers.get(KEY).and_then(|value| value.to_str().ok());
    if !key.is_some_and(|key| login.is_key(key)) {
        return Some((
            StatusCode::FORBIDDEN,
            "this browser has no key: open the file that the command line printed again",
        ));
    }
    None
}

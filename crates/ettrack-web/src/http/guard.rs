//! Access checks of each request: its Host is this machine, its Origin is the page itself, and it holds the token if the
//! server has one.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, HOST, HeaderName, HeaderValue,
    LOCATION, ORIGIN, REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

use super::refusal;

/// Content security policy: scripts, styles and pictures come only from this server, and no other page may embed this one.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Number of random bytes in a token. 128 bits cannot be guessed.
const TOKEN_BYTES: usize = 16;

/// Secret text that allows another machine to use the page. It is printed once and never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Token(…)")
    }
}

impl Token {
    /// Makes a token from the system's random numbers.
    ///
    /// # Errors
    /// Returns the system's error if it gives no random numbers.
    pub fn random() -> std::io::Result<Self> {
        let mut bytes = [0; TOKEN_BYTES];
        getrandom::fill(&mut bytes).map_err(|error| std::io::Error::other(error.to_string()))?;
        Ok(Self(
            bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        ))
    }

    /// Makes a token from a text of 16 to 128 ASCII letters and digits. Returns `None` for any other text.
    pub fn new(text: &str) -> Option<Self> {
        let is_good = (16..=128).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_good.then(|| Self(text.to_owned()))
    }

    /// Returns the token's text.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Compares in a time that does not depend on how many characters are right.
    fn is(&self, other: &str) -> bool {
        self.0.len() == other.len()
            && self
                .0
                .bytes()
                .zip(other.bytes())
                .fold(0, |differs, (a, b)| differs | (a ^ b))
                == 0
    }
}

/// The expected values of the access checks.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    /// Port of this server.
    pub port: u16,
    /// The token. Without one, each request with the right Host and Origin is allowed.
    pub token: Option<Token>,
    /// Accepted host names. `localhost` and IP addresses are accepted, too.
    pub names: Vec<String>,
}

/// Checks each request and adds the security headers to each answer.
pub(crate) async fn guard(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match guard.check(&request) {
        Ok(Entry::Open) => next.run(request).await,
        Ok(Entry::Welcome(cookie)) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::SEE_OTHER;
            response
                .headers_mut()
                .insert(LOCATION, HeaderValue::from_static("/"));
            if let Ok(cookie) = HeaderValue::from_str(&cookie) {
                response.headers_mut().insert(SET_COOKIE, cookie);
            }
            response
        }
        Err((status, reason)) => refusal(status, &reason),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

enum Entry {
    Open,
    /// The token was in the page's address. The answer stores it in this cookie and redirects to the address without it.
    Welcome(String),
}

type Refused = (StatusCode, String);

impl Guard {
    fn check(&self, request: &Request) -> Result<Entry, Refused> {
        let headers = request.headers();
        let host = self.check_host(request)?;
        check_origin(headers, host)?;
        let Some(token) = &self.token else {
            return Ok(Entry::Open);
        };
        let given = query_token(request.uri().query().unwrap_or_default());
        if let Some(given) = given {
            return match token.is(given) {
                true if request.method() == Method::GET && request.uri().path() == "/" => {
                    // Not SameSite=Strict: after a click on a link in another page, such as a chat, a browser would not
                    // send the cookie to the page that the answer leads to. Requests of other pages are refused by their
                    // Origin.
                    Ok(Entry::Welcome(format!(
                        "{}={given}; HttpOnly; SameSite=Lax; Path=/",
                        self.cookie_name()
                    )))
                }
                true => Ok(Entry::Open),
                false => Err(wrong_token()),
            };
        }
        let bearer = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        if bearer
            .or_else(|| self.cookie(headers))
            .is_some_and(|given| token.is(given))
        {
            Ok(Entry::Open)
        } else {
            Err(wrong_token())
        }
    }

    /// Returns the request's Host. Refuses a name that does not belong to this machine: otherwise an attacker's page could
    /// point its own name at this machine's address, and the browser would let it use this server (DNS rebinding).
    fn check_host<'a>(&self, request: &'a Request) -> Result<&'a str, Refused> {
        let refused = |got: &str| {
            (
                StatusCode::MISDIRECTED_REQUEST,
                format!(
                    "Host is {got:?}, expected this machine's address or localhost, with port {}",
                    self.port
                ),
            )
        };
        let host = request
            .headers()
            .get(HOST)
            .and_then(|value| value.to_str().ok())
            .ok_or_else(|| refused(""))?;
        let (name, port) = split_port(host);
        let is_known = name.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self
                .names
                .iter()
                .any(|known| name.eq_ignore_ascii_case(known));
        if is_known && port.unwrap_or(80) == self.port {
            Ok(host)
        } else {
            Err(refused(host))
        }
    }

    /// Returns the cookie's name. It contains the port because all ports of a machine share their cookies.
    fn cookie_name(&self) -> String {
        format!("ettrack-{}", self.port)
    }

    fn cookie<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let name = self.cookie_name();
        headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find_map(|(key, value)| (key == name).then_some(value))
    }
}

fn wrong_token() -> Refused {
    (
        StatusCode::UNAUTHORIZED,
        "the token is missing or wrong; open the address that was printed when the page was started, with its ?token=…".into(),
    )
}

/// Refuses requests that a browser sends for another page. Programs other than browsers do not send these headers and are
/// allowed.
fn check_origin(headers: &HeaderMap, host: &str) -> Result<(), Refused> {
    let refused = |got: &str| {
        (
            StatusCode::FORBIDDEN,
            format!(
                "the request comes from another page ({got}); only this server's own page may ask"
            ),
        )
    };
    if let Some(origin) = headers.get(ORIGIN) {
        let origin = origin.to_str().unwrap_or("unreadable");
        if origin.strip_prefix("http://") != Some(host) {
            return Err(refused(origin));
        }
    }
    let site = headers
        .get("sec-fetch-site")
        .map(|value| value.to_str().unwrap_or("unreadable"));
    // A link on another page may open this page.
    let opens = headers
        .get("sec-fetch-mode")
        .is_some_and(|mode| mode == "navigate");
    match site {
        None | Some("same-origin" | "none") => Ok(()),
        Some(_) if opens => Ok(()),
        Some(site) => Err(refused(site)),
    }
}

/// Splits `host:port` or `[v6]:port`. Returns the host without brackets. A port that is not a number becomes 0.
fn split_port(host: &str) -> (&str, Option<u16>) {
    if let Some(rest) = host.strip_prefix('[') {
        return match rest.split_once(']') {
            Some((address, "")) => (address, None),
            Some((address, port)) => (
                address,
                port.strip_prefix(':')
                    .and_then(|port| port.parse().ok())
                    .or(Some(0)),
            ),
            None => ("", None),
        };
    }
    match host.split_once(':') {
        Some((name, port)) => (name, port.parse().ok().or(Some(0))),
        None => (host, None),
    }
}

fn query_token(query: &str) -> Option<&str> {
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix("token="))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(token: Option<&str>, uri: &str, headers: &[(&str, &str)]) -> Result<bool, StatusCode> {
        let guard = Guard {
            port: 8090,
            token: token.and_then(Token::new),
            names: vec!["robot".into(), "robot.local".into()],
        };
        let mut request = axum::http::Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        match guard.check(&request.body(Body::empty()).unwrap()) {
            Ok(Entry::Open) => Ok(true),
            Ok(Entry::Welcome(_)) => Ok(false),
            Err((status, _)) => Err(status),
        }
    }

    #[test]
    fn refuses_hosts_that_are_not_this_machine() {
        for host in [
            "localhost:8090",
            "127.0.0.1:8090",
            "[::1]:8090",
            "robot:8090",
            "Robot.local:8090",
            "10.0.0.7:8090",
        ] {
            assert_eq!(check(None, "/state", &[("host", host)]), Ok(true), "{host}");
        }
        for host in [
            "evil.example:8090",
            "localhost",
            "localhost:8091",
            "localhost:x",
            "",
            "[::1",
            "robot.evil.example:8090",
        ] {
            let outcome = check(None, "/state", &[("host", host)]);
            assert_eq!(outcome, Err(StatusCode::MISDIRECTED_REQUEST), "{host}");
        }
        assert_eq!(
            check(None, "/state", &[]),
            Err(StatusCode::MISDIRECTED_REQUEST)
        );
    }

    #[test]
    fn refuses_requests_from_other_origins() {
        let host = ("host", "localhost:8090");
        assert_eq!(
            check(
                None,
                "/target",
                &[host, ("origin", "http://localhost:8090")]
            ),
            Ok(true)
        );
        for origin in [
            "http://evil.example",
            "null",
            "http://localhost:8091",
            "https://localhost:8090",
            "http://127.0.0.1:8090",
        ] {
            let outcome = check(None, "/target", &[host, ("origin", origin)]);
            assert_eq!(outcome, Err(StatusCode::FORBIDDEN), "{origin}");
        }
        assert_eq!(
            check(None, "/stream", &[host, ("sec-fetch-site", "cross-site")]),
            Err(StatusCode::FORBIDDEN)
        );
        assert_eq!(
            check(
                None,
                "/",
                &[
                    host,
                    ("sec-fetch-site", "cross-site"),
                    ("sec-fetch-mode", "navigate")
                ]
            ),
            Ok(true)
        );
    }

    #[test]
    fn accepts_the_right_token_and_refuses_a_wrong_one() {
        let token = Some("0123456789abcdef");
        let host = ("host", "10.0.0.7:8090");
        assert_eq!(check(token, "/?token=0123456789abcdef", &[host]), Ok(false));
        assert_eq!(
            check(token, "/state?token=0123456789abcdef", &[host]),
            Ok(true)
        );
        assert_eq!(
            check(
                token,
                "/state",
                &[host, ("authorization", "Bearer 0123456789abcdef")]
            ),
            Ok(true)
        );
        assert_eq!(
            check(
                token,
                "/state",
                &[host, ("cookie", "a=b; ettrack-8090=0123456789abcdef")]
            ),
            Ok(true)
        );
        for (uri, header) in [
            ("/state", ("x", "y")),
            ("/state?token=0123456789abcdeg", ("x", "y")),
            ("/state?token=", ("x", "y")),
            ("/state", ("cookie", "ettrack-8091=0123456789abcdef")),
            (
                "/state?token=wrong",
                ("cookie", "ettrack-8090=0123456789abcdef"),
            ),
        ] {
            assert_eq!(
                check(token, uri, &[host, header]),
                Err(StatusCode::UNAUTHORIZED),
                "{uri}"
            );
        }
        assert!(Token::new("short").is_none() && Token::new("0123456789abcde;").is_none());
        assert_ne!(Token::random().unwrap(), Token::random().unwrap());
    }
}

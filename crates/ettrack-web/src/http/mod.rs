//! The HTTP API for the page and for other programs.

pub(crate) mod guard;
mod socket;
mod stream;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::middleware;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Serialize;

use crate::command::{Command, RequestError, read_settings, read_target};
use crate::picture;
use crate::recording::RecordingError;
use crate::report;
use crate::session::{OrderError, Session};
use guard::{Guard, guard};

/// Largest length of a request's body, bytes. A target or all settings need a few hundred.
const LONGEST_BODY: usize = 64 << 10;

/// JPEG quality of the template, which is small.
const TEMPLATE_QUALITY: u8 = 90;

type Shared = State<Arc<Session>>;

/// Returns the routes of all paths.
pub(crate) fn router(session: Arc<Session>, checks: Guard) -> Router {
    let asset = |mime: &'static str, body: &'static str| {
        get(move || async move { with_type(mime, Body::from(body)) })
    };
    Router::new()
        .route(
            "/",
            asset(
                "text/html; charset=utf-8",
                include_str!("../../assets/index.html"),
            ),
        )
        .route(
            "/page.js",
            asset(
                "text/javascript; charset=utf-8",
                include_str!("../../assets/page.js"),
            ),
        )
        .route(
            "/view.js",
            asset(
                "text/javascript; charset=utf-8",
                include_str!("../../assets/view.js"),
            ),
        )
        .route(
            "/panels.js",
            asset(
                "text/javascript; charset=utf-8",
                include_str!("../../assets/panels.js"),
            ),
        )
        .route(
            "/style.css",
            asset(
                "text/css; charset=utf-8",
                include_str!("../../assets/style.css"),
            ),
        )
        .route(
            "/icon.svg",
            asset("image/svg+xml", include_str!("../../assets/icon.svg")),
        )
        .route(
            "/state",
            get(async |session: Shared| json(&session.snapshot())),
        )
        .route("/target", post(target))
        .route(
            "/stop",
            post(async |session: Shared| order(&session, Command::Stop).await),
        )
        .route(
            "/undo",
            post(async |session: Shared| order(&session, Command::Undo).await),
        )
        .route(
            "/pause",
            post(async |session: Shared| order(&session, Command::Pause).await),
        )
        .route(
            "/resume",
            post(async |session: Shared| order(&session, Command::Resume).await),
        )
        .route(
            "/step",
            post(async |session: Shared| order(&session, Command::Step).await),
        )
        .route(
            "/restart",
            post(async |session: Shared| order(&session, Command::Restart).await),
        )
        .route(
            "/settings",
            get(async |session: Shared| json(&session.settings())).patch(settings),
        )
        .route("/results", get(socket::results))
        .route("/stream", get(stream::mjpeg))
        .route("/frame", get(stream::frame))
        .route("/template", get(template))
        .route("/boxes.csv", get(boxes))
        .route("/report.html", get(page_of_results))
        .route("/recording", get(stream::recording).post(record))
        .fallback(async |method: Method| {
            refusal(
                StatusCode::NOT_FOUND,
                &format!("there is nothing at this path for {method}; docs/web.md lists the paths"),
            )
        })
        .method_not_allowed_fallback(async |method: Method| {
            refusal(
                StatusCode::METHOD_NOT_ALLOWED,
                &format!("{method} is not allowed for this path; docs/web.md lists the methods"),
            )
        })
        .with_state(session)
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .layer(middleware::from_fn_with_state(Arc::new(checks), guard))
}

#[derive(Serialize)]
struct Said<'a> {
    said: &'a str,
}

#[derive(Serialize)]
struct Refused<'a> {
    error: &'a str,
}

/// Makes an error's answer: the status, and the JSON `{"error": "…"}`.
pub(crate) fn refusal(status: StatusCode, error: &str) -> Response {
    let mut response = json(&Refused { error });
    *response.status_mut() = status;
    response
}

fn with_type(mime: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(mime));
    response
}

fn json(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => with_type("application/json", Body::from(bytes)),
        Err(error) => {
            let mut response = Response::new(Body::from(error.to_string()));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}

async fn order(session: &Session, command: Command) -> Response {
    match session.order(command).await {
        Ok(said) => json(&Said { said: &said }),
        Err(error) => refusal(
            match error {
                OrderError::Busy => StatusCode::TOO_MANY_REQUESTS,
                OrderError::Gone => StatusCode::SERVICE_UNAVAILABLE,
                OrderError::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
            },
            &error.to_string(),
        ),
    }
}

type Read = Result<Bytes, BytesRejection>;

async fn order_of(
    session: &Session,
    body: Read,
    read: fn(&[u8]) -> Result<Command, RequestError>,
) -> Response {
    match body {
        Ok(body) => match read(&body) {
            Ok(command) => order(session, command).await,
            Err(error) => refusal(StatusCode::BAD_REQUEST, &error.to_string()),
        },
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => refusal(
            StatusCode::PAYLOAD_TOO_LARGE,
            &format!("the body is too long, expected at most {LONGEST_BODY} bytes"),
        ),
        Err(rejection) => refusal(rejection.status(), &rejection.body_text()),
    }
}

async fn target(session: Shared, body: Read) -> Response {
    order_of(&session, body, read_target).await
}

async fn settings(session: Shared, body: Read) -> Response {
    order_of(&session, body, read_settings).await
}

async fn template(session: Shared) -> Response {
    let Some(template) = session.template() else {
        return refusal(StatusCode::NOT_FOUND, "no target was chosen yet");
    };
    match picture::jpeg(&template, TEMPLATE_QUALITY) {
        Ok(jpeg) => with_type("image/jpeg", Body::from(jpeg)),
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// Makes a browser save the answer as a file named `name`.
fn download(mut response: Response, name: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        response.headers_mut().insert(CONTENT_DISPOSITION, value);
    }
    response
}

async fn boxes(session: Shared) -> Response {
    let text = report::csv(&session.rows());
    download(
        with_type("text/csv; charset=utf-8", Body::from(text)),
        "boxes.csv",
    )
}

async fn page_of_results(session: Shared) -> Response {
    let text = report::html(&session.snapshot(), &session.rows(), &session.settings());
    download(
        with_type("text/html; charset=utf-8", Body::from(text)),
        "report.html",
    )
}

async fn record(session: Shared, body: Read) -> Response {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wish {
        on: bool,
    }
    let wish = match body.map(|body| serde_json::from_slice::<Wish>(&body)) {
        Ok(Ok(wish)) => wish,
        _ => {
            return refusal(
                StatusCode::BAD_REQUEST,
                "expected {\"on\": true} or {\"on\": false}",
            );
        }
    };
    let (answer, answered) = tokio::sync::oneshot::channel();
    // Ending a recording waits for the video encoder, so another thread does it, not the one that serves all viewers.
    let work = move || {
        let done = if wish.on {
            session.start_recording()
        } else {
            session.stop_recording()
        };
        let _ = answer.send(done);
    };
    let started = std::thread::Builder::new()
        .name("recording".into())
        .spawn(work);
    let done = match started {
        Ok(_) => answered.await.unwrap_or(Err(RecordingError::Empty)),
        Err(error) => Err(RecordingError::Failed(error.to_string())),
    };
    match done {
        Ok(()) if wish.on => json(&Said { said: "recording" }),
        Ok(()) => json(&Said { said: "recorded" }),
        Err(error) => recording_refusal(&error),
    }
}

fn recording_refusal(error: &RecordingError) -> Response {
    let status = match error {
        RecordingError::None => StatusCode::NOT_IMPLEMENTED,
        RecordingError::Empty => StatusCode::NOT_FOUND,
        RecordingError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    refusal(status, &error.to_string())
}

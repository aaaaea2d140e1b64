//! The WebSocket: results as text messages, pictures with their results as binary messages. Each viewer asks for its next
//! picture, so a slow viewer gets fewer pictures.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};

use super::refusal;
use crate::session::{Counted, Session};
use crate::update::Update;

/// Largest length of a viewer's message, bytes.
const LONGEST: usize = 1024;

/// Longest time to send a message. After that the viewer counts as disconnected.
const PATIENCE: Duration = Duration::from_secs(10);

/// Time between two beats. A beat is a ping, with which this side notices a broken connection, and a message, with which the page
/// notices it, because scripts cannot see pings.
const BEAT: Duration = Duration::from_secs(5);

/// Time without a message after which a viewer counts as disconnected. A connected viewer answers each ping.
const SILENCE: Duration = Duration::from_secs(30);

/// A viewer's message.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
enum Word {
    /// The viewer has drawn the last picture and wants the next one.
    Picture,
    /// Whether the viewer wants the search region and its scores with each picture.
    Sight(bool),
}

/// A message to a viewer.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Told<'a> {
    /// The answer for a frame.
    Update(&'a Update),
    /// Something else has changed. The viewer reads it by `GET /state` and `GET /settings`.
    Changed,
    /// The connection is alive.
    Beat,
}

pub(super) async fn results(
    State(session): State<Arc<Session>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    match upgrade {
        Ok(upgrade) => upgrade
            .max_message_size(LONGEST)
            .max_frame_size(LONGEST)
            .on_upgrade(move |socket| async move {
                // Its only error means that the viewer has disconnected. That is not reported.
                let _ = serve(&session, socket).await;
            }),
        Err(rejection) => refusal(
            StatusCode::UPGRADE_REQUIRED,
            &format!("expected a WebSocket: {}", rejection.body_text()),
        ),
    }
}

/// The viewer has disconnected.
struct Gone;

async fn send(socket: &mut WebSocket, message: Message) -> Result<(), Gone> {
    match timeout(PATIENCE, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Gone),
    }
}

async fn tell(socket: &mut WebSocket, told: &Told<'_>) -> Result<(), Gone> {
    let text = serde_json::to_string(told).map_err(|_| Gone)?;
    send(socket, Message::Text(text.into())).await
}

async fn serve(session: &Session, mut socket: WebSocket) -> Result<(), Gone> {
    let _viewer = session.viewer();
    let mut updates = session.updates();
    let mut notices = session.notices();
    let mut pictures = session.pictures();
    let mut wants_picture: Option<Counted<'_>> = None;
    let mut wants_sight: Option<Counted<'_>> = None;
    // Send the newest answer and picture at once.
    pictures.mark_changed();
    updates.mark_changed();
    let mut last_word = Instant::now();
    let mut beat = tokio::time::interval_at(last_word + BEAT, BEAT);
    loop {
        tokio::select! {
            biased;
            word = socket.recv() => {
                let message = word.and_then(Result::ok).ok_or(Gone)?;
                last_word = Instant::now();
                match message {
                    Message::Text(text) => match serde_json::from_str(&text) {
                        Ok(Word::Picture) => wants_picture = Some(session.count_picture_viewer()),
                        Ok(Word::Sight(wanted)) => wants_sight = wanted.then(|| session.count_sight_viewer()),
                        Err(error) => {
                            let reason = format!("expected \"picture\" or {{\"sight\": true}}: {error}");
                            send(&mut socket, Message::Text(serde_json::json!({"error": reason}).to_string().into())).await?;
                        }
                    },
                    Message::Close(_) => return Ok(()),
                    Message::Binary(_) | Message::Ping(_) | Message::Pong(_) => {}
                }
            }
            changed = pictures.changed(), if wants_picture.is_some() => {
                changed.map_err(|_| Gone)?;
                let picture = pictures.borrow_and_update().clone();
                if let Some(picture) = picture {
                    wants_picture = None;
                    send(&mut socket, Message::Binary(picture.message.clone().into())).await?;
                }
            }
            changed = updates.changed() => {
                changed.map_err(|_| Gone)?;
                let update = updates.borrow_and_update().clone();
                tell(&mut socket, &Told::Update(&update)).await?;
            }
            changed = notices.changed() => {
                changed.map_err(|_| Gone)?;
                tell(&mut socket, &Told::Changed).await?;
            }
            _ = beat.tick() => {
                if last_word.elapsed() > SILENCE {
                    return Err(Gone);
                }
                send(&mut socket, Message::Ping(Default::default())).await?;
                tell(&mut socket, &Told::Beat).await?;
            }
        }
        // The count holds while this value lives. Nothing else reads it.
        let _ = &wants_sight;
    }
}

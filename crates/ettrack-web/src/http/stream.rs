//! Downloads for other tools: a single picture, a stream of pictures (MJPEG), and the recording.

use std::io::Read;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use futures_core::Stream;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;

use super::{download, recording_refusal, refusal, with_type};
use crate::session::Session;

/// Longest time to wait for a single picture.
const PATIENCE: Duration = Duration::from_secs(5);

/// Number of bytes that are read from a file at once.
const PIECE: usize = 256 << 10;

/// A response body whose pieces come from a channel while it is sent.
struct Pieces(Receiver<std::io::Result<Bytes>>);

impl Stream for Pieces {
    type Item = std::io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}

/// Streams pictures as MJPEG. When a picture has been sent, the newest one follows. Pictures in between are left out.
pub(super) async fn mjpeg(State(session): State<Arc<Session>>) -> Response {
    let (pieces, body) = channel(1);
    tokio::spawn(async move { feed(&session, &pieces).await });
    with_type(
        "multipart/x-mixed-replace; boundary=frame",
        Body::from_stream(Pieces(body)),
    )
}

async fn feed(session: &Session, pieces: &Sender<std::io::Result<Bytes>>) {
    let _viewer = session.viewer();
    let mut pictures = session.pictures();
    pictures.mark_changed();
    loop {
        // Waits until the previous picture was taken.
        let Ok(place) = pieces.reserve().await else {
            return;
        };
        let counted = session.count_picture_viewer();
        let picture = loop {
            tokio::select! {
                changed = pictures.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = pieces.closed() => return,
            }
            if let Some(picture) = pictures.borrow_and_update().clone() {
                break picture;
            }
        };
        drop(counted);
        let mut part = format!(
            "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n",
            picture.jpeg.len()
        )
        .into_bytes();
        part.extend_from_slice(&picture.jpeg);
        part.extend_from_slice(b"\r\n");
        place.send(Ok(part.into()));
    }
}

/// Answers with the newest picture as JPEG.
pub(super) async fn frame(State(session): State<Arc<Session>>) -> Response {
    let newest = session.updates().borrow().seq;
    let mut pictures = session.pictures();
    pictures.mark_changed();
    let _counted = session.count_picture_viewer();
    let picture = timeout(PATIENCE, async {
        loop {
            pictures.changed().await.ok()?;
            let picture = pictures.borrow_and_update().clone();
            if let Some(picture) = picture.filter(|picture| picture.seq >= newest) {
                return Some(picture);
            }
        }
    })
    .await;
    match picture {
        Ok(Some(picture)) => with_type("image/jpeg", Body::from(picture.jpeg.clone())),
        Ok(None) | Err(_) => refusal(StatusCode::SERVICE_UNAVAILABLE, "no frame has come yet"),
    }
}

/// Answers with the recorded file.
pub(super) async fn recording(State(session): State<Arc<Session>>) -> Response {
    let (mut file, extension) = match session.recorded() {
        Ok(recorded) => recorded,
        Err(error) => return recording_refusal(&error),
    };
    let (pieces, body) = channel(2);
    let read = move || {
        let mut piece = vec![0; PIECE];
        loop {
            let part = match file.read(&mut piece) {
                Ok(0) => return,
                Ok(length) => Ok(Bytes::copy_from_slice(&piece[..length])),
                Err(error) => Err(error),
            };
            let is_end = part.is_err();
            if pieces.blocking_send(part).is_err() || is_end {
                return;
            }
        }
    };
    if let Err(error) = std::thread::Builder::new()
        .name("download".into())
        .spawn(read)
    {
        return refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string());
    }
    let response = with_type("application/octet-stream", Body::from_stream(Pieces(body)));
    download(response, &format!("tracked.{extension}"))
}

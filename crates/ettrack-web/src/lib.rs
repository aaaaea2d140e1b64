//! A web page to choose the target, to see the tracker's input and scores, and to control the tracker.
//!
//! [`Session`] holds the state that viewers and the tracking thread share. It does not depend on HTTP. The tracking thread
//! publishes its answers, hands over a picture if a viewer wants one, and never waits. It gets the viewers' commands as
//! [`Order`]s. [`Server`] serves a session on the network: the page, its HTTP API, a WebSocket and an MJPEG stream. They are
//! described in `docs/web.md`.

mod command;
mod http;
mod picture;
mod recording;
mod report;
mod server;
mod session;
mod setting;
mod update;

pub use command::{Command, Order, Place, RequestError, read_settings, read_target};
pub use http::guard::Token;
pub use picture::{Encoded, PictureError, Rgb, Shown};
pub use recording::{Recorded, Recorder, RecordingError, StartRecorder};
pub use server::{ServeError, Server, ServerOptions};
pub use session::{About, Counted, Message, OrderError, Playback, Row, Session, Snapshot};
pub use setting::{Setting, Value};
pub use update::{Sight, State, Update};

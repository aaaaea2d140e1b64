//! A page in the browser to choose the target, see what the tracker sees, and steer it.
//!
//! [`Session`] is what viewers and the thread that tracks share; it knows no HTTP. The thread that tracks publishes what it
//! answered, hands over a picture where somebody wants one, and never waits; what viewers ask for comes to it as an
//! [`Order`]. [`Server`] puts a session on the network: the page, its HTTP API, a WebSocket and an MJPEG stream, described in
//! `docs/web.md`.

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

//! Writes the node's log lines in ROS's form to standard error, to its log file, and to `/rosout`.

use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use r2r::builtin_interfaces::msg::Time;
use r2r::rcl_interfaces::msg::Log as LogMessage;
use r2r::{LogSeverity, Publisher, QosProfile};

use super::{Doing, NodeError};
use crate::Level;

const TOPIC: &str = "/rosout";

/// The node's log. Both threads use it.
pub struct Log {
    logger: String,
    /// Publisher of `/rosout`. `None` before Jazzy, where the client library publishes log lines itself.
    rosout: Option<Mutex<Publisher<LogMessage>>>,
}

impl Log {
    /// The log of `node`.
    pub fn new(node: &mut r2r::Node) -> Result<Self, NodeError> {
        let logger = node.logger().to_owned();
        let (name, namespace) = (
            node.name().doing("cannot tell the node's name")?,
            node.namespace().doing("cannot tell the node's namespace")?,
        );
        let published = node
            .get_publishers_info_by_topic(TOPIC, false)
            .unwrap_or_default()
            .iter()
            .any(|info| info.node_name == name && info.node_namespace == namespace);
        let rosout = if published {
            None
        } else {
            // As in rclcpp, late subscribers receive the earlier lines.
            let qos = QosProfile::default().keep_last(1000).transient_local();
            let publisher = node
                .create_publisher::<LogMessage>(TOPIC, qos)
                .doing(format!("cannot publish {TOPIC}"))?;
            Some(Mutex::new(publisher))
        };
        Ok(Self { logger, rosout })
    }

    /// Logs one line.
    pub fn say(&self, level: Level, line: &str) {
        let severity = match level {
            Level::Info => LogSeverity::Info,
            Level::Warn => LogSeverity::Warn,
            Level::Error => LogSeverity::Error,
        };
        // A C string cannot contain a NUL.
        let line = line.replace('\0', " ");
        r2r::log(&line, &self.logger, file!(), line!(), severity);
        if let Some(rosout) = &self.rosout {
            let message = self.message(level, line);
            let publisher = rosout.lock().unwrap_or_else(PoisonError::into_inner);
            // A failure to publish is not logged, because that would fail in the same way. Standard error has the line.
            let _ = publisher.publish(&message);
        }
    }

    fn message(&self, level: Level, msg: String) -> LogMessage {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        LogMessage {
            stamp: Time {
                sec: i32::try_from(now.as_secs()).unwrap_or(i32::MAX),
                nanosec: now.subsec_nanos(),
            },
            // The numbers of rcl_interfaces/msg/Log.
            level: match level {
                Level::Info => 20,
                Level::Warn => 30,
                Level::Error => 40,
            },
            name: self.logger.clone(),
            msg,
            file: file!().to_owned(),
            function: String::new(),
            line: line!(),
        }
    }
}

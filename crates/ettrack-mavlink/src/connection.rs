//! Connections to ground stations and autopilots.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

/// Default speed of a serial port, bits per second.
const USUAL_SPEED: u32 = 57_600;

/// A connection that carries MAVLink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connection {
    /// Listens on this local address and answers every sender.
    UdpIn(SocketAddr),
    /// Sends packets to this address and answers every sender.
    UdpOut(SocketAddr),
    /// Connects to this TCP server, and again after a loss.
    Tcp(SocketAddr),
    /// Opens a serial port, and again after a loss.
    Serial {
        /// Path of the device.
        path: PathBuf,
        /// Speed, bits per second.
        speed: u32,
    },
}

/// Why a text does not describe a connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The kind is unknown.
    #[error(
        "{0:?} is no connection, expected udpin:HOST:PORT, udpout:HOST:PORT, tcp:HOST:PORT or serial:DEVICE:SPEED"
    )]
    Kind(String),
    /// The host was not found, or the port is not valid.
    #[error("{text:?}: expected HOST:PORT, such as 192.168.1.10:14550")]
    Address {
        /// The text.
        text: String,
        /// Why the address is not valid.
        source: std::io::Error,
    },
    /// The speed is not one that serial ports have.
    #[error(
        "{0:?}: expected the speed of the port in bits a second after the device, such as serial:/dev/ttyAMA0:921600"
    )]
    Speed(String),
}

impl FromStr for Connection {
    type Err = ConnectionError;

    fn from_str(text: &str) -> Result<Self, ConnectionError> {
        let kind = || ConnectionError::Kind(text.to_owned());
        let (scheme, rest) = text.split_once(':').ok_or_else(kind)?;
        let address = || {
            let found = rest.to_socket_addrs().and_then(|mut all| {
                all.next()
                    .ok_or_else(|| std::io::Error::other("the host has no address"))
            });
            found.map_err(|source| ConnectionError::Address {
                text: text.to_owned(),
                source,
            })
        };
        match scheme {
            "udpin" => Ok(Self::UdpIn(address()?)),
            "udpout" => Ok(Self::UdpOut(address()?)),
            "tcp" | "tcpout" => Ok(Self::Tcp(address()?)),
            "serial" => {
                let (path, speed) = match rest.rsplit_once(':') {
                    None => (rest, USUAL_SPEED),
                    Some((path, speed)) => {
                        let speed = speed
                            .parse()
                            .map_err(|_| ConnectionError::Speed(text.to_owned()))?;
                        (path, speed)
                    }
                };
                if path.is_empty() {
                    return Err(kind());
                }
                if !crate::serial::is_speed(speed) {
                    return Err(ConnectionError::Speed(text.to_owned()));
                }
                Ok(Self::Serial {
                    path: path.into(),
                    speed,
                })
            }
            _ => Err(kind()),
        }
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UdpIn(address) => write!(formatter, "udpin:{address}"),
            Self::UdpOut(address) => write!(formatter, "udpout:{address}"),
            Self::Tcp(address) => write!(formatter, "tcp:{address}"),
            Self::Serial { path, speed } => {
                write!(formatter, "serial:{}:{speed}", path.display())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_a_connection_as_it_was_read() {
        for text in [
            "udpin:0.0.0.0:14550",
            "udpout:127.0.0.1:14551",
            "tcp:127.0.0.1:5760",
            "serial:/dev/ttyAMA0:921600",
        ] {
            assert_eq!(text.parse::<Connection>().unwrap().to_string(), text);
        }
        let usual = "serial:/dev/ttyUSB0".parse::<Connection>().unwrap();
        assert_eq!(usual.to_string(), "serial:/dev/ttyUSB0:57600");
    }

    #[test]
    fn refuses_a_text_that_is_not_a_connection() {
        for text in [
            "",
            "udpin",
            "udpin:14550",
            "tcp:127.0.0.1:99999",
            "pigeon:home:1",
        ] {
            assert!(text.parse::<Connection>().is_err(), "{text}");
        }
        for text in ["serial:/dev/ttyAMA0:fast", "serial:/dev/ttyAMA0:12345"] {
            assert!(
                matches!(text.parse::<Connection>(), Err(ConnectionError::Speed(_))),
                "{text}"
            );
        }
    }
}

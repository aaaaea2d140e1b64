//! The HTTP server. One thread and one listening socket serve all viewers.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use nix::net::if_::InterfaceFlags;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};

use crate::http::guard::{Guard, Token};
use crate::http::router;
use crate::session::Session;

/// Largest number of open connections. More connections wait in the system's queue until one ends.
const CONNECTIONS: usize = 128;

/// Longest time that a connection may take to send its request.
const HEADER_PATIENCE: Duration = Duration::from_secs(10);

/// The reason why the page cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The text is not an address.
    #[error(
        "{got:?} is not an address to listen on, expected HOST:PORT such as 127.0.0.1:8090 or 0.0.0.0:8090"
    )]
    Address {
        /// The text.
        got: String,
    },
    /// Another program listens on this address.
    #[error("{address} is taken by another program; choose another port, or 0 for any free one")]
    Busy {
        /// The address.
        address: SocketAddr,
    },
    /// The address is not one of this machine.
    #[error(
        "{address} is not an address of this machine; expected one of them, 127.0.0.1, or 0.0.0.0 for all"
    )]
    Foreign {
        /// The address.
        address: SocketAddr,
    },
    /// The system refused to listen on the address.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A thread, the runtime or random numbers are not available.
    #[error("cannot start the server")]
    Start(#[from] std::io::Error),
}

/// Settings of the server.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Address to listen on, `HOST:PORT`. Port 0 takes any free port.
    pub address: String,
    /// The token. If it is `None`, the server makes one, except for a loopback address.
    pub token: Option<Token>,
}

/// A running server. Dropping it ends the server.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    token: Option<Token>,
    session: Arc<Session>,
    stop: Option<oneshot::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Begins to serve `session`.
    ///
    /// # Errors
    /// Returns a [`ServeError`] if the server cannot listen on the address, or cannot start a thread.
    pub fn start(session: Arc<Session>, options: &ServerOptions) -> Result<Self, ServeError> {
        let listener = listen(&options.address)?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let token = match &options.token {
            Some(token) => Some(token.clone()),
            None if address.ip().is_loopback() => None,
            None => Some(Token::random()?),
        };
        let guard = Guard {
            port: address.port(),
            token: token.clone(),
            names: own_names(),
        };
        let router = router(Arc::clone(&session), guard);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let serving = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, router) => {}
                    _ = stopped => {}
                }
            });
            // Viewers that are still connected are cut off.
            runtime.shutdown_background();
        };
        let encoder = Arc::clone(&session);
        let threads = vec![
            std::thread::Builder::new()
                .name("page".into())
                .spawn(serving)?,
            std::thread::Builder::new()
                .name("pictures".into())
                .spawn(move || encoder.encode())?,
        ];
        Ok(Self {
            address,
            token,
            session,
            stop: Some(stop),
            threads,
        })
    }

    /// Returns the address on which the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL of the page, with the token if the server has one.
    pub fn url(&self) -> String {
        let ip = match self.address.ip() {
            ip if ip.is_unspecified() => own_addresses(ip).first().copied().unwrap_or(ip),
            ip => ip,
        };
        let place = SocketAddr::new(ip, self.address.port());
        match &self.token {
            None => format!("http://{place}/"),
            Some(token) => format!("http://{place}/?token={}", token.text()),
        }
    }

    /// Returns the text to print after the start: the URL, and a QR code unless the address is a loopback address.
    pub fn greeting(&self) -> String {
        let url = self.url();
        if self.address.ip().is_loopback() {
            return format!("the page is at {url}");
        }
        let code = qrcode::QrCode::new(&url).map_or_else(
            |_| String::new(),
            |code| {
                code.render::<qrcode::render::unicode::Dense1x2>()
                    .quiet_zone(true)
                    .build()
            },
        );
        let others: Vec<_> = match self.address.ip() {
            ip if ip.is_unspecified() => own_addresses(ip)
                .iter()
                .skip(1)
                .map(IpAddr::to_string)
                .collect(),
            _ => Vec::new(),
        };
        let others = if others.is_empty() {
            String::new()
        } else {
            format!(
                "\nIn other networks, the address of this machine is {}.",
                others.join(" or ")
            )
        };
        format!(
            "the page is at {url}{others}\nAnyone with this address can control the tracker. For a phone's camera:\n{code}"
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        self.session.close();
        for thread in self.threads.drain(..) {
            // A thread that panicked has ended, too.
            let _ = thread.join();
        }
    }
}

fn listen(text: &str) -> Result<TcpListener, ServeError> {
    let bad = || ServeError::Address {
        got: text.to_owned(),
    };
    let address = text
        .to_socket_addrs()
        .map_err(|_| bad())?
        .next()
        .ok_or_else(bad)?;
    TcpListener::bind(address).map_err(|source| match source.kind() {
        ErrorKind::AddrInUse => ServeError::Busy { address },
        ErrorKind::AddrNotAvailable => ServeError::Foreign { address },
        _ => ServeError::Listen { address, source },
    })
}

/// Returns the machine's host name, alone and with `.local`. Empty if the name is not known.
fn own_names() -> Vec<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() {
        return Vec::new();
    }
    vec![name.to_owned(), format!("{name}.local")]
}

/// Returns the addresses at which other machines may reach this one. The first is that on the way to other networks. A machine that
/// is its own access point may have no such way.
fn own_addresses(unspecified: IpAddr) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = outward_address(unspecified).into_iter().collect();
    for interface in nix::ifaddrs::getifaddrs().into_iter().flatten() {
        let is_up = interface.flags.contains(InterfaceFlags::IFF_UP)
            && !interface.flags.contains(InterfaceFlags::IFF_LOOPBACK);
        let Some(address) = interface.address.filter(|_| is_up) else {
            continue;
        };
        // A socket on all addresses of version 6 also takes connections of version 4.
        let v4 = address.as_sockaddr_in().map(|four| IpAddr::V4(four.ip()));
        let v6 = address.as_sockaddr_in6().map(|six| six.ip());
        let v6 = v6.filter(|ip| unspecified.is_ipv6() && !ip.is_unicast_link_local());
        found.extend(v4.or(v6.map(IpAddr::V6)).filter(|ip| !found.contains(ip)));
    }
    found
}

/// Returns the address at which other machines reach this one: the source address that a packet to another network would
/// have. No packet is sent.
fn outward_address(unspecified: IpAddr) -> Option<IpAddr> {
    let outside = match unspecified {
        IpAddr::V4(_) => "192.0.2.1:9",
        IpAddr::V6(_) => "[2001:db8::1]:9",
    };
    let socket = UdpSocket::bind(SocketAddr::new(unspecified, 0)).ok()?;
    socket.connect(outside).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

async fn accept(listener: TcpListener, router: Router) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    serve(stream, router).await;
                    drop(place);
                });
            }
            // There are no free file handles, or the viewer closed the connection at once. A later one may succeed.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn serve(stream: TcpStream, router: Router) {
    // Send small messages at once.
    let _ = stream.set_nodelay(true);
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_PATIENCE)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades()
        .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_own_addresses_can_be_listened_on_and_are_listed_once() {
        let found = own_addresses(IpAddr::from([0, 0, 0, 0]));
        for (position, ip) in found.iter().enumerate() {
            assert!(ip.is_ipv4() && !ip.is_loopback(), "{ip}");
            assert!(!found[..position].contains(ip), "{found:?}");
            TcpListener::bind((*ip, 0)).unwrap();
        }
    }

    #[test]
    fn names_the_reason_why_an_address_cannot_be_used() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let busy = listen(&taken.local_addr().unwrap().to_string()).unwrap_err();
        assert!(matches!(busy, ServeError::Busy { .. }), "{busy}");
        let foreign = listen("192.0.2.1:0").unwrap_err();
        assert!(matches!(foreign, ServeError::Foreign { .. }), "{foreign}");
        for text in [
            "",
            "8090",
            "nowhere",
            "127.0.0.1:99999",
            "http://127.0.0.1:80",
        ] {
            let bad = listen(text).unwrap_err();
            assert!(matches!(bad, ServeError::Address { .. }), "{text}: {bad}");
        }
    }
}

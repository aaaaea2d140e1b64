//! Runs a camera on its connections.
//!
//! One thread has the camera. Each connection has a thread that reads. The thread that tracks puts observations where the
//! camera's thread finds the newest one, and never waits.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::camera::{Actions, Camera, CameraOptions, Observation, Outcome, Route, To};
use crate::command::Wish;
use crate::connection::Connection;
use crate::counts::Counts;
use crate::serial;
use crate::wire::{Encoder, Key, Outgoing, StreamReader, read_packet};

/// How late the end is noticed by who waits.
const WATCH: Duration = Duration::from_millis(100);

/// The longest time that a message may take to be sent.
const SEND: Duration = Duration::from_millis(200);

/// Packets that may wait. More are dropped: a flood must not fill the memory.
const WAITING: usize = 1024;

/// The first wait before a connection is opened again, and the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// Ground stations that one UDP socket answers.
const MOST_PEERS: usize = 16;

/// The longest UDP packet that is read.
const PACKET: usize = 65_536;

/// What a service is made of.
#[derive(Debug)]
pub struct ServiceOptions {
    /// The camera.
    pub camera: CameraOptions,
    /// Where it is reached.
    pub connections: Vec<Connection>,
    /// The key that signs.
    pub key: Option<Key>,
}

/// Why a service does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Nowhere to be reached.
    #[error("there is no connection, expected at least one such as udpin:0.0.0.0:14550")]
    NoConnection,
    /// A socket that cannot be had.
    #[error("{connection} cannot be opened")]
    Socket {
        /// Which one.
        connection: Connection,
        /// Why.
        source: std::io::Error,
    },
    /// No thread.
    #[error("a thread cannot be started")]
    Thread(#[source] std::io::Error),
}

enum Event {
    /// Bytes that came.
    Bytes(Route, Vec<u8>),
    /// A connection can be written to from now on.
    Up(usize, Box<dyn Write + Send>),
    /// It cannot anymore.
    Down(usize, String),
    /// The answer to a wish.
    Answer(u64, Outcome),
    /// There is a new observation, or the source is held.
    Seen,
    /// The end.
    Close,
}

#[derive(Debug, Default)]
struct Shared {
    observation: Mutex<(Option<Observation>, bool)>,
    counts: Mutex<Counts>,
    /// Packets that wait.
    waiting: AtomicUsize,
    flooded: AtomicUsize,
    closed: AtomicBool,
}

/// Reaches a service from the thread that tracks. None of it waits.
#[derive(Debug, Clone)]
pub struct Handle {
    events: Sender<Event>,
    shared: Arc<Shared>,
    start: Instant,
}

impl std::fmt::Debug for Event {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Event")
    }
}

impl Handle {
    /// An answered frame. One that was not looked at yet is overtaken.
    pub fn observe(&self, observation: Observation) {
        self.put(|slot| slot.0 = Some(observation));
    }

    /// The source is held on purpose: the newest frame stays the newest one.
    pub fn hold(&self) {
        self.put(|slot| slot.1 = true);
    }

    fn put(&self, change: impl FnOnce(&mut (Option<Observation>, bool))) {
        let mut slot = lock(&self.shared.observation);
        let is_first = slot.0.is_none() && !slot.1;
        change(&mut slot);
        drop(slot);
        if is_first {
            // A service that has ended needs no observation.
            let _ = self.events.send(Event::Seen);
        }
    }

    /// What became of a wish.
    pub fn answer(&self, ticket: u64, outcome: Outcome) {
        let _ = self.events.send(Event::Answer(ticket, outcome));
    }

    /// The camera's clock: time since the service was started.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// What came and went.
    pub fn counts(&self) -> Counts {
        *lock(&self.shared.counts)
    }
}

/// A panic elsewhere leaves every field whole, so a poisoned lock is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A camera on its connections. It ends when this is dropped.
#[derive(Debug)]
pub struct Service {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    /// Starts a camera. `wish` takes wishes to whoever tracks, from the camera's thread; it must not wait.
    ///
    /// # Errors
    /// [`ServiceError`] where a socket cannot be had. A TCP server or serial port that is not there is waited for.
    pub fn start(
        options: ServiceOptions,
        wish: impl FnMut(Wish, &Handle) + Send + 'static,
    ) -> Result<Self, ServiceError> {
        if options.connections.is_empty() {
            return Err(ServiceError::NoConnection);
        }
        let (events, received) = mpsc::channel();
        let handle = Handle {
            events,
            shared: Arc::default(),
            start: Instant::now(),
        };
        let mut links = Vec::with_capacity(options.connections.len());
        for (link, connection) in options.connections.iter().enumerate() {
            match Link::open(link, connection, &handle) {
                Ok(opened) => links.push(opened),
                Err(error) => {
                    // The threads of those that were opened end with it.
                    handle.shared.closed.store(true, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        let worker = Worker {
            camera: Camera::new(options.camera),
            links,
            key: options.key,
            handle: handle.clone(),
            actions: Actions::default(),
        };
        let thread = std::thread::Builder::new()
            .name("mavlink".into())
            .spawn(move || worker.run(&received, wish))
            .map_err(ServiceError::Thread)?;
        Ok(Self {
            handle,
            thread: Some(thread),
        })
    }

    /// Reaches it from other threads.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.handle.shared.closed.store(true, Ordering::Relaxed);
        let _ = self.handle.events.send(Event::Close);
        if let Some(thread) = self.thread.take() {
            // It has said why, where it panicked.
            let _ = thread.join();
        }
    }
}

/// One receiver's stream of messages.
struct Peer {
    address: SocketAddr,
    encoder: Encoder,
    /// Whether it was named by the user, and so is never forgotten.
    is_named: bool,
    /// Order of the last message: the one that was silent longest makes room.
    heard: Duration,
}

/// The side of a connection that the camera's thread has.
enum Link {
    Udp {
        socket: UdpSocket,
        peers: Vec<Peer>,
    },
    Stream {
        writer: Option<Box<dyn Write + Send>>,
        encoder: Encoder,
        reader: StreamReader,
        name: String,
    },
}

impl Link {
    fn open(link: usize, connection: &Connection, handle: &Handle) -> Result<Self, ServiceError> {
        let failed = |source| ServiceError::Socket {
            connection: connection.clone(),
            source,
        };
        let handle = handle.clone();
        let (opened, name, read): (Self, _, Box<dyn FnOnce() + Send>) = match connection {
            Connection::UdpIn(address) | Connection::UdpOut(address) => {
                let is_out = matches!(connection, Connection::UdpOut(_));
                let any = if address.is_ipv4() {
                    SocketAddr::from(([0, 0, 0, 0], 0))
                } else {
                    SocketAddr::from(([0_u16; 8], 0))
                };
                let here = if is_out { any } else { *address };
                let socket = UdpSocket::bind(here).map_err(failed)?;
                socket.set_read_timeout(Some(WATCH)).map_err(failed)?;
                let reading = socket.try_clone().map_err(failed)?;
                let named = is_out.then(|| Peer {
                    address: *address,
                    encoder: Encoder::default(),
                    is_named: true,
                    heard: Duration::ZERO,
                });
                let opened = Self::Udp {
                    socket,
                    peers: named.into_iter().collect(),
                };
                (
                    opened,
                    "udp",
                    Box::new(move || read_udp(link, &reading, &handle)),
                )
            }
            Connection::Tcp(address) => {
                let address = *address;
                let open = move || -> std::io::Result<_> {
                    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
                    stream.set_nodelay(true)?;
                    stream.set_read_timeout(Some(WATCH))?;
                    stream.set_write_timeout(Some(SEND))?;
                    Ok((stream.try_clone()?, stream))
                };
                let read = move || read_stream(link, Silence::IsOpen, open, &handle);
                (Self::stream(connection), "tcp", Box::new(read))
            }
            Connection::Serial { path, speed } => {
                let (path, speed) = (path.clone(), *speed);
                let open = move || -> std::io::Result<_> {
                    let port = serial::open(&path, speed)?;
                    Ok((port.try_clone()?, port))
                };
                let read = move || read_stream(link, Silence::TakesTime, open, &handle);
                (Self::stream(connection), "serial", Box::new(read))
            }
        };
        std::thread::Builder::new()
            .name(format!("mavlink {name}"))
            .spawn(read)
            .map_err(ServiceError::Thread)?;
        Ok(opened)
    }

    fn stream(connection: &Connection) -> Self {
        Self::Stream {
            writer: None,
            encoder: Encoder::default(),
            reader: StreamReader::default(),
            name: connection.to_string(),
        }
    }
}

/// Hands bytes over, unless too many wait.
fn hand_over(handle: &Handle, route: Route, bytes: &[u8]) {
    let shared = &handle.shared;
    if shared.waiting.load(Ordering::Relaxed) >= WAITING {
        shared.flooded.fetch_add(1, Ordering::Relaxed);
        return;
    }
    shared.waiting.fetch_add(1, Ordering::Relaxed);
    let _ = handle.events.send(Event::Bytes(route, bytes.to_vec()));
}

fn is_closed(handle: &Handle) -> bool {
    handle.shared.closed.load(Ordering::Relaxed)
}

fn read_udp(link: usize, socket: &UdpSocket, handle: &Handle) {
    let mut buffer = vec![0; PACKET];
    while !is_closed(handle) {
        match socket.recv_from(&mut buffer) {
            Ok((length, peer)) => {
                let route = Route {
                    link,
                    peer: Some(peer),
                };
                hand_over(handle, route, &buffer[..length]);
            }
            Err(error) if is_silence(&error) => {}
            // Such as: nobody listened where the last packet went. It is said at once and again, hence the pause.
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn is_silence(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

/// What a read of nothing means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Silence {
    /// The other side has closed: a silent one gives an error after a while.
    IsOpen,
    /// Nothing came for a while; at once and again it means that the port is gone.
    TakesTime,
}

/// Reads from a connection and opens it again when it is gone, until the end.
fn read_stream<S: Read, W: Write + Send + 'static>(
    link: usize,
    silence: Silence,
    open: impl Fn() -> std::io::Result<(S, W)>,
    handle: &Handle,
) {
    let route = Route { link, peer: None };
    let mut buffer = vec![0; 4096];
    let mut pause = BACK_OFF.0;
    while !is_closed(handle) {
        let reason = match open() {
            Ok((mut reading, writing)) => {
                pause = BACK_OFF.0;
                let _ = handle.events.send(Event::Up(link, Box::new(writing)));
                read_until_gone(&mut reading, &mut buffer, silence, route, handle)
            }
            Err(error) => error.to_string(),
        };
        let _ = handle.events.send(Event::Down(link, reason));
        let until = Instant::now() + pause;
        pause = (pause * 2).min(BACK_OFF.1);
        while Instant::now() < until && !is_closed(handle) {
            std::thread::sleep(WATCH.min(pause));
        }
    }
}

fn read_until_gone(
    reading: &mut impl Read,
    buffer: &mut [u8],
    silence: Silence,
    route: Route,
    handle: &Handle,
) -> String {
    // Reads of nothing that took no time.
    let mut hasty = 0;
    while !is_closed(handle) {
        let before = Instant::now();
        match reading.read(buffer) {
            Ok(0) if silence == Silence::IsOpen => return "the other side has closed it".into(),
            Ok(0) => {
                hasty = if before.elapsed() < WATCH / 4 {
                    hasty + 1
                } else {
                    0
                };
                if hasty > 20 {
                    return "the port is gone".into();
                }
            }
            Ok(length) => {
                hasty = 0;
                hand_over(handle, route, &buffer[..length]);
            }
            Err(error) if is_silence(&error) => {}
            Err(error) => return error.to_string(),
        }
    }
    "this side has closed it".into()
}

/// The camera's thread.
struct Worker {
    camera: Camera,
    links: Vec<Link>,
    key: Option<Key>,
    handle: Handle,
    actions: Actions,
}

impl Worker {
    fn run(mut self, received: &Receiver<Event>, mut wish: impl FnMut(Wish, &Handle)) {
        loop {
            let now = self.handle.now();
            self.camera.tick(now, &mut self.actions);
            self.perform(&mut wish);
            let wait = self.camera.next().saturating_sub(self.handle.now());
            // A thousandth more, so that what is due is due when it wakes.
            let wait = wait.min(WATCH) + Duration::from_millis(1);
            match received.recv_timeout(wait) {
                Ok(Event::Close) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(event) => {
                    if self.take(event) {
                        return;
                    }
                    self.perform(&mut wish);
                    // Some of what waits, then the clock again.
                    for event in received.try_iter().take(64) {
                        if self.take(event) {
                            return;
                        }
                        self.perform(&mut wish);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Gives whether it is the end.
    fn take(&mut self, event: Event) -> bool {
        let now = self.handle.now();
        match event {
            Event::Close => return true,
            Event::Bytes(route, bytes) => {
                self.handle.shared.waiting.fetch_sub(1, Ordering::Relaxed);
                self.read(route, &bytes, now);
            }
            Event::Up(link, writer) => {
                if let Some(Link::Stream {
                    writer: slot,
                    reader,
                    name,
                    ..
                }) = self.links.get_mut(link)
                {
                    tracing::info!("{name} is open");
                    *slot = Some(writer);
                    *reader = StreamReader::default();
                }
            }
            Event::Down(link, reason) => {
                if let Some(Link::Stream { writer, name, .. }) = self.links.get_mut(link) {
                    if writer.take().is_some() {
                        tracing::warn!("{name} is gone, waiting for it: {reason}");
                    } else {
                        tracing::debug!("{name} is not there: {reason}");
                    }
                }
            }
            Event::Answer(ticket, outcome) => {
                self.camera
                    .answered(ticket, outcome, now, &mut self.actions);
            }
            Event::Seen => {
                let (observation, is_held) =
                    std::mem::take(&mut *lock(&self.handle.shared.observation));
                if let Some(observation) = observation {
                    self.camera.observe(observation, now, &mut self.actions);
                }
                if is_held {
                    self.camera.hold(now);
                }
            }
        }
        false
    }

    fn read(&mut self, route: Route, bytes: &[u8], now: Duration) {
        let mut messages = Vec::new();
        let each = |received| messages.push(received);
        match self.links.get_mut(route.link) {
            Some(Link::Udp { .. }) => {
                read_packet(bytes, self.key.as_ref(), self.camera.counts_mut(), each);
            }
            Some(Link::Stream { reader, .. }) => {
                reader.read(bytes, self.key.as_ref(), self.camera.counts_mut(), each);
            }
            None => {}
        }
        // Only who sends whole messages is answered from now on.
        if !messages.is_empty() {
            self.remember(route, now);
        }
        for received in &messages {
            self.camera.receive(received, route, now, &mut self.actions);
        }
    }

    fn remember(&mut self, route: Route, now: Duration) {
        let (Some(Link::Udp { peers, .. }), Some(address)) =
            (self.links.get_mut(route.link), route.peer)
        else {
            return;
        };
        if let Some(known) = peers.iter_mut().find(|known| known.address == address) {
            known.heard = now;
            return;
        }
        if peers.len() >= MOST_PEERS {
            let silent = peers
                .iter()
                .enumerate()
                .filter(|(_, peer)| !peer.is_named)
                .min_by_key(|(_, peer)| peer.heard);
            if let Some(silent) = silent.map(|(position, _)| position) {
                peers.remove(silent);
            }
        }
        tracing::info!("a ground station at {address}");
        peers.push(Peer {
            address,
            encoder: Encoder::default(),
            is_named: false,
            heard: now,
        });
    }

    fn perform(&mut self, wish: &mut impl FnMut(Wish, &Handle)) {
        for note in self.actions.notes.drain(..) {
            tracing::info!("{note}");
        }
        for wanted in self.actions.wishes.drain(..) {
            wish(wanted, &self.handle);
        }
        let from = self.camera.address();
        let (mut sent, mut unsent) = (0, 0);
        for (to, message) in std::mem::take(&mut self.actions.messages) {
            for (number, link) in self.links.iter_mut().enumerate() {
                let peer = match to {
                    To::All => None,
                    To::One(route) if route.link == number => route.peer,
                    To::One(_) => continue,
                };
                link.send(
                    &message,
                    peer,
                    from,
                    self.key.as_ref(),
                    &mut sent,
                    &mut unsent,
                );
            }
        }
        let flooded = self.handle.shared.flooded.swap(0, Ordering::Relaxed);
        let counts = self.camera.counts_mut();
        counts.sent += sent;
        counts.unsent += unsent;
        counts.flooded += flooded as u64;
        *lock(&self.handle.shared.counts) = *counts;
    }
}

impl Link {
    /// To one peer, or to all of them.
    fn send(
        &mut self,
        message: &Outgoing,
        to: Option<SocketAddr>,
        from: crate::wire::Address,
        key: Option<&Key>,
        sent: &mut u64,
        unsent: &mut u64,
    ) {
        let mut count = |outcome: bool| *(if outcome { &mut *sent } else { &mut *unsent }) += 1;
        match self {
            Self::Udp { socket, peers } => {
                for peer in peers
                    .iter_mut()
                    .filter(|peer| to.is_none_or(|to| to == peer.address))
                {
                    let raw = peer.encoder.encode(message, from, key);
                    count(socket.send_to(raw.raw_bytes(), peer.address).is_ok());
                }
            }
            Self::Stream {
                writer, encoder, ..
            } => {
                // While it is gone, nothing is sent.
                let Some(open) = writer else {
                    return;
                };
                let raw = encoder.encode(message, from, key);
                let outcome = open.write_all(raw.raw_bytes()).and_then(|()| open.flush());
                count(outcome.is_ok());
                if outcome.is_err() {
                    // Half a message may be out: the reader's thread finds out whether it is gone.
                    tracing::debug!("a message was not sent: {outcome:?}");
                }
            }
        }
    }
}

//! Runs a camera on its connections.
//!
//! One thread owns the camera. Each connection has a thread that reads from it. The tracking thread stores its newest
//! observation for the camera's thread and never waits.

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
use crate::key::Key;
use crate::serial;
use crate::wire::{Encoder, Outgoing, StreamReader, read_packet};

/// Interval at which waiting threads check whether the service was closed.
const WATCH: Duration = Duration::from_millis(100);

/// Longest time that sending over TCP or a serial port may take.
const SEND: Duration = Duration::from_millis(200);

/// Number of messages that stop the gimbal at the end, and the interval between them.
const LAST_STOPS: (u32, Duration) = (3, Duration::from_millis(20));

/// Largest number of packets in the queue. Further packets are dropped, so that a flood does not fill the memory.
const WAITING: usize = 1024;

/// First and longest pause before a connection is opened again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// Largest number of ground stations that one UDP socket answers.
const MOST_PEERS: usize = 16;

/// Size of the buffer for a UDP packet, bytes.
const PACKET: usize = 65_536;

/// Settings of a service.
#[derive(Debug)]
pub struct ServiceOptions {
    /// Settings of the camera.
    pub camera: CameraOptions,
    /// Connections to ground stations and autopilots.
    pub connections: Vec<Connection>,
    /// Key for signed messages. `None` sends unsigned messages and accepts all messages.
    pub key: Option<Key>,
}

/// Why a service does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// No connection was given.
    #[error("there is no connection, expected at least one such as udpin:0.0.0.0:14550")]
    NoConnection,
    /// A socket cannot be opened.
    #[error("{connection} cannot be opened")]
    Socket {
        /// The connection.
        connection: Connection,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// A thread cannot be started.
    #[error("a thread cannot be started")]
    Thread(#[source] std::io::Error),
}

enum Event {
    /// Bytes that were received.
    Bytes(Route, Vec<u8>),
    /// A connection was opened. The writer sends on it.
    Up(usize, Box<dyn Write + Send>),
    /// A connection was lost or cannot be opened, with the reason.
    Down(usize, String),
    /// The tracker's answer to a wish.
    Answer(u64, Outcome),
    /// There is a new observation, or the source is paused.
    Seen,
    /// The service is to end.
    Close,
}

#[derive(Debug, Default)]
struct Shared {
    observation: Mutex<(Option<Observation>, bool)>,
    counts: Mutex<Counts>,
    /// Number of packets in the queue.
    waiting: AtomicUsize,
    flooded: AtomicUsize,
    closed: AtomicBool,
}

/// Gives other threads, such as the tracking thread, access to a service. No function waits for the service.
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
    /// Gives the camera the answer for a frame. Replaces an earlier one that the camera has not taken yet.
    pub fn observe(&self, observation: Observation) {
        self.put(|slot| slot.0 = Some(observation));
    }

    /// Tells the camera that the source is paused on purpose, so that it does not count as stalled.
    pub fn hold(&self) {
        self.put(|slot| slot.1 = true);
    }

    fn put(&self, change: impl FnOnce(&mut (Option<Observation>, bool))) {
        let mut slot = lock(&self.shared.observation);
        let is_first = slot.0.is_none() && !slot.1;
        change(&mut slot);
        drop(slot);
        if is_first {
            // Fails only if the service has ended. Then nobody needs the observation.
            let _ = self.events.send(Event::Seen);
        }
    }

    /// Gives the camera the result of a wish.
    pub fn answer(&self, ticket: u64, outcome: Outcome) {
        let _ = self.events.send(Event::Answer(ticket, outcome));
    }

    /// Returns the time on the camera's clock: the time since the service was started.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Returns the counters of messages and commands.
    pub fn counts(&self) -> Counts {
        *lock(&self.shared.counts)
    }
}

/// Locks `mutex`, also after a panic of another thread, because a panic leaves every field valid.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running camera on its connections. Dropping it ends the service.
#[derive(Debug)]
pub struct Service {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    /// Starts a camera. The camera's thread calls `wish` with each request to the tracker. `wish` must not wait.
    ///
    /// # Errors
    /// Returns a [`ServiceError`] if there is no connection, a UDP socket cannot be opened, or a thread cannot be started. A
    /// missing TCP server or serial port is no error: the service tries again until it is there.
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
                    // Ends the threads of the connections that were opened before.
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

    /// Returns the handle for other threads.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.handle.shared.closed.store(true, Ordering::Relaxed);
        let _ = self.handle.events.send(Event::Close);
        if let Some(thread) = self.thread.take() {
            // A panic was already reported.
            let _ = thread.join();
        }
    }
}

/// A ground station on a UDP socket.
struct Peer {
    address: SocketAddr,
    encoder: Encoder,
    /// Whether the user gave this address. Such a ground station is never forgotten.
    is_named: bool,
    /// Time of its last message. If there are too many ground stations, the one with the oldest message is forgotten.
    heard: Duration,
}

/// The part of a connection that belongs to the camera's thread.
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
        /// Whether its absence was reported.
        was_missed: bool,
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
                // Otherwise the system refuses to send to a broadcast address.
                socket.set_broadcast(true).map_err(failed)?;
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
                    let port = serial::Port::open(&path, speed, WATCH, SEND)?;
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
            was_missed: false,
        }
    }
}

/// Queues received bytes. Drops them if too many packets wait.
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
            // For example, nobody listened at the receiver of the last packet. Such errors can repeat at once, hence the pause.
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

/// What it means if a read returns 0 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Silence {
    /// The other side has closed the connection. If no bytes come, a read returns an error after its timeout instead.
    IsOpen,
    /// Nothing, if it happens once. If reads repeatedly return 0 bytes at once, the port is gone.
    TakesTime,
}

/// Reads from a connection and opens it again after a loss, until the service is closed.
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
    // Number of successive reads that returned 0 bytes at once.
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

/// State of the camera's thread.
struct Worker {
    camera: Camera,
    links: Vec<Link>,
    key: Option<Key>,
    handle: Handle,
    actions: Actions,
}

impl Worker {
    fn run(mut self, received: &Receiver<Event>, mut wish: impl FnMut(Wish, &Handle)) {
        self.work(received, &mut wish);
        for turn in 0..LAST_STOPS.0 {
            self.camera.end(&mut self.actions);
            if self.actions.messages.is_empty() {
                return;
            }
            if turn > 0 {
                std::thread::sleep(LAST_STOPS.1);
            }
            self.perform(&mut wish);
        }
    }

    /// Handles events until the service is to end.
    fn work(&mut self, received: &Receiver<Event>, wish: &mut impl FnMut(Wish, &Handle)) {
        loop {
            let now = self.handle.now();
            self.camera.tick(now, &mut self.actions);
            self.perform(wish);
            let wait = self.camera.next().saturating_sub(self.handle.now());
            // One millisecond more, so that the next message is surely due when the thread wakes.
            let wait = wait.min(WATCH) + Duration::from_millis(1);
            match received.recv_timeout(wait) {
                Ok(Event::Close) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(event) => {
                    if self.take(event) {
                        return;
                    }
                    self.perform(wish);
                    // Handles some of the waiting events, then checks the clock again.
                    for event in received.try_iter().take(64) {
                        if self.take(event) {
                            return;
                        }
                        self.perform(wish);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Handles an event. Returns whether the service is to end.
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
                    was_missed,
                    ..
                }) = self.links.get_mut(link)
                {
                    tracing::info!("{name} is open");
                    *was_missed = false;
                    *slot = Some(writer);
                    *reader = StreamReader::default();
                }
            }
            Event::Down(link, reason) => {
                if let Some(Link::Stream {
                    writer,
                    name,
                    was_missed,
                    ..
                }) = self.links.get_mut(link)
                {
                    if writer.take().is_some() {
                        tracing::warn!("{name} is gone, waiting for it: {reason}");
                    } else if !*was_missed {
                        tracing::warn!("{name} cannot be opened, trying again: {reason}");
                    } else {
                        tracing::debug!("{name} is not there: {reason}");
                    }
                    *was_missed = true;
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
        // Only a sender of valid messages is remembered as a ground station.
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
    /// Sends a message to one peer, or to all peers if `to` is `None`.
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
                // Sends nothing while the connection is lost.
                let Some(open) = writer else {
                    return;
                };
                let raw = encoder.encode(message, from, key);
                let outcome = open.write_all(raw.raw_bytes()).and_then(|()| open.flush());
                count(outcome.is_ok());
                if outcome.is_err() {
                    // Part of the message may have been sent. The reading thread notices if the connection is lost.
                    tracing::debug!("a message was not sent: {outcome:?}");
                }
            }
        }
    }
}

//! Tests of the HTTP API through its network socket: answers, and refusals of bad input.
#![allow(clippy::unwrap_used)] // the lint does not count helper functions of tests as tests

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use ettrack_web::{
    About, Command, Place, Rgb, Server, ServerOptions, Session, State, Token, Update,
};
use proptest::prelude::*;
use tungstenite::Message;

type Noted = Arc<Mutex<Vec<Command>>>;

/// Makes a session that answers each order at once and adds its command to the list.
fn session() -> (Arc<Session>, Noted) {
    let orders = Noted::default();
    let noted = Arc::clone(&orders);
    let session = Session::new(About::default(), move |order| {
        noted.lock().unwrap().push(order.command.clone());
        let outcome = match &order.command {
            Command::Undo => Err("nothing to go back to".to_owned()),
            _ => Ok("done".to_owned()),
        };
        order.answer(outcome);
    });
    (Arc::new(session), orders)
}

fn start(session: &Arc<Session>, token: Option<&str>) -> Server {
    let options = ServerOptions {
        address: "127.0.0.1:0".into(),
        token: token.and_then(Token::new),
    };
    Server::start(Arc::clone(session), &options).unwrap()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    let patience = Some(Duration::from_secs(20));
    stream.set_read_timeout(patience).unwrap();
    stream
}

/// Sends a request and returns the status and body of the answer. The status is 0 without an answer.
fn ask(address: SocketAddr, method: &str, path: &str, body: &[u8]) -> (u16, String) {
    let mut stream = connect(address);
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // A server that has refused may close before all is sent.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.get(9..12).and_then(|digits| digits.parse().ok());
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    (status.unwrap_or(0), body.unwrap_or_default())
}

fn update(seq: u64) -> Update {
    Update {
        seq,
        stamp: seq as i64 * 1000,
        frame: seq,
        size: [32, 24],
        state: State::Tracking,
        bounding_box: Some([1.0, 2.0, 3.0, 4.0]),
        ..Update::default()
    }
}

fn picture() -> Rgb {
    Rgb {
        width: 32,
        height: 24,
        data: vec![128; 32 * 24 * 3],
    }
}

fn wait_for(happens: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !happens() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(happens(), "it did not happen within 20 s");
}

/// Acts as the tracking thread until `happens` returns true: publishes answers, and hands over a picture if one is wanted.
/// Panics after 20 s.
fn play(session: &Session, happens: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    let mut seq = 1;
    while !happens() && Instant::now() < end {
        seq += 1;
        session.publish(update(seq), Some((0, seq as i64 * 1000)));
        if session.wants_picture(seq) {
            session.show(picture(), Arc::new(update(seq)), None);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(happens(), "it did not happen within 20 s");
}

#[test]
fn orders_reach_the_tracker_unchanged() {
    let (session, orders) = session();
    let server = start(&session, None);
    let body = br#"{"box": [10, 20, 30, 40], "stamp": "1764412345000000001"}"#;
    let (status, said) = ask(server.address(), "POST", "/target", body);
    assert_eq!((status, said.as_str()), (200, r#"{"said":"done"}"#));
    assert_eq!(ask(server.address(), "POST", "/stop", b"").0, 200);
    let (status, said) = ask(server.address(), "POST", "/undo", b"");
    assert_eq!(
        (status, said.as_str()),
        (422, r#"{"error":"nothing to go back to"}"#)
    );
    let orders = orders.lock().unwrap();
    let Command::Choose { place, stamp } = &orders[0] else {
        panic!("{orders:?}")
    };
    assert!(matches!(place, Place::Box(_)) && *stamp == Some(1_764_412_345_000_000_001));
    assert_eq!(orders[1..], [Command::Stop, Command::Undo]);
}

#[test]
fn refuses_bad_requests_with_a_reason() {
    let (session, orders) = session();
    let server = start(&session, None);
    let address = server.address();
    for (method, path, body, status) in [
        ("POST", "/target", r#"{"box": [1, 2, 0, 4]}"#, 400),
        ("POST", "/target", r#"{"box": [NaN, 2, 3, 4]}"#, 400),
        ("POST", "/target", r#"{"point": [1e300, 2]}"#, 400),
        ("POST", "/target", "", 400),
        ("PATCH", "/settings", "[]", 400),
        ("PATCH", "/settings", "{}", 400),
        ("POST", "/recording", "{}", 400),
        ("POST", "/recording", r#"{"on": true}"#, 501),
        ("GET", "/recording", "", 404),
        ("GET", "/template", "", 404),
        ("GET", "/target", "", 405),
        ("DELETE", "/settings", "", 405),
        ("GET", "/results", "", 426),
        ("GET", "/../../etc/passwd", "", 404),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", "", 404),
        ("GET", "/assets/index.html", "", 404),
    ] {
        let (got, said) = ask(address, method, path, body.as_bytes());
        assert_eq!(got, status, "{method} {path} {body}: {said}");
        assert!(said.contains("\"error\":"), "{method} {path}: {said}");
    }
    let long = vec![b'1'; 10 << 20];
    let (status, _) = ask(address, "POST", "/target", &long);
    // The connection may be cut while the body is still being sent.
    assert!(status == 413 || status == 0, "{status}");
    assert_eq!(ask(address, "GET", "/state", b"").0, 200);
    assert!(orders.lock().unwrap().is_empty());
}

#[test]
fn refuses_orders_when_too_many_wait() {
    // Orders are kept without an answer.
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&kept);
    let session = Session::new(About::default(), move |order| {
        keep.lock().unwrap().push(order);
    });
    let server = start(&Arc::new(session), None);
    let address = server.address();
    let text = format!("POST /stop HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n");
    let send = |_| {
        let mut stream = connect(address);
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    let waiting: Vec<_> = (0..32).map(send).collect();
    wait_for(|| kept.lock().unwrap().len() == 32);
    assert_eq!(ask(address, "POST", "/stop", b"").0, 429);
    kept.lock().unwrap().clear();
    // A dropped order counts as not carried out.
    for mut stream in waiting {
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 503");
    }
}

#[test]
fn stalled_viewers_do_not_block_the_tracker_or_other_viewers() {
    let (session, _) = session();
    let server = start(&session, None);
    let address = server.address();
    let mut half = connect(address);
    half.write_all(b"GET /results HTTP/1.1\r\nHost: ").unwrap();
    let mut deaf = connect(address);
    let text = format!("GET /stream HTTP/1.1\r\nHost: {address}\r\n\r\n");
    deaf.write_all(text.as_bytes()).unwrap();
    let mut upgrade = connect(address);
    let text = format!(
        "GET /results HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    upgrade.write_all(text.as_bytes()).unwrap();
    // The stalled viewers do not make the tracking thread wait.
    let started = Instant::now();
    for seq in 1..2000 {
        session.publish(update(seq), None);
        if session.wants_picture(seq) {
            session.show(picture(), Arc::new(update(seq)), None);
        }
    }
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(ask(address, "GET", "/state", b"").0, 200);
}

#[test]
fn a_viewer_gets_the_newest_answer_and_a_picture_when_it_asks() {
    let (session, _) = session();
    let server = start(&session, None);
    let address = server.address();
    assert!(!session.wants_picture(1), "there is no viewer");
    session.publish(update(1), None);
    let url = format!("ws://{address}/results");
    let (mut socket, _) = tungstenite::client(url, connect(address)).unwrap();
    let first = socket.read().unwrap();
    assert!(first.to_text().unwrap().contains("\"seq\":1"), "{first}");
    socket.send(Message::text("\"picture\"")).unwrap();
    wait_for(|| session.wants_picture(1));
    session.show(picture(), Arc::new(update(1)), None);
    let message = loop {
        if let Message::Binary(message) = socket.read().unwrap() {
            break message;
        }
    };
    let length = u32::from_le_bytes(message[..4].try_into().unwrap()) as usize;
    let head: serde_json::Value = serde_json::from_slice(&message[4..4 + length]).unwrap();
    assert_eq!(head["stamp"], "1000");
    assert_eq!(&message[4 + length..4 + length + 2], [0xff, 0xd8]);
    assert!(!session.wants_picture(2), "one picture for each request");
    for words in ["\"sight\"", "{\"sight\": 3}", "nonsense"] {
        socket.send(Message::text(words)).unwrap();
        let answer = loop {
            if let Message::Text(answer) = socket.read().unwrap() {
                break answer;
            }
        };
        assert!(answer.contains("error"), "{words}: {answer}");
    }
    socket.send(Message::text("{\"sight\": true}")).unwrap();
    wait_for(|| session.wants_sight());
    // A message above the largest length ends the connection.
    let _ = socket.send(Message::text("x".repeat(100_000)));
    while socket.read().is_ok() {}
    wait_for(|| !session.wants_sight());
}

#[test]
fn the_mjpeg_stream_sends_one_picture_after_another() {
    let (session, _) = session();
    let server = start(&session, None);
    let address = server.address();
    let reader = std::thread::spawn(move || {
        let mut stream = connect(address);
        let text = format!("GET /stream HTTP/1.1\r\nHost: {address}\r\n\r\n");
        stream.write_all(text.as_bytes()).unwrap();
        let mut seen = Vec::new();
        let mut piece = [0; 4096];
        while seen.windows(7).filter(|part| part == b"--frame").count() < 3 {
            let length = stream.read(&mut piece).unwrap();
            assert!(length > 0, "the stream ended");
            seen.extend_from_slice(&piece[..length]);
        }
    });
    play(&session, || reader.is_finished());
    reader.join().unwrap();
    let waiting = std::thread::spawn(move || ask(address, "GET", "/frame", b"").0);
    play(&session, || waiting.is_finished());
    assert_eq!(waiting.join().unwrap(), 200);
}

#[test]
fn refuses_every_path_without_the_token() {
    let (session, orders) = session();
    let server = start(&session, Some("0123456789abcdef"));
    let address = server.address();
    for path in [
        "/",
        "/state",
        "/page.js",
        "/settings",
        "/boxes.csv",
        "/stream",
        "/results",
    ] {
        assert_eq!(ask(address, "GET", path, b"").0, 401, "{path}");
        let wrong = format!("{path}?token=0123456789abcdeX");
        assert_eq!(ask(address, "GET", &wrong, b"").0, 401, "{path}");
    }
    assert_eq!(ask(address, "POST", "/stop", b"").0, 401);
    assert!(orders.lock().unwrap().is_empty());
    let right = "?token=0123456789abcdef";
    assert_eq!(ask(address, "GET", &format!("/state{right}"), b"").0, 200);
    assert_eq!(ask(address, "GET", &format!("/{right}"), b"").0, 303);
    assert!(server.url().ends_with("/?token=0123456789abcdef"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn answers_any_body_with_json(
        body in proptest::collection::vec(any::<u8>(), 0..300), which in 0..3_usize,
    ) {
        static SERVER: OnceLock<(Server, Arc<Session>)> = OnceLock::new();
        let (server, _) = SERVER.get_or_init(|| {
            let (session, _) = session();
            (start(&session, None), session)
        });
        let paths = [("POST", "/target"), ("PATCH", "/settings"), ("POST", "/recording")];
        let (method, path) = paths[which];
        let (status, said) = ask(server.address(), method, path, &body);
        prop_assert!([200, 400, 422, 501].contains(&status), "{} {}", status, said);
        prop_assert!(serde_json::from_str::<serde_json::Value>(&said).is_ok(), "{}", said);
    }

    #[test]
    fn accepts_exactly_the_boxes_within_bounds(x: f64, y: f64, width: f64, height: f64) {
        let body = format!("{{\"box\": [{x:?}, {y:?}, {width:?}, {height:?}]}}");
        let good = [x, y].iter().all(|v| v.abs() <= 1e6)
            && [width, height].iter().all(|v| *v > 0.0 && *v <= 1e6);
        prop_assert_eq!(ettrack_web::read_target(body.as_bytes()).is_ok(), good, "{}", body);
    }
}

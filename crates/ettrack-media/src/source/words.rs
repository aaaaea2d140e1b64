//! What a process says on its standard error, of which only the end is of use.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Bytes kept of the end.
const KEPT: usize = 4096;

/// Lines told of it.
const LINES: usize = 3;

/// How long a process that ended or failed may take to say its last words.
const PATIENCE: Duration = Duration::from_millis(200);

/// The end of a stream of text. A thread reads it, because an unread pipe would stop the process that writes.
#[derive(Debug)]
pub(crate) struct LastWords {
    end: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl LastWords {
    /// Reads `stream` until it ends.
    pub fn of(mut stream: impl Read + Send + 'static) -> std::io::Result<Self> {
        let end = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&end);
        let read = move || {
            let mut piece = [0; KEPT];
            // Words that cannot be read only make the message shorter.
            while let Ok(length @ 1..) = stream.read(&mut piece) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&piece[..length]);
                let surplus = kept.len().saturating_sub(KEPT);
                kept.drain(..surplus);
            }
        };
        let reader = std::thread::Builder::new()
            .name("messages".into())
            .spawn(read)?;
        Ok(Self { end, reader })
    }

    /// The last lines so far, in one.
    pub fn so_far(&self) -> String {
        let until = Instant::now() + PATIENCE;
        while !self.reader.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&end);
        let lines: Vec<_> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        lines[lines.len().saturating_sub(LINES)..].join("; ")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_end_is_kept_in_bounded_memory() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let words = LastWords::of(reader).unwrap();
        // Far more than a pipe holds: the writer would stand still if nobody read.
        for line in 0..20_000 {
            writeln!(writer, "complaint {line}\n").unwrap();
        }
        assert!(words.end.lock().unwrap().len() <= KEPT);
        drop(writer);
        let expected = "complaint 19997; complaint 19998; complaint 19999";
        assert_eq!(words.so_far(), expected);
        assert!(words.end.lock().unwrap().capacity() <= 4 * KEPT);
    }

    #[test]
    fn a_process_that_goes_on_is_not_waited_for() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let words = LastWords::of(reader).unwrap();
        writer.write_all(b"no such device\n").unwrap();
        let end = Instant::now() + Duration::from_secs(30);
        while words.so_far().is_empty() && Instant::now() < end {}
        assert_eq!(words.so_far(), "no such device");
    }
}

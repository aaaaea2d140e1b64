//! Keeps the last lines that a process writes to its standard error, for messages.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Bytes that are kept.
const KEPT: usize = 4096;

/// Bytes of a line that are looked at.
const LINE: u64 = 1 << 16;

/// Lines that are returned.
const LINES: usize = 3;

/// How long to wait for the last lines of a process that has ended or failed.
const PATIENCE: Duration = Duration::from_millis(200);

/// The last lines of a process's standard error. A thread reads the pipe, because a full pipe would stop the process.
#[derive(Debug)]
pub(crate) struct StderrTail {
    end: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl StderrTail {
    /// Starts to read `stream`, until it ends.
    pub fn read(stream: impl Read + Send + 'static) -> std::io::Result<Self> {
        Self::read_with(stream, |line| Some(line.to_owned()))
    }

    /// As [`StderrTail::read`], but keeps of each line what `keep` returns.
    pub fn read_with(
        stream: impl Read + Send + 'static,
        mut keep: impl FnMut(&str) -> Option<String> + Send + 'static,
    ) -> std::io::Result<Self> {
        let end = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&end);
        let read = move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            // If the pipe cannot be read, the message is only shorter.
            while let Ok(1..) = (&mut stream).take(LINE).read_until(b'\n', &mut line) {
                if let Some(text) = keep(&String::from_utf8_lossy(&line)) {
                    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    kept.extend_from_slice(text.as_bytes());
                    let surplus = kept.len().saturating_sub(KEPT);
                    kept.drain(..surplus);
                }
                line.clear();
            }
        };
        let reader = std::thread::Builder::new()
            .name("messages".into())
            .spawn(read)?;
        Ok(Self { end, reader })
    }

    /// The last lines so far, joined to one.
    pub fn last_lines(&self) -> String {
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
    fn keeps_the_last_lines_in_bounded_memory() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let tail = StderrTail::read(reader).unwrap();
        // Far more than a pipe holds: the writer would block if nobody read.
        for line in 0..20_000 {
            writeln!(writer, "complaint {line}\n").unwrap();
        }
        assert!(tail.end.lock().unwrap().len() <= KEPT);
        drop(writer);
        let expected = "complaint 19997; complaint 19998; complaint 19999";
        assert_eq!(tail.last_lines(), expected);
        assert!(tail.end.lock().unwrap().capacity() <= 4 * KEPT);
    }

    #[test]
    fn does_not_wait_for_a_process_that_keeps_running() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let tail = StderrTail::read(reader).unwrap();
        writer.write_all(b"no such device\n").unwrap();
        let end = Instant::now() + Duration::from_secs(30);
        while tail.last_lines().is_empty() && Instant::now() < end {}
        assert_eq!(tail.last_lines(), "no such device");
    }
}

//! Opens serial ports for raw bytes.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{self, BaudRate, ControlFlags, SetArg};

/// Speeds in bits per second that all supported systems have.
const SPEEDS: [(u32, BaudRate); 9] = [
    (9_600, BaudRate::B9600),
    (19_200, BaudRate::B19200),
    (38_400, BaudRate::B38400),
    (57_600, BaudRate::B57600),
    (115_200, BaudRate::B115200),
    (230_400, BaudRate::B230400),
    (460_800, BaudRate::B460800),
    (921_600, BaudRate::B921600),
    (1_500_000, BaudRate::B1500000),
];

/// Whether a port can have this speed, bits per second.
pub(crate) fn is_speed(speed: u32) -> bool {
    SPEEDS.iter().any(|(known, _)| *known == speed)
}

/// An open port. Neither reading nor writing waits longer than the given times: a device that takes no more bytes must not hold
/// up the other connections.
#[derive(Debug)]
pub(crate) struct Port {
    file: File,
    read_time: Duration,
    write_time: Duration,
    /// Whether the device took no bytes in time. Until it takes some, writing does not wait again: each message would cost the
    /// other connections this time.
    is_stuck: bool,
}

impl Port {
    /// Opens a port with 8 bits, no parity, 1 stop bit and no flow control.
    pub fn open(
        path: &Path,
        speed: u32,
        read_time: Duration,
        write_time: Duration,
    ) -> std::io::Result<Self> {
        let known = SPEEDS.iter().find(|(known, _)| *known == speed);
        let Some((_, rate)) = known else {
            return Err(ErrorKind::InvalidInput.into());
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            // The port must not become this process's terminal, and no call must wait.
            .custom_flags((OFlag::O_NOCTTY | OFlag::O_NONBLOCK).bits())
            .open(path)?;
        let mut settings = termios::tcgetattr(&file)?;
        termios::cfmakeraw(&mut settings);
        settings.control_flags |= ControlFlags::CLOCAL | ControlFlags::CREAD;
        settings
            .control_flags
            .remove(ControlFlags::CRTSCTS | ControlFlags::CSTOPB | ControlFlags::PARENB);
        termios::cfsetspeed(&mut settings, *rate)?;
        termios::tcsetattr(&file, SetArg::TCSANOW, &settings)?;
        Ok(Self {
            file,
            read_time,
            write_time,
            is_stuck: false,
        })
    }

    /// Returns a second handle of the same port.
    pub fn try_clone(&self) -> std::io::Result<Self> {
        Ok(Self {
            file: self.file.try_clone()?,
            ..*self
        })
    }

    /// Waits until the port is ready or gone.
    fn wait(&self, wanted: PollFlags, until: Instant) -> std::io::Result<()> {
        let left = until.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.file.as_fd(), wanted)], left)? {
            0 => Err(ErrorKind::TimedOut.into()),
            _ => Ok(()),
        }
    }
}

impl Read for Port {
    /// Returns [`ErrorKind::TimedOut`] if no byte comes in time, and 0 bytes if the port is gone.
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.wait(PollFlags::POLLIN, Instant::now() + self.read_time)?;
        self.file.read(buffer)
    }
}

impl Write for Port {
    /// Returns [`ErrorKind::TimedOut`] if the device takes no byte in time.
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let patience = if self.is_stuck {
            Duration::ZERO
        } else {
            self.write_time
        };
        let until = Instant::now() + patience;
        loop {
            match self.file.write(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_stuck = true;
                    self.wait(PollFlags::POLLOUT, until)?;
                }
                done => {
                    self.is_stuck = false;
                    return done;
                }
            }
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use nix::pty::openpty;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    fn port(patience: Duration) -> (std::os::fd::OwnedFd, Port) {
        let pair = openpty(None, None).expect("a pseudo terminal");
        let path = nix::unistd::ttyname(&pair.slave).expect("its name");
        let port = Port::open(&path, 57_600, patience, patience).expect("open");
        (pair.master, port)
    }

    #[test]
    fn passes_bytes_in_both_directions() {
        let (master, mut port) = port(Duration::from_secs(10));
        let mut other = File::from(master);
        port.write_all(b"\xfd\x00\r\n\x03").expect("written");
        let mut buffer = [0; 16];
        let length = other.read(&mut buffer).expect("read");
        assert_eq!(&buffer[..length], b"\xfd\x00\r\n\x03");
        other.write_all(b"\x04\xfd").expect("written");
        let length = port.read(&mut buffer).expect("read");
        assert_eq!(&buffer[..length], b"\x04\xfd");
    }

    #[test]
    fn does_not_wait_long_for_a_device_that_neither_takes_nor_sends_bytes() {
        let (_master, mut port) = port(SHORT);
        let begun = Instant::now();
        let silence = port.read(&mut [0; 16]).expect_err("nothing came");
        assert_eq!(silence.kind(), ErrorKind::TimedOut);
        let mut sent = Ok(());
        for _ in 0..1000 {
            sent = port.write_all(&[0; 280]);
            if sent.is_err() {
                break;
            }
        }
        assert_eq!(sent.expect_err("it is full").kind(), ErrorKind::TimedOut);
        assert!(begun.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn waits_once_for_a_device_that_takes_no_bytes_and_writes_again_when_it_does() {
        let patience = Duration::from_secs(2);
        let (master, mut port) = port(patience);
        // The system moves bytes on while it has room, so the port is full only after several failures in a row.
        let mut failures = 0;
        while failures < 10 {
            failures = match port.write_all(&[0; 280]) {
                Ok(()) => 0,
                Err(_) => failures + 1,
            };
            std::thread::sleep(Duration::from_millis(10));
        }
        let begun = Instant::now();
        for _ in 0..10 {
            port.write_all(&[0; 280]).expect_err("it is still full");
        }
        assert!(begun.elapsed() < patience, "{:?}", begun.elapsed());
        let mut other = File::from(master);
        let mut taken = 0;
        while taken < 2000 {
            taken += other.read(&mut [0; 4096]).expect("read");
        }
        // The system passes the room on a little later.
        let until = Instant::now() + Duration::from_secs(10);
        while let Err(error) = port.write_all(&[0; 280]) {
            assert!(Instant::now() < until, "no room again: {error}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

//! Opens serial ports for raw bytes.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sys::termios::{self, BaudRate, ControlFlags, SetArg, SpecialCharacterIndices as Index};

/// Time that a read waits for a byte, tenths of a second.
const WAIT: u8 = 1;

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

/// Opens a port with 8 bits, no parity, 1 stop bit and no flow control. A read returns 0 bytes after a tenth of a second without
/// a byte.
pub(crate) fn open(path: &Path, speed: u32) -> std::io::Result<File> {
    let known = SPEEDS.iter().find(|(known, _)| *known == speed);
    let Some((_, rate)) = known else {
        return Err(std::io::ErrorKind::InvalidInput.into());
    };
    let port = OpenOptions::new()
        .read(true)
        .write(true)
        // The port must not become this process's terminal, and the call must not wait for a carrier signal.
        .custom_flags((OFlag::O_NOCTTY | OFlag::O_NONBLOCK).bits())
        .open(path)?;
    let mut settings = termios::tcgetattr(&port)?;
    termios::cfmakeraw(&mut settings);
    settings.control_flags |= ControlFlags::CLOCAL | ControlFlags::CREAD;
    settings
        .control_flags
        .remove(ControlFlags::CRTSCTS | ControlFlags::CSTOPB | ControlFlags::PARENB);
    settings.control_chars[Index::VMIN as usize] = 0;
    settings.control_chars[Index::VTIME as usize] = WAIT;
    termios::cfsetspeed(&mut settings, *rate)?;
    termios::tcsetattr(&port, SetArg::TCSANOW, &settings)?;
    let flags = nix::fcntl::fcntl(&port, nix::fcntl::FcntlArg::F_GETFL)?;
    let flags = OFlag::from_bits_truncate(flags) - OFlag::O_NONBLOCK;
    nix::fcntl::fcntl(&port, nix::fcntl::FcntlArg::F_SETFL(flags))?;
    Ok(port)
}

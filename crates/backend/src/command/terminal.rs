//! The pseudoterminal that a program writes to.
//!
//! It is there so that a program that looks for a terminal writes each line when it has it. It is not the program's
//! controlling terminal: nobody sits at it, so whoever wants to ask for a password there has to fail and not to wait.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, FdFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, Winsize, tcgetattr, tcsetattr, tcsetwinsize};
use tokio::io::unix::AsyncFd;

use crate::limits::{TERMINAL_COLUMNS, TERMINAL_ROWS};

/// Our end of a pseudoterminal.
pub(super) struct Terminal(AsyncFd<OwnedFd>);

/// A terminal of a sane size that echoes nothing and changes nothing, and the program's end of it.
pub(super) fn open() -> io::Result<(Terminal, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    #[cfg(target_os = "linux")]
    let flags = flags | OpenptFlags::CLOEXEC;
    let ours = openpt(flags)?;
    rustix::io::fcntl_setfd(&ours, FdFlags::CLOEXEC)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let name = ptsname(&ours, Vec::new())?;
    let theirs = rustix::fs::open(&*name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    let mut modes = tcgetattr(&theirs)?;
    modes.make_raw();
    tcsetattr(&theirs, OptionalActions::Now, &modes)?;
    let size = Winsize { ws_row: TERMINAL_ROWS, ws_col: TERMINAL_COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&theirs, size)?;
    rustix::io::ioctl_fionbio(&ours, true)?;
    Ok((Terminal(watched(ours)?), theirs))
}

#[expect(deprecated, reason = "its successor is unsafe, for the sake of other things than an `OwnedFd`")]
fn watched(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(fd)
}

impl Terminal {
    /// Reads what the program has written; nothing at its end. May be given up at any time.
    pub(super) async fn read(&self, buffer: &mut [u8]) -> usize {
        loop {
            let Ok(mut ready) = self.0.readable().await else { return 0 };
            match ready.try_io(|ours| rustix::io::read(ours.get_ref(), &mut *buffer).map_err(Into::into)) {
                Ok(Ok(read)) => return read,
                Ok(Err(error)) if error.raw_os_error() == Some(Errno::INTR.raw_os_error()) => {}
                // Linux says so when nobody holds the other end any more.
                Ok(Err(_)) => return 0,
                Err(_would_block) => {}
            }
        }
    }
}

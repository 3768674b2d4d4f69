//! A file descriptor that is readable while something is there: an eventfd on Linux, a pipe
//! elsewhere.

use crate::error::{Error, ErrorKind, Result};

fn refused(e: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Resources, format!("no file descriptor for the queue: {e}"))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) use eventfd::Signal;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) use pipe::Signal;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod eventfd {
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

    use rustix::event::{EventfdFlags, eventfd};

    use super::{Result, refused};

    /// The descriptor. Its owner raises and lowers it in turn.
    pub(in super::super) struct Signal(OwnedFd);

    impl Signal {
        /// Not readable.
        pub(in super::super) fn new() -> Result<Self> {
            let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
            eventfd(0, flags).map(Signal).map_err(refused)
        }

        /// Makes it readable. Neither call blocks nor fails: the counter is 0 or 1.
        pub(in super::super) fn raise(&self) {
            let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
        }

        /// Makes it not readable.
        pub(in super::super) fn lower(&self) {
            let _ = rustix::io::read(&self.0, &mut [0; 8]);
        }

        pub(in super::super) fn fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
}

#[cfg(any(test, not(any(target_os = "linux", target_os = "android"))))]
mod pipe {
    use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
    use std::os::fd::{AsFd, BorrowedFd};

    use super::{Result, refused};

    /// The descriptor. Its owner raises and lowers it in turn, so that the pipe holds one byte or
    /// none and neither call blocks.
    #[cfg_attr(any(target_os = "linux", target_os = "android"), allow(dead_code))]
    pub(in super::super) struct Signal(PipeReader, PipeWriter);

    #[cfg_attr(any(target_os = "linux", target_os = "android"), allow(dead_code))]
    impl Signal {
        pub(in super::super) fn new() -> Result<Self> {
            pipe().map(|(r, w)| Signal(r, w)).map_err(refused)
        }

        pub(in super::super) fn raise(&self) {
            let _ = (&self.1).write_all(&[1]);
        }

        pub(in super::super) fn lower(&self) {
            let _ = (&self.0).read_exact(&mut [0]);
        }

        pub(in super::super) fn fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::os::fd::BorrowedFd;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    fn readable(fd: BorrowedFd<'_>) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&now)).unwrap() == 1
    }

    macro_rules! follows {
        ($name:ident, $kind:ty) => {
            #[test]
            fn $name() {
                let s = <$kind>::new().unwrap();
                let fd = s.fd();
                assert!(!readable(fd));
                for _ in 0..3 {
                    s.raise();
                    assert!(readable(fd) && readable(fd));
                    s.lower();
                    assert!(!readable(fd));
                }
            }
        };
    }
    follows!(an_eventfd_follows, super::Signal);
    follows!(a_pipe_follows, super::pipe::Signal);
}

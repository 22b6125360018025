//! A program that runs under `run`: started in a process group of its own, told what we are told, and its end.
//!
//! Being alone in its group, it hears of Ctrl-C only from here, after it was taken out of the lists. The terminal's signals
//! go to the whole group, as the terminal sends them; the others to the program alone.
//! Not here: when it is registered and no more (`registrar`).

use std::{
    io,
    os::unix::process::ExitStatusExt,
    process::{ExitCode, ExitStatus},
    task::Poll,
};

use rustix::process::{Pid, kill_process, kill_process_group};
use tokio::{
    process::{Child, Command},
    signal::unix::{self, SignalKind},
};

pub(crate) use rustix::process::Signal;

/// Statuses of a shell for a program that cannot be run, and that is not there.
const NOT_RUN: (u8, u8) = (126, 127);

/// A running program. Dropping it leaves it alone.
pub(crate) struct Program {
    child: Child,
    pid: Pid,
}

/// The signals that are handed on, in the order in which they came of each kind.
pub(crate) struct Signals(Vec<(Signal, unix::Signal)>);

impl Program {
    /// Starts it; what it reads and writes is ours.
    pub(crate) fn start(command: &[String]) -> io::Result<Self> {
        let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let child = Command::new(program).args(arguments).process_group(0).spawn()?;
        let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Ok(Self { pid: pid.ok_or(io::ErrorKind::NotFound)?, child })
    }

    /// The status with which a shell would end when a program does not start.
    pub(crate) fn not_started(err: &io::Error) -> u8 {
        if err.kind() == io::ErrorKind::NotFound { NOT_RUN.1 } else { NOT_RUN.0 }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Waits for its end. Dropping the future loses nothing.
    pub(crate) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Hands a signal on, unless it has ended.
    pub(crate) fn send(&self, signal: Signal) {
        // Its number may be another's by then.
        if self.child.id().is_none() {
            return;
        }
        // That it ends at this very moment is no failure.
        let _ = match signal {
            Signal::INT | Signal::QUIT => kill_process_group(self.pid, signal),
            _ => kill_process(self.pid, signal),
        };
    }
}

impl Signals {
    /// From now on these signals do nothing by themselves.
    pub(crate) fn catch() -> io::Result<Self> {
        let kinds = [
            (Signal::TERM, SignalKind::terminate()),
            (Signal::INT, SignalKind::interrupt()),
            (Signal::QUIT, SignalKind::quit()),
            (Signal::HUP, SignalKind::hangup()),
            (Signal::USR1, SignalKind::user_defined1()),
            (Signal::USR2, SignalKind::user_defined2()),
        ];
        let caught = kinds.into_iter().map(|(signal, kind)| Ok((signal, unix::signal(kind)?)));
        caught.collect::<io::Result<_>>().map(Self)
    }

    /// The next one. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Signal {
        std::future::poll_fn(|cx| {
            let came = self.0.iter_mut().find_map(|(signal, stream)| stream.poll_recv(cx).is_ready().then_some(*signal));
            came.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// Whether a signal asks a program to end. A hangup is a request to read its configuration again as often as not, and what
/// becomes of it is the program's to say.
pub(crate) fn ends(signal: Signal) -> bool {
    matches!(signal, Signal::TERM | Signal::INT | Signal::QUIT)
}

/// Its exit status as ours: 128 and the signal's number if it was killed.
pub(crate) fn status(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1).into()
}

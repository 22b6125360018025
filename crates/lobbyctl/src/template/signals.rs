//! The signals of `template`, and what each means: stop, read the configuration again, or one for the program.
//!
//! SIGTERM and SIGINT stop it whatever the configuration says, unless one of them is the reload signal: a service manager has
//! to be able to. Not here: how the program is told (`lobby_render::child`).

use std::{io, task::Poll};

use lobby_render::config::Process;
use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind};

/// Beside the configured ones, these are for the program, if there is one.
const FORWARDED: [Signal; 8] =
    [Signal::HUP, Signal::INT, Signal::TERM, Signal::QUIT, Signal::USR1, Signal::USR2, Signal::ALARM, Signal::WINCH];

/// What a signal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// End.
    Stop,
    /// Read the configuration again.
    Reload,
    /// One for the program.
    Other(i32),
}

/// Signals that no longer do anything by themselves.
pub(crate) struct Signals(Vec<(Heard, unix::Signal)>);

impl Signals {
    /// Takes the signals that mean something, by this configuration; the error names one that cannot be taken.
    pub(crate) fn catch(process: &Process) -> Result<Self, (i32, io::Error)> {
        let named = process.kill_signal.into_iter().chain(process.reload_signal);
        let mut numbers: Vec<_> = FORWARDED.iter().map(|signal| signal.as_raw()).chain(named).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let catch = |number: i32| {
            // Some numbers would end a process that asks for them.
            let taken = match Signal::from_named_raw(number) {
                Some(Signal::KILL | Signal::STOP | Signal::ILL | Signal::FPE | Signal::SEGV) => {
                    Err(io::Error::other("no process can take this signal"))
                }
                _ => unix::signal(SignalKind::from_raw(number)),
            };
            taken.map(|stream| (meaning(number, process), stream)).map_err(|err| (number, err))
        };
        numbers.into_iter().map(catch).collect::<Result<_, _>>().map(Self)
    }

    /// The next one. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Heard {
        std::future::poll_fn(|cx| {
            let came = self.0.iter_mut().find_map(|(heard, stream)| stream.poll_recv(cx).is_ready().then_some(*heard));
            came.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Waits until it is to stop; other signals mean nothing meanwhile.
    pub(crate) async fn stop(&mut self) {
        while self.next().await != Heard::Stop {}
    }
}

fn meaning(number: i32, process: &Process) -> Heard {
    let is_end = [Signal::TERM, Signal::INT].iter().any(|signal| signal.as_raw() == number);
    match number {
        number if process.kill_signal == Some(number) => Heard::Stop,
        number if process.reload_signal == Some(number) => Heard::Reload,
        _ if is_end => Heard::Stop,
        number => Heard::Other(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(kill: Option<i32>, reload: Option<i32>) -> Process {
        let config = lobby_render::config::Partial::default().resolve(|_| None).unwrap();
        Process { kill_signal: kill, reload_signal: reload, ..config.process }
    }

    #[test]
    fn signals_mean_what_is_configured_and_a_service_manager_can_always_stop_it() {
        let (hup, int, term, usr1) = (1, 2, 15, Signal::USR1.as_raw());
        for (kill, reload, want) in [
            (Some(int), Some(hup), [Heard::Reload, Heard::Stop, Heard::Stop, Heard::Other(usr1)]),
            (Some(usr1), None, [Heard::Other(hup), Heard::Stop, Heard::Stop, Heard::Stop]),
            (None, Some(int), [Heard::Other(hup), Heard::Reload, Heard::Stop, Heard::Other(usr1)]),
            (Some(hup), Some(hup), [Heard::Stop, Heard::Stop, Heard::Stop, Heard::Other(usr1)]),
        ] {
            let process = process(kill, reload);
            assert_eq!([hup, int, term, usr1].map(|number| meaning(number, &process)), want, "{kill:?} {reload:?}");
        }
    }

    #[tokio::test]
    async fn a_signal_that_nobody_can_take_is_refused() {
        assert!(matches!(Signals::catch(&process(Some(9), None)), Err((9, _))));
        assert!(Signals::catch(&process(Some(64), None)).is_ok());
    }
}

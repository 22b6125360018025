//! Signals by name or number, as configurations name them.

use rustix::process::Signal;

/// What a signal may be, for errors.
pub(super) const ACCEPTED: &str = "a signal as \"SIGHUP\", \"HUP\" or \"1\"; \"\" or \"SIGNULL\" for none";
/// The highest number of a signal, real-time ones included, on the systems that there are.
const MAX: i32 = 64;

const NAMES: &[(&str, Signal)] = &[
    ("ABRT", Signal::ABORT),
    ("ALRM", Signal::ALARM),
    ("BUS", Signal::BUS),
    ("CHLD", Signal::CHILD),
    ("CONT", Signal::CONT),
    ("FPE", Signal::FPE),
    ("HUP", Signal::HUP),
    ("ILL", Signal::ILL),
    ("INT", Signal::INT),
    ("IO", Signal::IO),
    ("IOT", Signal::ABORT),
    ("KILL", Signal::KILL),
    ("PIPE", Signal::PIPE),
    ("PROF", Signal::PROF),
    ("QUIT", Signal::QUIT),
    ("SEGV", Signal::SEGV),
    ("STOP", Signal::STOP),
    ("SYS", Signal::SYS),
    ("TERM", Signal::TERM),
    ("TRAP", Signal::TRAP),
    ("TSTP", Signal::TSTP),
    ("TTIN", Signal::TTIN),
    ("TTOU", Signal::TTOU),
    ("URG", Signal::URG),
    ("USR1", Signal::USR1),
    ("USR2", Signal::USR2),
    ("VTALRM", Signal::VTALARM),
    ("WINCH", Signal::WINCH),
    ("XCPU", Signal::XCPU),
    ("XFSZ", Signal::XFSZ),
];

/// The number of a signal; `Some(None)`: no signal. `None`: no such thing.
pub(super) fn read(text: &str) -> Option<Option<i32>> {
    let upper = text.trim().to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if upper.is_empty() || matches!(name, "NULL" | "NIL") {
        return Some(None);
    }
    if let Some((_, signal)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Some(Some(signal.as_raw()));
    }
    upper.parse().ok().and_then(number).map(Some)
}

/// A number that may be a signal.
pub(super) fn number(number: i32) -> Option<i32> {
    (1..=MAX).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals() {
        for (text, want) in [
            ("SIGHUP", Some(Some(1))),
            ("HUP", Some(Some(1))),
            ("sigint", Some(Some(2))),
            ("9", Some(Some(9))),
            ("64", Some(Some(64))),
            ("", Some(None)),
            ("SIGNULL", Some(None)),
            ("SIGNIL", Some(None)),
            ("SIGUSR1", Some(Some(Signal::USR1.as_raw()))),
            ("65", None),
            ("0", None),
            ("-1", None),
            ("SIG", None),
            ("SIGFOO", None),
            ("SIG9", None),
        ] {
            assert_eq!(read(text), want, "{text:?}");
        }
    }
}

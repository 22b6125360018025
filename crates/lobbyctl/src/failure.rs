//! How a failure ends: one clear line on stderr, perhaps a hint, and an exit status.
//!
//! The numbers are those of sysexits.h where it has one.

use std::{
    error::Error,
    fmt,
    io::{self, Write},
    process::ExitCode,
};

use lobby::client::ClientError;

/// Wrong usage or an address that is none.
pub(crate) const USAGE: u8 = 64;

/// No daemon answers.
const UNAVAILABLE: u8 = 69;

/// A failure of a verb itself, and what can be done about it.
#[derive(Debug)]
struct Hinted {
    what: String,
    hint: &'static str,
}

pub(crate) fn hinted(what: String, hint: &'static str) -> anyhow::Error {
    Hinted { what, hint }.into()
}

/// What was typed is wrong in a way that clap does not see.
#[derive(Debug)]
struct Usage(String);

pub(crate) fn usage(what: String) -> anyhow::Error {
    Usage(what).into()
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Usage {}

impl fmt::Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for Hinted {}

/// Says something on stderr by the way. That nobody reads it must not end a program that runs under us.
pub(crate) fn say(what: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "lobbyctl: {what}");
}

/// Tells the failure and returns the exit status. A reader that has had enough (`| head`) is not a failure.
pub(crate) fn report(err: &anyhow::Error) -> ExitCode {
    if err.downcast_ref::<io::Error>().is_some_and(|err| err.kind() == io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    let Some(client) = err.downcast_ref::<ClientError>() else {
        eprintln!("lobbyctl: {err:#}");
        if let Some(Hinted { hint, .. }) = err.downcast_ref() {
            eprintln!("hint: {hint}");
        }
        return if err.is::<Usage>() { USAGE.into() } else { ExitCode::FAILURE };
    };
    let (status, hint) = match client {
        // Ours or its own: rustls words both so.
        ClientError::NotReachable { .. } if client.cause().to_lowercase().contains("certificate") => {
            (UNAVAILABLE, Some("--ca-cert says whom to trust, --client-cert and --client-key who you are"))
        }
        ClientError::NotReachable { .. } => {
            (UNAVAILABLE, Some("start it with `lobbyd`, or name another with --host and --port (HOST, PORT)"))
        }
        ClientError::BadUrl { .. } | ClientError::BadTls { .. } | ClientError::BadToken => (USAGE, None),
        ClientError::Refused { status: 400, .. } => (USAGE, None),
        ClientError::Denied { .. } => (1, Some("if the daemon has a TOKEN, give it with --token or in TOKEN")),
        ClientError::Refused { status: 404, message } if message.starts_with("no route") => {
            (1, Some("the daemon may be older than this lobbyctl, or its API is disabled"))
        }
        // It says itself what to do.
        ClientError::Refused { status: 404, message } if message.starts_with("proxy:") => (1, None),
        ClientError::Refused { status: 404, message } if message.starts_with("service ") => {
            (1, Some("`lobbyctl services` shows what is offered"))
        }
        ClientError::Refused { status: 404, message } if is_of_services(message) => {
            (1, Some("only the daemon on the machine of the service changes it; `lobbyctl service NAME` shows which that is"))
        }
        ClientError::Refused { status: 404, .. } => (1, Some("`lobbyctl nodes` shows who is known")),
        ClientError::Refused { status: 502, message } if message.starts_with("join:") => {
            // Nothing comes of trying that again.
            let ourselves = message.trim_end().split("; ").all(|reason| reason.ends_with("that is ourselves"));
            (1, (!ourselves).then_some("the daemon goes on trying; `lobbyctl members` shows when it has joined"))
        }
        ClientError::Refused { status: 429 | 503 | 504, .. } => (1, Some("try again in a moment")),
        ClientError::Refused { status: 501, .. } => (1, Some("add gossip to the daemon's DRIVER")),
        _ => (1, None),
    };
    match client {
        ClientError::NotReachable { .. } => eprintln!("lobbyctl: {client}: {}", client.cause()),
        _ => eprintln!("lobbyctl: {client}"),
    }
    if let Some(hint) = hint {
        eprintln!("hint: {hint}");
    }
    status.into()
}

/// Whether something of a service is not at this agent.
fn is_of_services(message: &str) -> bool {
    message.contains("registered at this agent")
        || message.starts_with("unknown service ID")
        || message.starts_with("unknown check ID")
}

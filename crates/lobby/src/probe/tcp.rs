//! A TCP connection: passing as soon as one address of the name takes it, and TLS comes about where that is asked for.
//! Nothing else is sent.
//!
//! All addresses are tried at once, so that a family that goes nowhere does not use up the time of the other.
//! Not here: how TLS is done (`tls`).

use std::{net::SocketAddr, time::Duration};

use lobby_core::check::{Status, kind::Tls};
use tokio::{net::TcpStream, task::JoinSet};

use super::{Verdict, capped::Capped, resolve, tls, too_late};

pub(super) async fn run(address: &str, tls: Option<&Tls>, timeout: Duration) -> Verdict {
    match tokio::time::timeout(timeout, ask(address, tls)).await {
        Ok(Ok(())) => Verdict::new(Status::Passing, format!("TCP connect {address}: Success")),
        Ok(Err(why)) => Verdict::critical(format!("TCP connect {address}: {why}")),
        Err(_) => Verdict::critical(format!("TCP connect {address}: {}", too_late(timeout))),
    }
}

async fn ask(address: &str, tls: Option<&Tls>) -> Result<(), String> {
    let stream = connect(address).await?;
    match tls {
        None => Ok(()),
        Some(tls) => tls::shake_hands(stream, address, tls, None).await.map(drop),
    }
}

/// A connection to `host:port`; the error is for people.
pub(super) async fn connect(address: &str) -> Result<Capped, String> {
    connect_any(resolve(address).await.map_err(|err| err.to_string())?).await.map(Capped::new)
}

async fn connect_any(addresses: Vec<SocketAddr>) -> Result<TcpStream, String> {
    // Dropped with this future, and its connections with it; no more of them than addresses.
    let mut tries = JoinSet::new();
    for to in addresses {
        tries.spawn(async move { TcpStream::connect(to).await.map_err(|err| format!("{to}: {err}")) });
    }
    let mut failures = Vec::new();
    while let Some(tried) = tries.join_next().await {
        match tried {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(why)) => failures.push(why),
            Err(err) => failures.push(err.to_string()),
        }
    }
    failures.sort();
    Err(failures.join("; "))
}

#[cfg(test)]
mod tests;

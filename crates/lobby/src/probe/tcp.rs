//! A TCP connection: passing as soon as one address of the name takes it. Nothing is sent.
//!
//! All addresses are tried at once, so that a family that goes nowhere does not use up the time of the other.
//! Not here: TLS on top of it.

use std::{net::SocketAddr, time::Duration};

use lobby_core::check::Status;
use tokio::{net::TcpStream, task::JoinSet};

use super::{Verdict, resolve, too_late};

pub(super) async fn run(address: &str, timeout: Duration) -> Verdict {
    match tokio::time::timeout(timeout, connect(address)).await {
        Ok(Ok(())) => Verdict::new(Status::Passing, format!("TCP connect {address}: Success")),
        Ok(Err(why)) => Verdict::critical(format!("TCP connect {address}: {why}")),
        Err(_) => Verdict::critical(format!("TCP connect {address}: {}", too_late(timeout))),
    }
}

async fn connect(address: &str) -> Result<(), String> {
    connect_any(resolve(address).await.map_err(|err| err.to_string())?).await
}

async fn connect_any(addresses: Vec<SocketAddr>) -> Result<(), String> {
    // Dropped with this future, and its connections with it; no more of them than addresses.
    let mut tries = JoinSet::new();
    for to in addresses {
        tries.spawn(async move { TcpStream::connect(to).await.map_err(|err| format!("{to}: {err}")) });
    }
    let mut failures = Vec::new();
    while let Some(tried) = tries.join_next().await {
        match tried {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(why)) => failures.push(why),
            Err(err) => failures.push(err.to_string()),
        }
    }
    failures.sort();
    Err(failures.join("; "))
}

#[cfg(test)]
mod tests;

//! A datagram: passing when it is answered, and also when nobody refuses it in time, since most protocols over UDP do
//! not answer what they do not know.
//!
//! All addresses of the name are tried at once; one that is not refused is enough.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lobby_core::check::Status;
use tokio::{net::UdpSocket, task::JoinSet};

use super::{Verdict, resolve, too_late};

/// What is sent. Not empty: some programs take an empty datagram for the end of the stream.
const DATAGRAM: &[u8] = b"lobby check\n";

pub(super) async fn run(address: &str, timeout: Duration) -> Verdict {
    let is_sent = Arc::new(AtomicBool::new(false));
    match tokio::time::timeout(timeout, ask(address, &is_sent)).await {
        Ok(Ok(())) => Verdict::new(Status::Passing, format!("UDP {address}: answered")),
        Ok(Err(why)) => Verdict::critical(format!("UDP {address}: {why}")),
        Err(_) if is_sent.load(Ordering::Relaxed) => {
            Verdict::new(Status::Passing, format!("UDP {address}: not refused, {}", too_late(timeout)))
        }
        Err(_) => Verdict::critical(format!("UDP {address}: {}", too_late(timeout))),
    }
}

async fn ask(address: &str, is_sent: &Arc<AtomicBool>) -> Result<(), String> {
    ask_any(resolve(address).await.map_err(|err| err.to_string())?, is_sent).await
}

async fn ask_any(addresses: Vec<SocketAddr>, is_sent: &Arc<AtomicBool>) -> Result<(), String> {
    // Dropped with this future, and its sockets with it; no more of them than addresses.
    let mut tries = JoinSet::new();
    for to in addresses {
        let is_sent = is_sent.clone();
        tries.spawn(async move { exchange(to, &is_sent).await.map_err(|err| format!("{to}: {err}")) });
    }
    let mut failures = Vec::new();
    while let Some(tried) = tries.join_next().await {
        match tried {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(why)) => failures.push(why),
            Err(err) => failures.push(err.to_string()),
        }
    }
    failures.sort();
    Err(failures.join("; "))
}

async fn exchange(to: SocketAddr, is_sent: &AtomicBool) -> std::io::Result<()> {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    // Connected, so that a refusal is told and only this peer can answer.
    socket.connect(to).await?;
    socket.send(DATAGRAM).await?;
    is_sent.store(true, Ordering::Relaxed);
    // That there is an answer is enough; the rest of a longer one is dropped by the system.
    socket.recv(&mut [0; 1]).await?;
    Ok(())
}

#[cfg(test)]
mod tests;

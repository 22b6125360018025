//! An HTTP/2 ping: passing when it is acknowledged.
//!
//! Not here: the connection (`http2`).

use std::time::Duration;

use h2::Ping;
use lobby_core::check::{Status, kind::Tls};

use super::{
    Verdict,
    http2::{connect, drive, told},
    too_late,
};

pub(super) async fn run(address: &str, tls: Option<&Tls>, timeout: Duration) -> Verdict {
    match tokio::time::timeout(timeout, ping(address, tls)).await {
        Ok(Ok(())) => Verdict::new(Status::Passing, format!("H2PING {address}: answered")),
        Ok(Err(why)) => Verdict::critical(format!("H2PING {address}: {why}")),
        Err(_) => Verdict::critical(format!("H2PING {address}: {}", too_late(timeout))),
    }
}

async fn ping(address: &str, tls: Option<&Tls>) -> Result<(), String> {
    // Dropped, the sender would end the connection.
    let (_sender, mut connection) = connect(address, tls).await?;
    let mut pings = connection.ping_pong().expect("it is the first time that this connection is asked");
    drive(connection, async move { pings.ping(Ping::opaque()).await.map(drop).map_err(told) }).await
}

#[cfg(test)]
mod tests;

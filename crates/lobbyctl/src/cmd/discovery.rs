//! `discovery`: the packet of the daemon's own server.

use lobby::client::Client;

use crate::{cmd::discoveries, output::Output};

pub(crate) async fn run(client: &Client, out: Output) -> anyhow::Result<()> {
    let packet = client.discovery().await?.value;
    out.value(&packet, |packet| discoveries::table(std::slice::from_ref(packet)))
}

//! `event NAME [PAYLOAD]`: tells everybody, or whom the options name, that something happens.

use lobby::client::Client;

use crate::{
    cli::gossip,
    input,
    output::{Output, plain},
};

pub(crate) async fn run(client: &Client, event: &gossip::Event, out: Output) -> anyhow::Result<()> {
    let payload = input::payload(event.payload.as_deref())?;
    let fired = client.fire(&event.name, &payload, &event.audience()).await?;
    out.value(&fired, |fired| vec![vec![plain(format!("fired {} ({})", fired.name, fired.id))]])
}

//! `leave`: makes the daemon say goodbye to the fleet and end.

use lobby::client::Client;

use crate::output::Output;

pub(crate) async fn run(client: &Client, out: Output) -> anyhow::Result<()> {
    client.leave().await?;
    out.done("left")
}

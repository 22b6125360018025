//! `reload`: makes the daemon read its label sources again.

use lobby::client::Client;

use crate::output::Output;

pub(crate) async fn run(client: &Client, out: Output) -> anyhow::Result<()> {
    client.reload().await?;
    out.done("reloaded")
}

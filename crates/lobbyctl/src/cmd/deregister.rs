//! `deregister ID`: takes an instance of the daemon's node away, with its checks.

use lobby::client::Client;

use crate::output::Output;

pub(crate) async fn run(client: &Client, id: &str, out: Output) -> anyhow::Result<()> {
    client.deregister(id).await?;
    out.done(&format!("deregistered {id}"))
}
